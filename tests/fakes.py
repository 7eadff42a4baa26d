"""Stand-ins for what handlers and filters are handed, that remember what was done with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from zope.interface import implementer

from tinfront.http.message import RequestHead
from tinfront.interfaces import IExchange, IWorkerPool
from tinfront.workers.order import Shed

_number = count(1).__next__


def make_head(
    method: str = "GET",
    path: str = "/",
    fields: Mapping[str, str] | None = None,
    query: str = "",
    target: str | None = None,
    authority: str = "demo.test",
    length: int | None = 0,
) -> RequestHead:
    """A request head as a codec would make it."""
    sent = path + ("?" + query if query else "") if target is None else target
    named = {"host": authority, **(fields or {})} if authority else dict(fields or {})
    return RequestHead(method, sent, "HTTP/1.1", named, authority, path, query, length)


class FakeRoute:
    """What a handler may know of its ``BoundRoute``."""

    def __init__(self, mount: str = "", model: Any = None) -> None:
        self.mount = mount
        self.model = model


@implementer(IExchange)
class FakeExchange:
    """An exchange that records its answer.

    :ivar answer: (head, body) given to ``respond``.
    :ivar refusal: (status, reason, detail, fields) given to ``refuse``.
    :ivar aborted: (reason, detail) given to ``abort``.
    """

    def __init__(
        self,
        head: RequestHead | None = None,
        *,
        mount: str = "",
        secure: bool = False,
        started: float = 1000.0,
        body: Any = None,
        peer: tuple[str, int] = ("127.0.0.1", 50000),
    ) -> None:
        self.head = make_head() if head is None else head
        self.site: Any = None
        self.route: Any = FakeRoute(mount)
        self.peer = peer
        self.local = ("127.0.0.1", 443 if secure else 80)
        self.secure = secure
        self.body = body
        self.number = _number()
        self.request_id = f"test-{self.number:x}"
        self.started = started
        self.queued = self.claimed = self.answered = 0.0
        self.pid = self.retries = 0
        self.when_gone: Any = None
        self.when_shut: Any = None
        self.answer: tuple[Any, Any] | None = None
        self.refusal: tuple[int, str, str, list[tuple[str, str]]] | None = None
        self.aborted: tuple[str, str] | None = None

    @property
    def finished(self) -> bool:
        return self.answer is not None or self.refusal is not None or self.aborted is not None

    def respond(self, head: Any, body: Any) -> None:
        assert not self.finished, "answered twice"
        self.answer = (head, body)

    def refuse(self, status: int, reason: str, detail: str = "", fields: Iterable[tuple[str, str]] = ()) -> None:
        assert not self.finished, "answered twice"
        self.refusal = (status, reason, detail, list(fields))

    def abort(self, reason: str, detail: str = "") -> None:
        self.aborted = (reason, detail)

    # --- what tests ask

    @property
    def status(self) -> int:
        """Of whichever answer there is; 0 for none."""
        if self.answer is not None:
            status: int = self.answer[0].status
            return status
        return 0 if self.refusal is None else self.refusal[0]

    @property
    def fields(self) -> dict[str, str]:
        """The answer's fields by lower-case name."""
        pairs = self.answer[0].fields if self.answer is not None else self.refusal[3] if self.refusal else []
        return {name.lower(): value for name, value in pairs}


@implementer(IWorkerPool)
class FakePool:
    """A pool that records what was submitted and runs nothing."""

    def __init__(self, ready: bool = True) -> None:
        self.ready = ready
        self.submitted: list[tuple[Any, str]] = []
        self.cancelled: list[Any] = []
        self.unbuffered: list[bool] = []
        self.shed = Shed()

    def shut(self, exchange: Any) -> bool:
        self.cancelled.append(("shut", exchange))
        return True

    def oldest_wait(self) -> float:
        return 0.0

    def submit(self, exchange: Any, script_name: str, unbuffered: bool = False) -> None:
        self.unbuffered.append(unbuffered)
        self.submitted.append((exchange, script_name))

    def cancel(self, exchange: Any) -> None:
        self.cancelled.append(exchange)

    def load(self) -> tuple[int, int, int]:
        return 0, 1, 0
