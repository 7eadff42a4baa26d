"""One connection: a transport below, a codec beside, exchanges above.

It works on any transport with the names of ``asyncio.Transport`` (``interfaces.ITransport``). What it promises:
answers leave in order; nothing is read that cannot be kept; nothing is parsed while an answer is stuck; and every
close is one that lets the client read the answer first.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import implementer

from tinfront.errors import ProtocolError
from tinfront.front import patience
from tinfront.front.exchange import Exchange
from tinfront.front.terms import Terms
from tinfront.http.message import FileSlice, RequestHead
from tinfront.interfaces import IConnection
from tinfront.wire.codec import END, RESET
from tinfront.wire.h1 import H1Codec

if TYPE_CHECKING:
    from tinfront.front.outbox import Outbox

HELD_MAX = 64 * 1024
"""Bytes of requests that may be pipelined behind one that is being answered; then reading pauses."""

SEND_FILE_MAX = 1024 * 1024
"""Bytes of a file that are sent before other connections get their turn."""

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
        "_descriptor",
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
        self.codec = H1Codec(terms.parser, terms.preamble, terms.limits.head)
        self.exchanges: dict[int, Exchange] = {}
        self.outboxes: dict[int, Outbox] = {}
        self.transport: Any = None
        self.write: Callable[[bytes], object] = _not_connected
        self.writable = True
        self.lingering = False
        limits = terms.limits
        self.patience = patience.Patience(terms.clock())
        self.deadline = self.patience.born + limits.head_timeout
        self.old_age = self.patience.born + limits.keepalive_time + limits.keepalive_timeout
        self.count = 0
        self.count_max = limits.keepalive_requests
        self._descriptor = -1
        self._receiving = False
        self._reading_held = False
        self._lost = False

    # --- from the transport

    def connection_made(self, transport: Any) -> None:
        """See ``IConnection``."""
        self.transport = transport
        self.write = transport.write
        if self.secure:
            self.certificate = self.terms.certificate_of(transport)

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
            if not codec.held or self.exchanges or self.lingering or not self.writable:
                break
            events = codec.receive(b"")
        self._receiving = False
        if self.exchanges:
            self.deadline = patience.WATCHED
            if len(codec.held) > HELD_MAX:
                self.hold_reading(True)
        elif not self.writable:
            self.hold_reading(True)
        elif codec.held:
            patience.head_begun(self)

    def _more(self, stream_id: int, event: Any) -> None:
        """Anything but a head."""
        exchange = self.exchanges.get(stream_id)
        if isinstance(event, ProtocolError):
            if exchange is None:
                self._refuse_head(stream_id, event)
            else:
                exchange.refuse(event.status, event.reason, event.detail)
        elif exchange is not None:
            if event is END:
                exchange.seal()
            elif event is RESET:
                exchange.leave()
            else:
                exchange.receive(event)

    def _refuse_head(self, stream_id: int, error: ProtocolError) -> None:
        """A head that was not understood still gets an answer and its line in the logs."""
        self.exchanges[stream_id] = exchange = Exchange(self, stream_id, RequestHead("-", "-", "-", {}, "", "-", ""))
        exchange.refuse(error.status, error.reason, error.detail)

    def eof_received(self) -> bool:
        """See ``IConnection``. A client may shut its side and still read the answer to what it sent."""
        if not self.exchanges or self.lingering:
            return False
        if self.codec.unread:  # a body that will never be complete
            self._leave_all()
        self.codec.closing = True
        return bool(self.exchanges) and not self.secure

    def pause_writing(self) -> None:
        """See ``IConnection``."""
        self.writable = False

    def resume_writing(self) -> None:
        """See ``IConnection``."""
        self.writable = True
        for outbox in tuple(self.outboxes.values()):
            outbox.drain()
        if not self.exchanges:
            self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        """See ``IConnection``."""
        self._lost = True
        self._close_descriptor()
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
        """Take up what was held back while an answer was due."""
        if self._reading_held:
            self.hold_reading(False)
        if self.codec.held and self.writable and not self.lingering and not self._lost:
            self.data_received(b"")

    def hold_reading(self, hold: bool) -> None:
        """Let the kernel keep what the client sends, or take it again."""
        if hold != self._reading_held and not self._lost:
            self._reading_held = hold
            self.transport.pause_reading() if hold else self.transport.resume_reading()

    # --- files by sendfile

    def can_send_files(self) -> bool:
        """Whether a file's bytes may go straight to the socket now: plain, and everything before them has left."""
        return not self.secure and self.transport.get_write_buffer_size() == 0 and self._raw_descriptor() >= 0

    def _raw_descriptor(self) -> int:
        """A duplicate of the socket's descriptor: the number itself may be another client's by the time we use it."""
        if self._descriptor < 0:
            sock = self.transport.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                self._descriptor = os.dup(sock.fileno())
        return self._descriptor

    def send_file(self, piece: FileSlice, again: Callable[[], None]) -> int:
        """Send some of a file; true only after ``can_send_files``.

        :returns: how many bytes; 0 at the end of the file; -1: nothing more goes now, and ``again`` is called when it
            does, unless the connection is being lost.
        """
        try:
            return os.sendfile(self._descriptor, piece.file.fd, piece.offset, min(piece.length, SEND_FILE_MAX))
        except BlockingIOError:
            self.terms.descriptors.add_writer(self._descriptor, self._sendable, again)
        except OSError:
            self.abort()
        return -1

    def _sendable(self, again: Callable[[], None]) -> None:
        self.terms.descriptors.remove_writer(self._descriptor)
        again()

    def _close_descriptor(self) -> None:
        """Before the transport closes, or the kernel would keep the connection open for the duplicate."""
        if self._descriptor >= 0:
            self.terms.descriptors.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    # --- the end

    def stuck(self) -> bool:
        """Whether only the client keeps bytes of an answer from leaving."""
        return self.transport.get_write_buffer_size() > 0 or any(outbox.waiting for outbox in self.outboxes.values())

    def time_out_head(self) -> None:
        """A head has not become complete in time."""
        self.codec.closing = True
        limit = self.terms.limits.head_timeout
        self._refuse_head(self.codec.stream_id + 1, ProtocolError(408, "head-timeout", f"no whole head in {limit:g} s"))

    def expire(self, now: float) -> None:
        """See ``IConnection``."""
        patience.expire(self, now)

    def drain(self) -> None:
        """See ``IConnection``."""
        self.codec.closing = True
        if not self.exchanges and not self.lingering:
            self.close()

    def close(self) -> None:
        """Close so that the client can still read the answer.

        Bytes that come in unread would make the kernel reset the connection, so they are read and dropped for a while
        (RFC 9112 section 9.6).
        """
        self._close_descriptor()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if not self.codec.unread:
            transport.close()
            return
        self.lingering = True
        self.hold_reading(False)
        patience.linger(self)
        if transport.can_write_eof():
            transport.write_eof()

    def cut(self, stream_id: int) -> None:
        """Give up one answer so that the client sees it is incomplete."""
        if self._lost:
            return
        data = self.codec.reset(stream_id, "")
        if data is not None:
            self.write(data)
        elif self.codec.until_close:  # the end of the connection would pass for the end of the body
            sock = self.transport.get_extra_info("socket")
            if sock is not None and not self.secure:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            self.abort()
        else:
            self.codec.closing = True
            self._close_descriptor()
            self.transport.close()

    def abort(self) -> None:
        """Close now."""
        self._close_descriptor()
        self.transport.abort()


def _not_connected(_: bytes) -> None:
    raise AssertionError("nothing is written before connection_made")
