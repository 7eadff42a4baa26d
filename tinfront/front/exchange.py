"""The life of one request, from its head to its last byte, in the order in which things happen.

    HEAD ──► BODY ──► HANDLING ──► SENDING ──► DONE          ABORTED, from any of them
     │                   ▲
     └───── no body ─────┘

``open``      find the site and the route, ask the request filters           (HEAD)
``receive``   body pieces go into the spool                                   (BODY)
``seal``      the body is complete: the handler gets the exchange             (HANDLING)
``respond``   the handler's answer goes through the response filters, and out (SENDING)
``finish``    observers are told, the connection goes on                      (DONE)

Whatever goes wrong on the way ends in ``refuse`` (an error page), ``abort`` (the answer has begun: cut it) or
``leave`` (the client has left).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from tinfront.errors import ProtocolError
from tinfront.front.outbox import Outbox
from tinfront.front.spool import Spool
from tinfront.http.message import Answer, Body, RequestHead, ResponseHead
from tinfront.interfaces import IExchange
from tinfront.routing.table import BoundRoute, SiteTable

if TYPE_CHECKING:
    from tinfront.front.connection import Connection

HEAD, BODY, HANDLING, SENDING, DONE, ABORTED = range(6)

CONTINUE = ResponseHead(100, [])

ONE_WRITE_MAX = 64 * 1024
"""Bodies of at most so many bytes leave together with their head; larger ones as the client takes them."""

_number = count(1).__next__
_boot = secrets.token_hex(4)


@implementer(IExchange)
class Exchange:
    """See ``IExchange``; what is not there is for the connection.

    :ivar sent: bytes of the response's body that were handed to the transport.
    :ivar status: of the response; 499 if the client left before there was one, 0 before.
    :ivar reason: the reason code of a refused or cut answer, or "".
    """

    __slots__ = (
        "_early",
        "_outbox",
        "answered",
        "body",
        "claimed",
        "connection",
        "ended",
        "head",
        "local",
        "number",
        "peer",
        "pid",
        "queued",
        "reason",
        "received",
        "retries",
        "route",
        "secure",
        "sent",
        "site",
        "started",
        "state",
        "status",
        "stream_id",
        "when_gone",
    )

    def __init__(self, connection: Connection, stream_id: int, head: RequestHead) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.head = head
        self.peer = connection.peer
        self.local = connection.local
        self.secure = connection.secure
        self.number = _number()
        self.started = self.received = monotonic()
        self.queued = self.claimed = self.answered = self.ended = 0.0
        self.pid = self.retries = self.sent = self.status = 0
        self.state = HEAD
        self.reason = ""
        self.site: SiteTable | None = None
        self.route: BoundRoute | None = None
        self.body: Spool | None = None
        self.when_gone: Any = None
        self._early: list[bytes | None] | None = None
        self._outbox: Outbox | None = None

    @property
    def request_id(self) -> str:
        """See ``IExchange``: eight digits of this process's start, then the exchange's number."""
        return f"{_boot}-{self.number:x}"

    @property
    def finished(self) -> bool:
        """See ``IExchange``."""
        return self.state >= DONE

    # --- HEAD

    def open(self) -> None:
        """The head is there: find out who answers."""
        head = self.head
        try:
            site = self.connection.terms.table.site_for(head.authority)
        except ProtocolError as error:
            self.refuse(error.status, error.reason, error.detail)
            return
        if site is None:
            self.refuse(421 if self.secure else 404, "unknown-host", f"no site for {head.authority!r}")
            return
        if self.secure and site.certificate != self.connection.certificate:
            self.refuse(421, "wrong-certificate", f"{head.authority!r} was asked for under another site's certificate")
            return
        self.site = site
        self.route = route = site.find(head.path)
        if route is None:
            self._no_route(head)
        elif route.request_filters:
            self._ask(iter(route.request_filters))
        elif head.length == 0:
            self._handle(route)
        else:
            self._admit(route)

    def _no_route(self, head: RequestHead) -> None:
        if head.path == "*":  # OPTIONS *: the server is there (RFC 9110 section 9.3.7)
            self.respond(ResponseHead(204, []), b"")
        else:
            self.refuse(404, "no-route", f"no route for {head.path!r}")

    def _ask(self, filters: Iterator[Any]) -> None:
        """Ask the request filters in turn; the first answer wins. A Deferred is waited for, then the rest is asked."""
        try:
            for on_request in filters:
                answer = on_request(self)
                if isinstance(answer, Deferred):
                    answer.addCallback(self._asked, filters).addErrback(self._broken)
                    return
                if answer is not None or self.state != HEAD:
                    self._asked(answer, filters)
                    return
        except Exception:  # noqa: BLE001 - a plugin's error must not cost the connection its other requests
            self._broken(Failure())
            return
        self._admit(self.route)

    def _asked(self, answer: Answer | None, filters: Iterator[Any]) -> None:
        if self.state != HEAD:  # it was refused, or the client left, while the filter was waiting
            return
        if answer is None:
            self._ask(filters)
        else:
            self.respond(*answer)

    def _admit(self, route: BoundRoute | None) -> None:
        """Limits, route and filters agree: take the body, and only now say 100 Continue."""
        assert route is not None
        length = self.head.length
        if length == 0:
            self._handle(route)
            return
        if length is not None and length > route.body_limit:
            self._too_large(route)
            return
        terms = self.connection.terms
        self.body = Spool(terms.budget, route.body_limit, terms.memory_max)
        self.state = BODY
        if self.head.expects_continue:
            self.connection.write(self.connection.codec.send_head(self.stream_id, CONTINUE, False))
        early, self._early = self._early, None
        if early is not None:
            self.connection.hold_reading(False)
            for data in early:
                self.seal() if data is None else self.receive(data)

    def _too_large(self, route: BoundRoute) -> None:
        limit = route.body_limit
        self.refuse(413, "body-too-large", f"the body is larger than body_limit = {limit} of {_name(route)}")

    # --- BODY

    def receive(self, data: bytes) -> None:
        """A piece of the body."""
        if self.state == BODY:
            assert self.body is not None
            try:
                self.body.feed(data)
            except ProtocolError as error:
                if error.status == 413 and self.route is not None:
                    self._too_large(self.route)
                else:
                    self.refuse(error.status, error.reason, error.detail)
        elif self.state == HEAD:  # a filter is still waiting
            self._wait(data)

    def _wait(self, data: bytes | None) -> None:
        """Keep what was already on its way, and let no more come. None stands for the end."""
        if self._early is None:
            self._early = []
            self.connection.hold_reading(True)
        self._early.append(data)

    def seal(self) -> None:
        """The body is complete."""
        if self.state == HEAD:
            self._wait(None)
        elif self.state == BODY:
            assert self.route is not None
            self.received = monotonic()
            self._handle(self.route)

    # --- HANDLING

    def _handle(self, route: BoundRoute) -> None:
        self.state = HANDLING
        try:
            route.handle(self)
        except Exception:  # noqa: BLE001 - one broken handler must not cost other requests anything
            self._broken(Failure())

    # --- SENDING

    def respond(self, head: ResponseHead, body: Body) -> None:
        """See ``IExchange``."""
        if self.state > HANDLING:
            return
        self.state = SENDING
        self.answered = monotonic()
        connection = self.connection
        route = self.route
        if route is not None and route.response_filters:
            try:
                head, transforms = self._filter(route, head)
            except Exception:  # noqa: BLE001 - a plugin's error
                self._broken(Failure())
                return
            if transforms:
                self._send_slowly(head, body, transforms)
                return
        self.status = head.status
        if type(body) is bytes and len(body) <= ONE_WRITE_MAX:
            if head.length is None or (body and head.length != len(body)):
                head = head.copy()
                head.length = len(body)
            connection.write(connection.codec.send_response(self.stream_id, head, body))
            self.sent = len(body)
            self.finish()
        else:
            self._send_slowly(head, body, [])

    def _filter(self, route: BoundRoute, head: ResponseHead) -> tuple[ResponseHead, list[Any]]:
        """Ask each response filter once; only those that return a transform touch the body."""
        if head.block is not None:
            head = head.copy()
        transforms = []
        for on_response in route.response_filters:
            transform = on_response(self, head)
            if transform is not None:
                transforms.append(transform)
        return head, transforms

    def _send_slowly(self, head: ResponseHead, body: Body, transforms: list[Any]) -> None:
        """The body is large, a file, a stream, or changed on its way: it leaves as the client takes it."""
        self.status = head.status
        self._outbox = outbox = Outbox(self, transforms)
        outbox.open(head, body)

    # --- DONE

    def finish(self) -> None:
        """The last byte is with the transport. Called by ``respond`` and by the outbox."""
        self.state = DONE
        self._end()

    def _end(self) -> None:
        self.ended = monotonic()
        if self.body is not None:
            self.body.close()
        self._outbox = self.when_gone = None
        connection = self.connection
        for on_finish in connection.terms.observers if self.route is None else self.route.observers:
            on_finish(self)
        connection.finished(self)

    # --- when it does not go well

    def refuse(self, status: int, reason: str, detail: str = "", fields: Iterable[tuple[str, str]] = ()) -> None:
        """See ``IExchange``."""
        if self.state > HANDLING:
            self.abort(reason, detail)
            return
        self.reason = reason
        self._report(status, detail)
        head, body = self.connection.terms.pages.make(self, status, reason)
        head.fields.extend(fields)
        self.respond(head, body)

    def abort(self, reason: str, detail: str = "") -> None:
        """See ``IExchange``."""
        if self.state >= DONE:
            return
        self.reason = reason
        self._report(self.status or 499, detail)
        self._drop()
        self.connection.cut(self.stream_id)
        self._end()

    def leave(self) -> None:
        """The client has left."""
        if self.state >= DONE:
            return
        self.reason = self.reason or "client-gone"
        self.status = self.status or 499
        self._drop()
        self._end()

    def _drop(self) -> None:
        """Let go of whoever still works for this exchange."""
        self.state = ABORTED
        if self._outbox is not None:
            self._outbox.stop()
        if self.when_gone is not None:
            self.when_gone(self)

    def _broken(self, failure: Failure) -> None:
        """A plugin or handler raised."""
        self.connection.terms.log.failure("request {id}: a handler or filter failed", failure, id=self.request_id)
        if self.state == SENDING and self.status == 0:  # a response filter failed: without it, then
            self.route, self.state = None, HANDLING
        self.refuse(500, "internal-error")

    def _report(self, status: int, detail: str) -> None:
        """One line that says why; the access log only has the code."""
        log = self.connection.terms.log
        (log.debug if status in (404, 405) else log.info)(
            '{peer} "{method} {target}" {status} {reason}: {detail} [{id}]',
            peer=self.peer[0] or "unix:",
            method=self.head.method,
            target=self.head.target,
            status=status,
            reason=self.reason,
            detail=detail or "-",
            id=self.request_id,
        )


def _name(route: BoundRoute) -> str:
    return f"[route:{route.model.site} {route.pattern}]"
