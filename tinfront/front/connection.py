"""One connection: a transport below, a codec beside, exchanges above.

It works on any transport with the names of ``asyncio.Transport`` (``interfaces.ITransport``). What it promises:
answers leave in order; nothing is read that cannot be kept; nothing is parsed while an answer is stuck; and every
close is one that lets the client read the answer first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import implementer

from tinfront.errors import ProtocolError
from tinfront.front import closing, gather, patience
from tinfront.front.bypass import Bypass, TlsBypass
from tinfront.front.exchange import Exchange
from tinfront.front.terms import Terms
from tinfront.http.message import RequestHead
from tinfront.interfaces import IConnection
from tinfront.wire.codec import END, RESET, WINDOW, Reply
from tinfront.wire.h1 import H1Codec

if TYPE_CHECKING:
    from tinfront.front.gather import Gathering
    from tinfront.front.outbox import Outbox

HELD_MAX = 64 * 1024
"""Bytes of requests that may be pipelined behind one that is being answered; then reading pauses."""

_ALLOW = (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)
"""For a method that is refused before a resource could say what it allows (RFC 9110 section 15.5.6)."""


class Arrival(Protocol):
    """What a listener knows of a new connection."""

    peer: tuple[str, int]
    local: tuple[str, int]
    secure: bool
    https: bool
    trusted: bool


@implementer(IConnection)
class Connection:
    """See ``IConnection``.

    :ivar exchanges: those whose answer is due, by stream.
    :ivar outboxes: those whose body is on its way, by stream.
    :ivar writable: False while the transport's buffer is over its high mark.
    :ivar write: the transport's ``write``.
    :ivar lingering: the answer is out, and what still comes in is dropped.
    :ivar https: what its exchanges' ``secure`` begins with; ``secure`` is about the transport.
    :ivar ended: the client sends no more.
    :ivar lost: there is no connection any more.
    :ivar trusted: the peer is a proxy that is believed, see ``proxies``.
    """

    __slots__ = (
        "__weakref__",
        "_bypass",
        "_reading_held",
        "_receiving",
        "certificate",
        "codec",
        "count",
        "count_max",
        "deadline",
        "ended",
        "exchanges",
        "gathering",
        "https",
        "lingering",
        "local",
        "lost",
        "old_age",
        "outboxes",
        "patience",
        "peer",
        "secure",
        "terms",
        "transport",
        "trusted",
        "writable",
        "write",
    )

    def __init__(self, terms: Terms, arrival: Arrival) -> None:
        self.terms = terms
        self.peer = arrival.peer
        self.local = arrival.local
        self.secure = arrival.secure
        self.https = arrival.https
        self.trusted = arrival.trusted
        self.certificate: object = None
        self.codec: Any = H1Codec(terms.parser, terms.preamble, terms.limits.head)
        self.exchanges: dict[int, Exchange] = {}
        self.outboxes: dict[int, Outbox] = {}
        self.transport: Any = None
        self.write: Callable[[bytes], object] = _nowhere
        self.writable = True
        self.lingering = False
        self.gathering: Gathering | None = None
        limits = terms.limits
        self.patience = patience.Patience(terms.clock())
        self.deadline = self.patience.born + limits.head_timeout
        self.old_age = self.patience.born + limits.keepalive_time + limits.keepalive_timeout
        self.count = 0
        self.count_max = limits.keepalive_requests
        self._bypass: Bypass | TlsBypass | None = None
        self._receiving = False
        self._reading_held = False
        self.ended = False
        self.lost = False

    # --- from the transport

    def connection_made(self, transport: Any) -> None:
        """See ``IConnection``."""
        self.transport = transport
        self.write = transport.write
        if self.secure:
            self.certificate = self.terms.certificate_of(transport)
        if self.terms.codec_for is not None:
            self.codec = self.terms.codec_for(transport) or self.codec

    def data_received(self, data: bytes) -> None:
        """See ``IConnection``."""
        if self.lingering:
            self.patience.progress += 1
            return
        self._receiving = True
        codec = self.codec
        events = codec.receive(data)
        while events:
            for stream_id, event in events:
                if type(event) is RequestHead:
                    self.count += 1
                    if self.count >= self.count_max or self.deadline > self.old_age:
                        codec.closing = True  # this answer is the last, and says so
                    self.exchanges[stream_id] = exchange = Exchange(self, stream_id, event)
                    self.deadline = patience.WATCHED
                    exchange.open()
                else:
                    self._more(stream_id, event)
            if not codec.held or self.exchanges or self.lingering or not self.writable or self.lost:
                break
            events = codec.receive(b"")
        self._receiving = False
        if self.exchanges:
            if len(codec.held) > HELD_MAX or (codec.multiplexed and not self.writable):
                self.hold_reading(True)
            if self.lost:  # in the midst of it: what was opened since has no client
                self.leave_all()
        elif not self.writable:  # the client does not take its answers, so it may ask for no more
            self.hold_reading(True)
            self.deadline = patience.WATCHED
        elif codec.held:
            patience.head_begun(self)

    def _more(self, stream_id: int, event: Any) -> None:
        """Anything but a head."""
        exchange = self.exchanges.get(stream_id)
        if isinstance(event, ProtocolError):
            if exchange is not None:
                exchange.refuse(event.status, event.reason, event.detail)
            elif stream_id:
                self.refuse_head(stream_id, event)
            else:
                closing.give_up(self, event)
        elif isinstance(event, Reply):
            self.reply(event)
        elif event is WINDOW:
            self._wake((stream_id,) if stream_id else tuple(self.outboxes))
        elif exchange is None:  # it was answered without the rest
            if self.gathering is not None:
                gather.go_on(self, None)
        elif event is END:
            self.deadline = patience.WATCHED
            exchange.seal()
        elif event is RESET:
            exchange.leave()
        else:
            exchange.receive(event)
            if self.gathering is not None:
                gather.go_on(self, exchange)

    def refuse_head(self, stream_id: int, error: ProtocolError) -> None:
        """A head that was not understood still gets an answer and its line in the logs."""
        if self.lost:
            return
        head = RequestHead(*error.line, {}, "", "-", "")
        self.exchanges[stream_id] = exchange = Exchange(self, stream_id, head)
        self.deadline = patience.WATCHED
        exchange.refuse(error.status, error.reason, error.detail, _ALLOW if error.status == 405 else ())

    def eof_received(self) -> bool:
        """See ``IConnection``. A client may shut its side and still read the answers to what it has sent.

        Most that do so have left, though: whoever has better things to do may take it for that.
        """
        self.ended = True
        for exchange in tuple(self.exchanges.values()):
            if exchange.incomplete or (exchange.when_shut is not None and exchange.when_shut(exchange)):
                exchange.leave()
        return bool(self.exchanges) and not (self.lingering or self.secure)

    def pause_writing(self) -> None:
        """See ``IConnection``."""
        self.writable = False

    def resume_writing(self) -> None:
        """See ``IConnection``."""
        self.writable = True
        self._wake(tuple(self.outboxes))
        if not self.exchanges or self.codec.multiplexed:
            self._advance()

    def _wake(self, stream_ids: tuple[int, ...]) -> None:
        """These streams may send again. Who does so is behind the others the next time."""
        outboxes = self.outboxes
        for stream_id in stream_ids:
            outbox = outboxes.get(stream_id)
            if outbox is None:
                continue
            exchange = self.exchanges[stream_id]
            before = exchange.sent
            outbox.drain()
            if exchange.sent > before and stream_id in outboxes:
                outboxes[stream_id] = outboxes.pop(stream_id)

    def connection_lost(self, error: Exception | None) -> None:
        """See ``IConnection``."""
        self.lost = True
        self.write = _nowhere
        self.close_bypass()
        self.leave_all()

    def leave_all(self) -> None:
        """The client is gone for all exchanges."""
        for exchange in tuple(self.exchanges.values()):
            exchange.leave()

    # --- from the exchanges

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over: close, or go on with what the client has sent behind it."""
        self.exchanges.pop(exchange.stream_id, None)
        if self.lost:
            return
        if self.codec.closing:
            if not self.exchanges:
                closing.close(self)
            return
        self.deadline = patience.WATCHED if self.exchanges else exchange.ended + self.terms.limits.keepalive_timeout
        if not self._receiving and (
            self.codec.held or self.exchanges or self.ended or self._reading_held or not self.writable
        ):
            self._advance()

    def _advance(self) -> None:
        """Take up what was held back while an answer was due or stuck."""
        if self._receiving or self.lost or self.lingering:
            return
        if self.exchanges:
            self.deadline = patience.WATCHED
        if not self.writable:
            self.hold_reading(True)
            self.deadline = patience.WATCHED
            return
        self.hold_reading(False)
        if self.codec.held:
            self.data_received(b"")
        if self.ended and not self.exchanges and self.writable:
            closing.close(self)

    def hold_reading(self, hold: bool) -> None:
        """Let the kernel keep what the client sends, or take it again."""
        if hold != self._reading_held and not (self.lost or self.ended):
            self._reading_held = hold
            self.transport.pause_reading() if hold else self.transport.resume_reading()

    def reply(self, data: bytes) -> None:
        """Send what the codec has to say."""
        if data:
            self.write(data)

    # --- files

    def bypass(self) -> Bypass | TlsBypass | None:
        """The way past the transport, if there is one and it may be taken now: everything before has left."""
        if self.lost or self.transport.get_write_buffer_size() > 0:
            return None
        if self._bypass is None:
            sock = self.transport.get_extra_info("socket")
            if not self.secure and sock is not None and sock.fileno() >= 0:
                self._bypass = Bypass(sock.fileno(), self.terms.descriptors)
            elif (records := self.transport.get_extra_info("records")) is not None:
                self._bypass = TlsBypass(records)
        return self._bypass

    def close_bypass(self) -> None:
        """To be called before the transport closes."""
        if self._bypass is not None:
            self._bypass.close()
            self._bypass = None

    # --- the end

    def expire(self, now: float) -> None:
        """See ``IConnection``."""
        patience.expire(self, now)

    def drain(self, farewell: float = 0.0) -> None:
        """See ``IConnection``."""
        if farewell and not (self.exchanges or self.lingering or self.codec.multiplexed):
            self.count_max = 0  # the next answer is the last, and says so
            self.deadline = min(self.deadline, self.terms.clock() + farewell)
            return
        self.codec.closing = True
        if not self.exchanges and not self.lingering:
            closing.close(self)

    def end(self, detail: str) -> None:
        """See ``IConnection``."""
        closing.end(self, detail)

    def idle_since(self) -> float:
        """See ``IConnection``."""
        return patience.idle_since(self)


def _nowhere(_: bytes) -> None:
    """Where bytes go while there is no client: before and after."""
