"""A response body on its way to a client of whatever speed: memory, then an unlinked file, then the producer waits.

Made only for bodies that do not leave in one write: large ones, files, streams, and bodies that a filter changes.
The worker that produced the body is free as soon as the last of it is here.

What waits is as it was produced. Filters change it, and the codec frames it, only when the client can take it, so
that a body of several forms meets its filters in order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from tinfront.front.answer import bodiless, change
from tinfront.front.backlog import READ_SIZE, SEND_MAX, Backlog
from tinfront.front.closing import abort
from tinfront.http.message import Body, FileSlice, ResponseHead
from tinfront.interfaces import IOutbox

if TYPE_CHECKING:
    from tinfront.front.exchange import Exchange

SHRANK = "the file became shorter while it was sent"

TURN_MAX = 1024 * 1024
"""Bytes of a response sent before other connections get their turn."""


@implementer(IOutbox)
class Outbox:
    """See ``IOutbox``; what is not there is for the exchange and the connection.

    :ivar complete: nothing will be added to what is here.
    """

    __slots__ = (
        "_backlog",
        "_connection",
        "_exchange",
        "_left",
        "_paused",
        "_prefix",
        "_producer",
        "_rest",
        "_stopped",
        "_transforms",
        "_unbuffered",
        "complete",
    )

    def __init__(self, exchange: Exchange, transforms: Sequence[Any]) -> None:
        self._exchange = exchange
        self._connection = exchange.connection
        self._transforms = transforms
        self._backlog = Backlog(self._connection.terms)
        self._producer: Any = None
        self._paused = False
        self._unbuffered = False  # the producer waits as soon as the client does
        self.complete = False
        self._stopped = False
        self._left: int | None = None  # bytes that the head has promised
        self._prefix = b""  # the head, until the first of the body is there to leave with it
        self._rest: bytes | memoryview = b""  # ready to be sent, but over the stream's window

    # --- for the exchange

    def open(self, head: ResponseHead, body: Body, begun: bytes | None = None) -> None:
        """Send the head, then whatever there is of the body.

        :param begun: what has not left yet of a head whose file has begun to leave (``answer.send_file``).
        """
        exchange, connection = self._exchange, self._connection
        producer = None if isinstance(body, (bytes, FileSlice, list)) else body
        if producer is None and head.length is None and not self._transforms:
            head = head.copy()
            head.length = _length(body)
        self._left = head.length
        if begun is not None:
            assert isinstance(body, FileSlice)
            assert self._left is not None
            self._prefix = begun
            self._left -= exchange.sent
            body = FileSlice(body.file, body.offset + exchange.sent, body.length - exchange.sent)
        elif self._send_head(head):
            if producer is not None:
                producer.stop()
            return
        connection.outboxes[exchange.stream_id] = self
        if producer is None:
            self.complete = True
            self._backlog.extend(_pieces(body))
            self.drain()
        else:
            self._producer = producer
            self._unbuffered = getattr(producer, "unbuffered", False)
            if self._unbuffered:
                self._backlog.memory_max = SEND_MAX  # of one piece; nothing more comes then
            producer.start(self)
            self._flush()

    def _send_head(self, head: ResponseHead) -> bool:
        """Returns whether that is all, as nothing else may follow."""
        exchange, connection = self._exchange, self._connection
        ended = bodiless(exchange.head.method, head.status)
        data = connection.codec.send_head(exchange.stream_id, head, ended)
        exchange.status = head.status
        if not ended:
            self._prefix = data
            return False
        connection.write(data)
        if not exchange.finished:
            exchange.finish()
        return True

    def stop(self) -> None:
        """The response ends here, complete or not."""
        self._stopped = True
        self._connection.outboxes.pop(self._exchange.stream_id, None)
        self._backlog.close()
        self._rest = b""
        producer, self._producer = self._producer, None
        if producer is not None and not self.complete:
            producer.stop()

    @property
    def waiting(self) -> bool:
        """Whether there is something that only the client keeps from leaving."""
        return bool(self._backlog.queue or self._rest)

    @property
    def starved(self) -> bool:
        """Whether the spool has no room for it: a worker waits, or too much of it is in memory."""
        backlog = self._backlog
        return backlog.short and (not self.complete or backlog.held > backlog.memory_max + READ_SIZE)

    def feed(self) -> None:
        """The spool may have room again: try that, for one that is starved."""
        self._backlog.spill()
        self._pause_if_full()
        if self._paused and not self._backlog.full:
            self._paused = False
            self._producer.resume()

    # --- IOutbox, for the producer

    def write(self, data: bytes) -> None:
        """See ``IOutbox``."""
        if self.complete or self._stopped or not data:
            return
        if self._backlog.queue or self._rest or not self._connection.writable:
            if self._unbuffered:
                self._backlog.remember(data)
                self._backlog.settle()
            else:
                self._backlog.add(data)
        elif len(data) <= SEND_MAX:
            self._send(data)
            return
        else:
            self._backlog.extend((data,))
            self.drain()
        self._pause_if_full()

    def write_file(self, piece: FileSlice) -> None:
        """See ``IOutbox``."""
        if piece.length and not (self.complete or self._stopped):
            self._backlog.extend((FileSlice(piece.file, piece.offset, piece.length),))
            self.drain()

    def finish(self) -> None:
        """See ``IOutbox``."""
        if not (self.complete or self._stopped):
            self.complete = True
            if not self.waiting:
                self._emptied()

    def fail(self, reason: str, detail: str = "") -> None:
        """See ``IOutbox``."""
        if not (self.complete or self._stopped):
            self._producer = None  # it knows
            self._exchange.abort(reason, detail)

    def _pause_if_full(self) -> None:
        """At the bounds of its backlog the producer has to wait; one that is unbuffered waits earlier."""
        backlog = self._backlog
        full = backlog.held >= self._connection.terms.memory_max if self._unbuffered else backlog.full
        if full and not (self._paused or self._stopped or self.complete) and self._producer is not None:
            self._paused = True
            self._producer.pause()

    # --- out

    def drain(self) -> None:
        """Send what the transport and the stream's window take. Called when one of them takes more again."""
        connection, backlog = self._connection, self._backlog
        queue = backlog.queue
        turn = TURN_MAX
        while connection.writable and not self._stopped:
            if self._rest:
                self._pass(self._rest)
                if self._rest:
                    return  # the window is used up
            elif not queue:
                break
            elif turn <= 0:
                connection.terms.call_soon(self.drain)
                return
            elif isinstance(piece := queue[0], FileSlice):
                taken = self._send_file(piece)
                if taken < 0:
                    return
                turn -= taken
            else:
                data = backlog.pop()
                turn -= len(data)
                self._send(data)
        if self.waiting:
            backlog.settle()
        else:
            self._emptied()

    def _emptied(self) -> None:
        """Nothing waits. End, or let the producer go on."""
        if self._stopped:
            return
        if self.complete:
            if self._transforms:
                data, self._transforms = self._change(b"", True), ()
                self._send(data)
            if not (self._stopped or self._rest):
                self._end()
            return
        self._backlog.emptied()
        if self._paused:
            self._paused = False
            self._producer.resume()

    def _end(self) -> None:
        """Everything has been handed to the transport."""
        exchange, connection = self._exchange, self._connection
        if self._left:
            exchange.abort("bad-length", "the body is shorter than its Content-Length")
            return
        self.stop()
        data = self._prefix + connection.codec.send_body(exchange.stream_id, b"", True)
        if data:
            connection.write(data)
        if not exchange.finished:
            exchange.finish()

    def _flush(self) -> None:
        """Let the head go even if there is nothing yet to go with it."""
        if self._prefix and not self._stopped:
            data, self._prefix = self._prefix, b""
            self._connection.write(data)

    def _send(self, data: bytes) -> None:
        """Body bytes through the filters to the codec; never more than the head has promised."""
        if self._transforms:
            data = self._change(data, False)
        if not data or self._stopped:
            return
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self._exchange.abort("bad-length", "the body is longer than its Content-Length")
                return
        self._pass(data)

    def _pass(self, data: bytes | memoryview) -> None:
        """As much as the stream's window allows; the rest is kept."""
        connection, exchange = self._connection, self._exchange
        window = connection.codec.window(exchange.stream_id)
        if len(data) > window:
            view = memoryview(data)
            self._rest, data = view[window:], view[:window]
            if not window:
                self._flush()
                return
        else:
            self._rest = b""
        exchange.sent += len(data)
        framed = connection.codec.send_body(exchange.stream_id, bytes(data), False)
        if self._prefix and len(framed) <= READ_SIZE:
            framed, self._prefix = self._prefix + framed, b""
        self._flush()
        connection.write(framed)

    def _send_file(self, piece: FileSlice) -> int:
        """Some of a file. Returns how much, or -1 to stop for now."""
        connection = self._connection
        raw = not self._transforms and connection.codec.raw_bodies
        bypass = connection.bypass() if raw else None
        if bypass is None:
            return self._read_file(piece)
        if self._prefix:
            rest, self._prefix = bypass.write_ahead(self._prefix), b""
            if rest:
                connection.write(rest)
                return 0
        try:
            taken = bypass.send_file(piece, self.drain)
        except OSError:
            abort(connection)
            return -1
        if taken == 0:
            self._exchange.abort("file-shrank", SHRANK)
        elif taken > 0:
            self._exchange.sent += taken
            if self._left is not None:
                self._left -= taken
            self._backlog.advance(piece, taken)
        return taken or -1

    def _read_file(self, piece: FileSlice) -> int:
        """The same by way of memory, for TLS, chunks and filters."""
        if self._connection.transport.is_closing():
            return -1  # the client has gone; the news of it is on its way
        try:
            data = os.pread(piece.file.fd, min(READ_SIZE, piece.length), piece.offset)
        except OSError as error:
            self._exchange.abort("file-error", f"the file cannot be read: {error.strerror}")
            return -1
        taken = len(data)
        if not taken:
            self._exchange.abort("file-shrank", SHRANK)
            return -1
        self._backlog.advance(piece, taken)
        self._send(data)
        return taken

    def _change(self, data: bytes, last: bool) -> bytes:
        try:
            return change(self._transforms, data, last)
        except Exception:  # noqa: BLE001 - a plugin's error
            self._exchange.broken()
            return b""


def _pieces(body: Any) -> Iterator[Any]:
    """What of a body is not empty. Slices are copies: a file slice may be shared, and ours is used up."""
    for piece in body if isinstance(body, list) else (body,):
        if not isinstance(piece, FileSlice):
            if piece:
                yield piece
        elif piece.length:
            yield FileSlice(piece.file, piece.offset, piece.length)


def _length(body: Any) -> int:
    if isinstance(body, list):
        return sum(map(_length, body))
    return body.length if isinstance(body, FileSlice) else len(body)
