"""The life of one request, from its head to its last byte, in the order in which things happen.

    HEAD ──► BODY ──► HANDLING ──► SENDING ──► DONE          ABORTED, from any of them
     │                   ▲
     └───── no body ─────┘

``open``      find the site and the route, ask the request filters           (HEAD)
``receive``   body pieces go into the spool                                   (BODY)
``seal``      the body is complete: the handler gets the exchange, unless it streams and has it already (HANDLING)
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
from tinfront.front.answer import discard, filtered, fit, send_file
from tinfront.front.closing import cut, make_last
from tinfront.front.flow import Flow
from tinfront.front.outbox import Outbox
from tinfront.front.spool import Spool
from tinfront.http.forwarded import FIELDS as PROXY_FIELDS
from tinfront.http.message import Answer, Body, FileSlice, RequestHead, ResponseHead
from tinfront.interfaces import IExchange
from tinfront.routing.table import BoundRoute, SiteTable

if TYPE_CHECKING:
    from tinfront.front.connection import Connection

HEAD, BODY, HANDLING, SENDING, DONE, ABORTED = range(6)

CONTINUE = ResponseHead(100, [])

_number = count(1).__next__
_boot = secrets.token_hex(4)


@implementer(IExchange)
class Exchange:
    """See ``IExchange``; what is not there is for the connection.

    :ivar sent: bytes of the response's body that were handed to the transport.
    :ivar status: of the response; 499 if it ended before there was one; 0 before.
    :ivar reason: the reason code of a refused or cut answer, or "".
    :ivar received: monotonic seconds at which the body was complete; before, when its first byte was awaited.
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
        "when_shut",
    )

    def __init__(self, connection: Connection, stream_id: int, head: RequestHead) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.head = head
        self.peer = connection.peer
        self.local = connection.local
        self.secure = connection.https
        self.number = _number()
        self.started = self.received = monotonic()
        self.queued = self.claimed = self.answered = self.ended = 0.0
        self.pid = self.retries = self.sent = self.status = 0
        self.state = HEAD
        self.reason = ""
        self.site: SiteTable | None = None
        self.route: BoundRoute | None = None
        self.body: Spool | Flow | None = None
        self.when_gone: Any = None
        self.when_shut: Any = None
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

    @property
    def incomplete(self) -> bool:
        """Whether the client still has to send some of the request."""
        if self.state == HEAD:
            return self.head.length != 0 and (not self._early or self._early[-1] is not None)
        return self.state == BODY or (type(self.body) is Flow and not self.body.complete)

    # --- HEAD

    def open(self) -> None:
        """The head is there: find out who answers."""
        head = self.head
        try:
            if not PROXY_FIELDS.isdisjoint(head.fields):
                self.connection.terms.proxies.settle(self)
            site = self.connection.terms.table.by_authority[head.authority]
        except ProtocolError as error:  # a Host that is none: who knows what the rest is
            make_last(self.connection)
            self.refuse(error.status, error.reason, error.detail)
            return
        if site is None:
            self.refuse(421 if self.connection.secure else 404, "unknown-host", f"no site for {head.authority!r}")
            return
        if self.connection.secure and site.certificate != self.connection.certificate:
            self.refuse(421, "wrong-certificate", f"{head.authority!r} was asked for under another site's certificate")
            return
        self.site = site
        self.route = route = site.find(head.path)
        if route is None:
            _no_route(self)
        elif route.request_filters:
            self._ask(iter(route.request_filters))
        elif head.length == 0:
            self.state = HANDLING
            try:
                route.handle(self)
            except Exception:  # noqa: BLE001 - one broken handler must not cost other requests anything
                self.broken()
        else:
            self._admit(route)

    def _ask(self, filters: Iterator[Any]) -> None:
        """Ask the request filters in turn; the first answer wins. A Deferred is waited for, then the rest is asked."""
        try:
            for on_request in filters:
                answer = on_request(self)
                if isinstance(answer, Deferred):
                    answer.addCallback(self._asked, filters).addErrback(self._not_asked)
                    return
                if answer is not None or self.state != HEAD:
                    self._asked(answer, filters)
                    return
        except Exception:  # noqa: BLE001 - a plugin's error must not cost the connection its other requests
            self.broken()
            return
        self._admit(self.route)

    def _asked(self, answer: Answer | None, filters: Iterator[Any]) -> None:
        if self.state != HEAD:  # it was refused, or the client left, while the filter was waiting
            return
        if answer is None:
            self._ask(filters)
        else:
            self.respond(*answer)

    def _not_asked(self, failure: Failure) -> None:
        """The filter failed, which matters only to a request that still waits for it."""
        self.broken(failure) if self.state == HEAD else self._log_failure(failure)

    def _admit(self, route: BoundRoute | None) -> None:
        """Limits, route and filters agree: take the body, and only now say 100 Continue."""
        assert route is not None
        length = self.head.length
        if length == 0:
            self._handle(route)
            return
        if length is not None and length > route.body_limit:
            _too_large(self, route)
            return
        connection, terms = self.connection, self.connection.terms
        self.received = monotonic()
        if route.streams:
            self.body = Flow(route.body_limit, connection.hold_reading)
            self._handle(route)
        else:
            self.body = Spool(terms.budget, route.body_limit, terms.memory_max)
            self.state = BODY
        early, self._early = self._early, None
        if early is not None:
            if not connection.codec.multiplexed:
                connection.hold_reading(False)
            for data in early:
                self.seal() if data is None else self.receive(data)
        elif self.head.expects_continue and self.state <= HANDLING:
            connection.write(connection.codec.send_head(self.stream_id, CONTINUE, False))

    # --- BODY

    def receive(self, data: bytes) -> None:
        """A piece of the body."""
        if self.state == HEAD:  # a filter is still waiting
            self._wait(data)
        elif self.state < DONE and self.incomplete:
            assert self.body is not None
            try:
                self.body.feed(data)
            except ProtocolError as error:
                if error.status == 413 and self.route is not None:
                    _too_large(self, self.route)
                else:
                    self.refuse(error.status, error.reason, error.detail)
                return
            connection = self.connection
            if connection.codec.multiplexed:
                connection.reply(connection.codec.consumed(self.stream_id, len(data)))

    def _wait(self, data: bytes | None) -> None:
        """Keep what was already on its way (None: the end), and let no more come; windows do that by themselves."""
        if self._early is None:
            self._early = []
            if not self.connection.codec.multiplexed:
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
        elif type(self.body) is Flow and self.state < DONE:
            self.received = monotonic()
            self.body.seal()

    # --- HANDLING

    def _handle(self, route: BoundRoute) -> None:
        self.state = HANDLING
        try:
            route.handle(self)
        except Exception:  # noqa: BLE001 - one broken handler must not cost other requests anything
            self.broken()

    # --- SENDING

    def respond(self, head: ResponseHead, body: Body) -> None:
        """See ``IExchange``."""
        if self.state > HANDLING:
            discard(body)
            return
        if self.head.length != 0 and self.incomplete:
            make_last(self.connection)
        self.state = SENDING
        self.answered = monotonic()
        connection = self.connection
        codec = connection.codec
        transforms: Any = ()
        try:
            if self.route is not None and self.route.response_filters:
                head, body, transforms = filtered(self, self.route, head, body)
            if type(body) is bytes and not transforms and (length := len(body)) <= codec.whole_max:
                if head.length != length or self.head.method == "HEAD":
                    head, body = fit(self.head.method, head, body)
                data = codec.send_response(self.stream_id, head, body)
                self.status = head.status
                self.sent = len(body)
                self.state = DONE
                connection.write(data)
            else:
                begun = send_file(self, head, body) if type(body) is FileSlice and not transforms else None
                if begun is None or self.sent != head.length:
                    self._outbox = outbox = Outbox(self, transforms)
                    outbox.open(head, body, begun)
                    return
        except Exception:  # noqa: BLE001 - a plugin's error, or a head that cannot be sent
            if not self.status:
                discard(body)
            self.broken()
            return
        self.finish()

    # --- DONE

    def finish(self) -> None:
        """The last byte is with the transport, or none will be. Called once, by ``respond``, the outbox and below."""
        if self.state != ABORTED:
            self.state = DONE
        self.ended = monotonic()
        if self.body is not None:
            self.body.close()
        self._outbox = self.when_gone = None
        connection = self.connection
        for on_finish in connection.terms.observers if self.route is None else self.route.observers:
            try:
                on_finish(self)
            except Exception:  # noqa: BLE001 - a plugin's error
                self._log_failure(Failure())
        connection.finished(self)

    # --- when it does not go well

    def refuse(self, status: int, reason: str, detail: str = "", fields: Iterable[tuple[str, str]] = ()) -> None:
        """See ``IExchange``."""
        if self.state > HANDLING:
            self.abort(reason, detail)
            return
        self.reason = reason
        self.connection.terms.report(self, status, detail)
        head, body = self.connection.terms.pages.make(self, status, reason)
        head.fields.extend(fields)
        if status == 503 and all(name.lower() != "retry-after" for name, _ in head.fields):
            head.fields.append(("Retry-After", "1"))
        self.respond(head, body)

    def abort(self, reason: str, detail: str = "") -> None:
        """See ``IExchange``."""
        if self.state >= DONE:
            return
        self.reason = reason
        self.status = self.status or 499
        self.connection.terms.report(self, self.status, detail)
        self._drop()
        cut(self.connection, self.stream_id)
        self.finish()

    def leave(self) -> None:
        """The client has left."""
        if self.state >= DONE:
            return
        self.reason = self.reason or "client-gone"
        self.status = self.status or 499
        unanswered = self.state <= HANDLING
        self._drop()
        if unanswered and self.when_gone is not None:
            try:
                self.when_gone(self)
            except Exception:  # noqa: BLE001 - a handler's error must not keep the others from hearing of it
                self._log_failure(Failure())
        self.finish()

    def _drop(self) -> None:
        """Let go of whoever still sends for this exchange."""
        self.state = ABORTED
        if self._outbox is not None:
            try:
                self._outbox.stop()
            except Exception:  # noqa: BLE001 - a producer's error
                self._log_failure(Failure())

    def broken(self, failure: Failure | None = None) -> None:
        """A plugin or handler raised, now or earlier."""
        self._log_failure(failure or Failure())
        if self.state == SENDING and not self.status:
            # Nothing has been sent. A response filter failed, or the head cannot be put into bytes: without both, then.
            self.reason = "internal-error"
            head, body = self.connection.terms.pages.make(self, 500, self.reason)
            self._outbox = outbox = Outbox(self, ())
            outbox.open(head, body)
        else:
            self.refuse(500, "internal-error")

    def _log_failure(self, failure: Failure) -> None:
        self.connection.terms.report.failed(self, failure)


def _no_route(exchange: Exchange) -> None:
    if exchange.head.path == "*":  # OPTIONS *: the server is there (RFC 9110 section 9.3.7)
        exchange.respond(ResponseHead(204, []), b"")
    else:
        exchange.refuse(404, "no-route", f"no route for {exchange.head.path!r}")


def _too_large(exchange: Exchange, route: BoundRoute) -> None:
    where = f"body_limit = {route.body_limit} of [route:{route.model.site} {route.pattern}]"
    exchange.refuse(413, "body-too-large", f"the body is larger than {where}")
