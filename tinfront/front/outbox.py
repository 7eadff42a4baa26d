"""A response body on its way to a client of whatever speed: memory, then an unlinked file, then the producer waits.

Made only for bodies that do not leave in one write: large ones, files, streams, and bodies that a filter changes.
The worker that produced the body is free as soon as the last of it is here.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from tinfront.errors import SpoolFull
from tinfront.front.spool import SpoolFile
from tinfront.http.message import Body, FileSlice, Piece, ResponseHead
from tinfront.interfaces import IOutbox

if TYPE_CHECKING:
    from tinfront.front.exchange import Exchange

READ_SIZE = 64 * 1024
"""Bytes read from a file at a time where sendfile cannot be used (TLS, chunked, filters)."""

TURN_MAX = 1024 * 1024
"""Bytes of a file sent before other connections get their turn."""


@implementer(IOutbox)
class Outbox:
    """See ``IOutbox``; what is not there is for the exchange and the connection."""

    __slots__ = (
        "_complete",
        "_connection",
        "_exchange",
        "_file",
        "_held",
        "_left",
        "_paused",
        "_prefix",
        "_producer",
        "_queue",
        "_stopped",
        "_transforms",
    )

    def __init__(self, exchange: Exchange, transforms: list[Any]) -> None:
        self._exchange = exchange
        self._connection = exchange.connection
        self._transforms = transforms
        self._queue: deque[Piece] = deque()
        self._held = 0  # bytes of it that are in memory
        self._file: SpoolFile | None = None
        self._producer: Any = None
        self._paused = False
        self._complete = False  # nothing will be added to the queue
        self._stopped = False
        self._left: int | None = None  # bytes that the head has promised
        self._prefix = b""  # the head, until the first of the body is there to leave with it

    # --- for the exchange

    def open(self, head: ResponseHead, body: Body) -> None:
        """Send the head, then whatever there is of the body."""
        producer = None if isinstance(body, (bytes, FileSlice, list)) else body
        if self._transforms:
            if type(body) is bytes and self._has_body(head):  # known whole: its new length will be known, too
                self._open_whole(head, body)
                return
            head.length = None
        elif producer is None and head.length is None:
            head = head.copy()
            head.length = _length(body)
        codec, stream_id = self._connection.codec, self._exchange.stream_id
        if not self._has_body(head):
            self._connection.write(codec.send_head(stream_id, head, True))
            if producer is not None:
                producer.stop()
            self._exchange.finish()
            return
        self._left = head.length
        self._prefix = codec.send_head(stream_id, head, False)
        self._connection.outboxes[stream_id] = self
        if producer is not None:
            self._producer = producer
            producer.start(self)
            self._flush()
        else:
            self._start(body)

    def _has_body(self, head: ResponseHead) -> bool:
        return self._exchange.head.method != "HEAD" and head.status not in (204, 304)

    def _open_whole(self, head: ResponseHead, body: bytes) -> None:
        data = self._change(body) + self._last_change()
        self._transforms = []
        head.length = len(data)
        self.open(head, data)

    def _start(self, body: Any) -> None:
        """A body that is all there."""
        for piece in body if isinstance(body, list) else (body,):
            # A file slice may be shared, and ours is used up.
            mine = FileSlice(piece.file, piece.offset, piece.length) if isinstance(piece, FileSlice) else piece
            self._queue.append(mine)
        self._complete = True
        self.drain()

    def stop(self) -> None:
        """The response ends here, complete or not."""
        self._stopped = True
        self._connection.outboxes.pop(self._exchange.stream_id, None)
        self._queue.clear()
        self._file = None
        producer, self._producer = self._producer, None
        if producer is not None and not self._complete:
            producer.stop()

    @property
    def waiting(self) -> bool:
        """Whether there is something that only the client keeps from leaving."""
        return bool(self._queue)

    # --- IOutbox, for the producer

    def write(self, data: bytes) -> None:
        """See ``IOutbox``."""
        if self._stopped:
            return
        if self._transforms:
            data = self._change(data)
        if not data:
            return
        if self._queue or not self._connection.writable:
            self._hold(data)
        else:
            self._send(data)

    def write_file(self, piece: FileSlice) -> None:
        """See ``IOutbox``."""
        if not self._stopped:
            self._queue.append(FileSlice(piece.file, piece.offset, piece.length))
            self.drain()

    def finish(self) -> None:
        """See ``IOutbox``."""
        if self._stopped:
            return
        if self._transforms:
            data = self._last_change()
            self._transforms = []
            self.write(data)
        self._complete = True
        if not self._queue:
            self._end()

    def fail(self, reason: str, detail: str = "") -> None:
        """See ``IOutbox``."""
        if not self._stopped:
            self._exchange.abort(reason, detail)

    # --- what the client does not take yet

    def _hold(self, data: bytes) -> None:
        """Memory up to ``memory_max``, then a file; at its bounds the producer has to wait."""
        terms = self._connection.terms
        queue = self._queue
        if self._held + len(data) <= terms.memory_max and not (queue and isinstance(queue[-1], FileSlice)):
            queue.append(data)
            self._held += len(data)
            return
        try:
            if self._file is None:
                self._file = SpoolFile(terms.budget)
            piece = self._file.append(data)
        except SpoolFull:
            queue.append(data)
            self._held += len(data)
            self._pause()
            return
        last = queue[-1] if queue else None
        if isinstance(last, FileSlice) and last.file is piece.file and last.offset + last.length == piece.offset:
            last.length += piece.length
        else:
            queue.append(piece)
        if self._file.size >= terms.file_max:
            self._pause()

    def _pause(self) -> None:
        if not self._paused and self._producer is not None:
            self._paused = True
            self._producer.pause()

    # --- out

    def drain(self) -> None:
        """Send what the transport takes. Called when it takes more again."""
        connection, queue = self._connection, self._queue
        turn = TURN_MAX
        while queue and connection.writable:
            piece = queue[0]
            if turn <= 0:
                connection.terms.call_soon(self._again)
                return
            if isinstance(piece, bytes):
                queue.popleft()
                self._held -= len(piece)
                turn -= len(piece)
                self._send(piece)
            else:
                taken = self._send_file(piece)
                if taken < 0:
                    return
                turn -= taken
        if not queue and not self._stopped:
            self._emptied()

    def _again(self) -> None:
        if not self._stopped:
            self.drain()

    def _emptied(self) -> None:
        if self._complete:
            self._end()
            return
        if self._file is not None:
            self._file.empty()
        if self._paused:
            self._paused = False
            self._producer.resume()

    def _flush(self) -> None:
        """Let the head go even if the producer has nothing yet."""
        if self._prefix and not self._stopped:
            data, self._prefix = self._prefix, b""
            self._connection.write(data)

    def _send(self, data: bytes) -> None:
        """Body bytes through the codec; never more than the head has promised, nor than the window allows."""
        connection, exchange = self._connection, self._exchange
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                exchange.abort("bad-length", "the body is longer than its Content-Length")
                return
        window = connection.codec.window(exchange.stream_id)
        if len(data) > window:
            self._queue.appendleft(data[window:])
            self._held += len(data) - window
            if self._left is not None:
                self._left += len(data) - window
            data = data[:window]
            if not data:
                return
        exchange.sent += len(data)
        data = connection.codec.send_body(exchange.stream_id, data, False)
        if self._prefix and len(data) <= READ_SIZE:
            data, self._prefix = self._prefix + data, b""
        self._flush()
        connection.write(data)

    def _send_file(self, piece: FileSlice) -> int:
        """Some of a file. Returns how much, or -1 to stop for now."""
        connection, exchange = self._connection, self._exchange
        self._flush()
        if not self._transforms and connection.codec.raw_bodies and connection.can_send_files():
            taken = connection.send_file(piece, self._again)
            if taken < 0:
                return -1
            exchange.sent += taken
            if self._left is not None:
                self._left -= taken
        else:
            data = os.pread(piece.file.fd, min(READ_SIZE, piece.length), piece.offset)
            taken = len(data)
            if self._transforms:
                data = self._change(data)
            if taken:
                self._advance(piece, taken)
                if data:
                    self._send(data)
                return taken
        if not taken:
            exchange.abort("file-shrank", "the file became shorter while it was sent")
            return -1
        self._advance(piece, taken)
        return taken

    def _advance(self, piece: FileSlice, count: int) -> None:
        piece.offset += count
        piece.length -= count
        if not piece.length:
            self._queue.popleft()

    def _end(self) -> None:
        """Everything has been handed to the transport."""
        exchange, connection = self._exchange, self._connection
        if self._left:
            exchange.abort("bad-length", "the body is shorter than its Content-Length")
            return
        self._complete = True
        self.stop()
        data = self._prefix + connection.codec.send_body(exchange.stream_id, b"", True)
        if data:
            connection.write(data)
        exchange.finish()

    # --- filters

    def _change(self, data: bytes) -> bytes:
        for transform in self._transforms:
            data = transform.feed(data)
        return data

    def _last_change(self) -> bytes:
        """What the transforms still hold; each one's rest goes through those after it."""
        data = b""
        for transform in self._transforms:
            data = (transform.feed(data) if data else b"") + transform.finish()
        return data


def _length(body: Any) -> int:
    if isinstance(body, list):
        return sum(map(_length, body))
    return body.length if isinstance(body, FileSlice) else len(body)
