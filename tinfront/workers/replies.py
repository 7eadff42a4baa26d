"""One reply stream: the frames of one worker thread become answers of exchanges.

Whatever a frame breaks, be it by a bug or by malice, ends that worker and nothing else: see ``_violate``. A thread
begins no job before the front has taken all of an answer that came in pieces (``child.Reply``), so a stream that is
paused for a slow client holds back no other answer.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from tinfront.http.message import FileSlice, OpenFile, ResponseHead
from tinfront.interfaces import IBodyProducer
from tinfront.workers.frames import (
    BROKEN,
    CUT,
    DATA,
    DROPPED,
    END,
    FAIL,
    FILE,
    OFFSET,
    READY,
    START,
    WHOLE,
    Decoder,
    Frame,
    Head,
    decode_head,
)

if TYPE_CHECKING:
    from tinfront.workers.jobs import Job, JobQueue

READ_SIZE = 64 * 1024
_DRAIN_READS = 64
_HEADS_MAX = 1024
_HEAD_KEPT = 1024
_ACK = b"\x06"
_REFUSALS = {"app-error": 500, "bad-header": 500, "bad-length": 500, "bad-job": 500}

_heads: dict[bytes, Head] = {}


@implementer(IBodyProducer)
class Streamed:
    """An answer that comes in pieces, as the producer of a response body.

    :ivar left: bytes that the announced length still allows; None: no length was announced.
    """

    __slots__ = ("_stream", "job", "left", "outbox")

    def __init__(self, stream: ReplyStream, job: Job, left: int | None) -> None:
        self._stream = stream
        self.job = job
        self.left = left
        self.outbox: Any = None

    def start(self, outbox: Any) -> None:
        """Begin to write."""
        self.outbox = outbox
        self._stream.release()

    def pause(self) -> None:
        """Read no more of this worker thread."""
        self._stream.unwatch()

    def resume(self) -> None:
        """Read on."""
        self._stream.watch()

    def stop(self) -> None:
        """The client has left: let the worker know, and let what it still sends go by."""
        self._stream.abandon(self)


class ReplyStream:
    """Reads the replies of one worker thread.

    :ivar reads: how often something came; 0 for a worker that never answered.
    """

    __slots__ = (
        "_board_slot",
        "_current",
        "_decoder",
        "_fd",
        "_held",
        "_pending",
        "_queue",
        "_socket",
        "_watched",
        "_watcher",
        "_worker",
        "reads",
    )

    def __init__(self, sock: socket.socket, watcher: Any, queue: JobQueue, worker: Any) -> None:
        """Watch ``sock``. ``worker`` is the ``crew.WorkerProcess`` behind it."""
        sock.setblocking(False)
        self._socket = sock
        self._fd = sock.fileno()
        self._watcher = watcher
        self._watched = False
        self._queue = queue
        self._pending = queue.pending
        self._worker = worker
        self._decoder = Decoder()
        self._current: Streamed | None = None
        self._held: list[Frame] | None = None
        self.reads = 0
        self.watch()

    def readable(self) -> None:
        """Take what has come."""
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.unwatch()
            self._worker.on_lost()
            return
        self.reads += 1
        pending = self._pending
        for frame in self._decoder.feed(data):
            kind, job_id, claimed, length, head, body = frame
            if kind != WHOLE or self._current is not None:
                self._take(frame)
                continue
            job = pending.pop(job_id, None)
            if job is None:
                continue  # its client has left, or its deadline has passed
            known = _heads.get(head) or _learn(head)
            exchange = job.exchange
            if known is None or job.answering is not None or (length != len(body) and not _is_silent(job, known, body)):
                self._violate("a broken answer", job)
                continue
            if exchange.finished:
                continue
            times = exchange.times
            times.claimed = claimed if claimed >= job.queued else job.queued
            times.pid = self._worker.pid
            status, reason, fields = known
            exchange.respond(ResponseHead(status, fields.copy(), None if length < 0 else length, reason), body)
        if self._decoder.error:
            self._violate(self._decoder.error)
        if self._queue.waiting:
            self._queue.pump()

    def drain(self) -> None:
        """Take all that has come, up to a bound."""
        for _ in range(_DRAIN_READS):
            before = self.reads
            if self._watched:
                self.readable()
            if self.reads == before:
                return

    def watch(self) -> None:
        """Read when something comes."""
        if not self._watched and self._fd >= 0:
            self._watched = True
            self._watcher.add_reader(self._fd, self.readable)

    def unwatch(self) -> None:
        """Let it wait in the socket."""
        if self._watched:
            self._watched = False
            self._watcher.remove_reader(self._fd)

    def close(self) -> None:
        """The worker is gone. Whatever it has sent is taken; an answer that is not complete by then never will be."""
        if self._fd < 0:
            return
        self.watch()
        self.drain()
        self.unwatch()
        self._fd = -1
        self._socket.close()

    def _take(self, frame: Frame) -> None:
        """Handle any frame."""
        kind, job_id, claimed, length, head, body = frame
        if self._held is not None:
            self._held.append(frame)
        elif kind in _PIECES:
            self._take_piece(kind, job_id, body)
        elif kind in {START, FILE, FAIL} and self._current is None:
            job = self._pending.get(job_id)
            if job is None:
                if kind == FILE:
                    self._take_file(job_id)
            elif job.answering is not None:
                self._violate("a second answer", job)
            elif kind == START:
                self._start(job, claimed, length, head)
            elif kind == FILE:
                self._respond_file(job, claimed, length, head, body)
            else:
                self._fail(job, claimed, body)
        elif kind == DROPPED and self._queue.dropped(job_id):
            pass
        elif kind == READY and not job_id:
            self._worker.on_ready()
        elif kind == BROKEN and not job_id:
            self._worker.on_broken(body.decode("utf-8", "replace"))
        else:
            self._violate("a frame out of place")
