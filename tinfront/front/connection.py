"""One connection: a transport below, a codec beside, exchanges above.

It works on any transport with the names of ``asyncio.Transport`` (``interfaces.ITransport``). What it promises:
answers leave in order; nothing is read that cannot be kept; nothing is parsed while an answer is stuck; and every
close is one that lets the client read the answer first.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import implementer

from tinfront.errors import ProtocolError
from tinfront.front import patience
from tinfront.front.bypass import Bypass
from tinfront.front.exchange import Exchange
from tinfront.front.terms import Terms
from tinfront.http.message import RequestHead
from tinfront.interfaces import IConnection
from tinfront.wire.codec import END, RESET, WINDOW, Reply
from tinfront.wire.h1 import H1Codec

if TYPE_CHECKING:
    from tinfront.front.outbox import Outbox

HELD_MAX = 64 * 1024
"""Bytes of requests that may be pipelined behind one that is being answered; then reading pauses."""

_ALLOW = (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)
"""For a method that is refused before a resource could say what it allows (RFC 9110 section 15.5.6)."""

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Arrival(Protocol):
    """What a listener knows of a new connection."""

    peer: tuple[str, int]
    local: tuple[str, int]
    secure: bool


@implementer(IConnection)
class Connection:
    """See ``IConnection``.

    :ivar exchanges: those whose answer is due, by stream.
    :ivar outboxes: those whose body is on its way, by stream.
    :ivar writable: False while the transport's buffer is over its high mark.
    :ivar write: the transport's ``write``.
    """

    __slots__ = (
        "__weakref__",
        "_bypass",
        "_ended",
        "_lost",
        "_reading_held",
        "_receiving",
        "certificate",
        "codec",
        "count",
        "count_max",
        "deadline",
        "exchanges",
        "lingering",
        "local",
        "old_age",
        "outboxes",
        "patience",
        "peer",
        "secure",
        "terms",
        "transport",
        "writable",
        "write",
    )

    def __init__(self, terms: Terms, arrival: Arrival) -> None:
        self.terms = terms
        self.peer = arrival.peer
        self.local = arrival.local
        self.secure = arrival.secure
        self.certificate: object = None
        self.codec: Any = H1Codec(terms.parser, terms.preamble, terms.limits.head)
        self.exchanges: dict[int, Exchange] = {}
        self.outboxes: dict[int, Outbox] = {}
        self.transport: Any = None
        self.write: Callable[[bytes], object] = _nowhere
        self.writable = True
        self.lingering = False
        limits = terms.limits
        self.patience = patience.Patience(terms.clock())
        self.deadline = self.patience.born + limits.head_timeout
        self.old_age = self.patience.born + limits.keepalive_time + limits.keepalive_timeout
        self.count = 0
        self.count_max = limits.keepalive_requests
        self._bypass: Bypass | None = None
        self._receiving = False
        self._reading_held = False
        self._ended = False  # the client sends no more
        self._lost = False

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
                    exchange.open()
                else:
                    self._more(stream_id, event)
            if not codec.held or self.exchanges or self.lingering or not self.writable or self._lost:
                break
            events = codec.receive(b"")
        self._receiving = False
        if self.exchanges:
            self.deadline = patience.WATCHED
            if len(codec.held) > HELD_MAX or (codec.multiplexed and not self.writable):
                self.hold_reading(True)
            if self._lost:  # in the midst of it: what was opened since has no client
                self._leave_all()
        elif not self.writable:
            self.hold_reading(True)
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
                self._give_up(event)
        elif isinstance(event, Reply):
            self.reply(event)
        elif event is WINDOW:
            self._wake((stream_id,) if stream_id else tuple(self.outboxes))
        elif exchange is None:
            pass  # it was answered without the rest
        elif event is END:
            exchange.seal()
        elif event is RESET:
            exchange.leave()
        else:
            exchange.receive(event)

    def refuse_head(self, stream_id: int, error: ProtocolError) -> None:
        """A head that was not understood still gets an answer and its line in the logs."""
        if self._lost:
            return
        self.exchanges[stream_id] = exchange = Exchange(self, stream_id, RequestHead("-", "-", "-", {}, "", "-", ""))
        exchange.refuse(error.status, error.reason, error.detail, _ALLOW if error.status == 405 else ())

    def _give_up(self, error: ProtocolError) -> None:
        """The whole connection is not understood any more, and has no way to answer but goodbye."""
        self.terms.log.info("{peer} {reason}: {error}", peer=self.peer[0], reason=error.reason, error=error)
        self.codec.closing = True
        self._leave_all()
        self.close(error.reason)

    def eof_received(self) -> bool:
        """See ``IConnection``. A client may shut its side and still read the answers to what it has sent."""
        self._ended = True
        for exchange in tuple(self.exchanges.values()):
            if exchange.incomplete:  # and will be for ever
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
        """These streams may send again. Whose turn it was waits behind the others the next time."""
        outboxes = self.outboxes
        for stream_id in stream_ids:
            outbox = outboxes.pop(stream_id, None)
            if outbox is not None:
                outboxes[stream_id] = outbox
                outbox.drain()

    def connection_lost(self, error: Exception | None) -> None:
        """See ``IConnection``."""
        self._lost = True
        self.write = _nowhere
        self._close_bypass()
        self._leave_all()

    def _leave_all(self) -> None:
        for exchange in tuple(self.exchanges.values()):
            exchange.leave()

    # --- from the exchanges

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over: close, or go on with what the client has sent behind it."""
        self.exchanges.pop(exchange.stream_id, None)
        if self._lost:
            return
        if self.codec.closing:
            if not self.exchanges:
                self.close()
            return
        self.deadline = exchange.ended + self.terms.limits.keepalive_timeout
        if not self._receiving:
            self._advance()

    def _advance(self) -> None:
        """Take up what was held back while an answer was due or stuck."""
        if self._receiving or self._lost or self.lingering:
            return
        if self.exchanges:
            self.deadline = patience.WATCHED
        if not self.writable:
            self.hold_reading(True)
            return
        self.hold_reading(False)
        if self.codec.held:
            self.data_received(b"")
        if self._ended and not self.exchanges and self.writable:
            self.close()

    def hold_reading(self, hold: bool) -> None:
        """Let the kernel keep what the client sends, or take it again."""
        if hold != self._reading_held and not (self._lost or self._ended):
            self._reading_held = hold
            self.transport.pause_reading() if hold else self.transport.resume_reading()

    def hold_body(self, hold: bool) -> None:
        """Nobody takes the body that comes in, yet. Where streams have windows, its window is enough."""
        if not self.codec.multiplexed:
            self.hold_reading(hold)

    def reply(self, data: bytes) -> None:
        """Send what the codec has to say."""
        if data:
            self.write(data)

    # --- files

    def bypass(self) -> Bypass | None:
        """The way past the transport, if it may be taken now: plain, and everything before has left."""
        if self.secure or self._lost or self.transport.get_write_buffer_size() > 0:
            return None
        if self._bypass is None:
            sock = self.transport.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                self._bypass = Bypass(sock.fileno(), self.terms.descriptors)
        return self._bypass

    def _close_bypass(self) -> None:
        if self._bypass is not None:
            self._bypass.close()
            self._bypass = None

    # --- the end

    def stuck(self) -> bool:
        """Whether only the client keeps bytes of an answer from leaving."""
        return self.transport.get_write_buffer_size() > 0 or any(outbox.waiting for outbox in self.outboxes.values())

    def expire(self, now: float) -> None:
        """See ``IConnection``."""
        patience.expire(self, now)

    def drain(self) -> None:
        """See ``IConnection``."""
        self.codec.closing = True
        if not self.exchanges and not self.lingering:
            self.close()

    def close(self, reason: str = "") -> None:
        """Close so that the client can still read the answer.

        Bytes that come in unread would make the kernel reset the connection, so they are read and dropped for a while
        (RFC 9112 section 9.6).
        """
        self._close_bypass()
        transport = self.transport
        if transport is None or transport.is_closing() or self.lingering:
            return
        self.reply(self.codec.close(reason))
        if self._ended or not self.codec.unread:
            transport.close()
            return
        self.hold_reading(False)
        self.lingering = True
        patience.linger(self)
        if transport.can_write_eof():
            transport.write_eof()

    def cut(self, stream_id: int) -> None:
        """Give up one answer so that the client sees it is incomplete."""
        if self._lost:
            return
        data = self.codec.reset(stream_id, "")
        if data is not None:
            self.reply(data)
        elif self.codec.until_close:  # the end of the connection would pass for the end of the body
            sock = self.transport.get_extra_info("socket")
            if sock is not None and not self.secure:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            self.codec.closing = True
            self.abort()
        else:
            self.codec.closing = True
            self._close_bypass()
            self.transport.close()

    def abort(self) -> None:
        """Close now."""
        self._close_bypass()
        if self.transport is not None:
            self.transport.abort()


def _nowhere(_: bytes) -> None:
    """Where bytes go while there is no client: before and after."""
