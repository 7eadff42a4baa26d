"""One reply stream: the frames of one worker thread become answers of exchanges.

Whatever a frame breaks, be it by a bug or by malice, ends that worker and nothing else: see ``_violate``. A thread
begins no job before the front has taken all of an answer that came in pieces (``child.Reply``), so a stream that is
paused for a slow client holds back no other answer.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from tinfront.http.message import FileSlice, ResponseHead, field_block
from tinfront.http.status import REASONS
from tinfront.workers.descriptors import receive_file
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
    decode_failure,
    decode_head,
)
from tinfront.workers.streamed import Streamed

if TYPE_CHECKING:
    from tinfront.workers.jobs import Job, JobQueue

READ_SIZE = 64 * 1024
"""Bytes read at once; a larger buffer would be mapped and unmapped by the allocator each time."""

_ACKNOWLEDGE = b"\x06"
_DRAIN_READS = 64
_HEADS_MAX = 1024
_HEAD_KEPT = 1024
_PIECES = frozenset((DATA, END, CUT))
_FIRSTS = frozenset((START, FILE, FAIL))

Known = tuple[int, str | None, list[tuple[str, str]], bytes]
"""A head that was checked: status, reason if it is not the registered one, fields, and the fields as a block."""

_NO_HEAD: Known = (200, None, [], b"")
_heads: dict[bytes, Known] = {}


class ReplyStream:
    """Reads the replies of one worker thread.

    :ivar current: the answer that is coming in pieces, or None.
    :ivar reads: how often something came.
    """

    __slots__ = (
        "_decoder",
        "_fd",
        "_held",
        "_pending",
        "_queue",
        "_socket",
        "_watched",
        "_watcher",
        "_worker",
        "current",
        "reads",
    )

    def __init__(self, sock: socket.socket, watcher: Any, queue: JobQueue, worker: Any) -> None:
        """Watch ``sock``. ``worker`` is the ``WorkerProcess`` behind it."""
        sock.setblocking(False)
        self._socket = sock
        self._fd = sock.fileno()
        self._watcher = watcher
        self._watched = False
        self._queue = queue
        self._pending = queue.pending
        self._worker = worker
        self._decoder = Decoder()
        self._held: list[Frame] | None = None
        self.current: Streamed | None = None
        self.reads = 0
        self.watch()

    def readable(self) -> None:  # noqa: C901 - see there
        """Take what has come. The way of a whole answer is all here: each call on it would be one per request."""
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
        for frame in self._decoder.feed(data):
            kind, job_id, claimed, length, head, body = frame
            if kind != WHOLE or self.current is not None:
                self._take(frame)
                if self._fd < 0:
                    return
                continue
            job = self._pending.pop(job_id, None)
            if job is None:
                continue  # its client has left, or its deadline has passed
            known = _heads.get(head) or _learn(head)
            if known is None or job.answering is not None or (length != len(body) and not _is_silent(job, known, body)):
                self._violate("a broken answer", job)
                return
            exchange = job.exchange
            exchange.claimed = claimed if claimed >= job.queued else job.queued
            worker = self._worker
            worker.served = served = worker.served + 1
            if served == worker.requests_max:
                worker.on_enough()
            exchange.pid = worker.pid
            status, reason, fields, block = known
            answer = ResponseHead(status, fields, length if length >= 0 else None, reason)
            if length >= 0 and status != 204:
                answer.block = b"%bContent-Length: %d\r\n" % (block, length)
            else:
                answer.block = block
            exchange.respond(answer, body)
        if self._decoder.error:
            self._violate(self._decoder.error)
        elif self._queue.line.count:
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
        if self._fd >= 0:
            self.watch()
            self.drain()
            self._shut()

    def release(self) -> None:
        """The outbox is there: what came before it may go."""
        held, self._held = self._held, None
        if held is not None:
            self.watch()
            for frame in held:
                self._take(frame)

    def abandon(self, streamed: Streamed) -> None:
        """Nobody wants the rest of this answer."""
        if self.current is streamed:
            self.current = None
            self._held = None
            self._queue.give_up(streamed.job)
            self.watch()

    def _take(self, frame: Frame) -> None:
        """Handle any frame but a WHOLE that is in its place."""
        kind, job_id, _, _, _, body = frame
        if self._held is not None:
            self._held.append(frame)
        elif kind in _PIECES:
            self._take_piece(kind, job_id, body)
        elif kind in _FIRSTS and self.current is None:
            self._take_first(frame)
        elif kind == READY and not job_id:
            self._worker.on_ready(body)
        elif kind == BROKEN and not job_id:
            self._worker.on_broken(body.decode("utf-8", "replace"))
        elif kind != DROPPED or not self._queue.dropped(job_id):
            self._violate("a frame out of place")

    def _take_first(self, frame: Frame) -> None:
        """The beginning of an answer, or all of it."""
        kind, job_id, claimed, length, head, body = frame
        file = receive_file(self._worker.files, job_id) if kind == FILE else None
        job = self._pending.get(job_id)
        if job is None:
            return
        known = _NO_HEAD if kind == FAIL else _heads.get(head) or _learn(head)
        if job.answering is not None or known is None or (kind == FILE and (file is None or length < 0)):
            self._violate("a broken answer", job)
            return
        exchange = job.exchange
        exchange.claimed = claimed if claimed >= job.queued else job.queued
        worker = self._worker
        worker.served += 1
        if worker.served == worker.requests_max:
            worker.on_enough()
        exchange.pid = worker.pid
        status, reason, fields, _ = known
        answer = ResponseHead(status, fields.copy(), None if length < 0 else length, reason)
        if kind == START:
            self._start(job, answer, bool(body))
            return
        del self._pending[job_id]
        if file is None:
            exchange.refuse(500, *decode_failure(body))
        elif len(body) != OFFSET.size or OFFSET.unpack(body)[0] + length > os.fstat(file.fd).st_size:
            exchange.refuse(500, "bad-length", "the file is shorter than the answer that the app made of it")
        else:
            exchange.respond(answer, FileSlice(file, OFFSET.unpack(body)[0], length))

    def _start(self, job: Job, head: ResponseHead, unbuffered: bool) -> None:
        streamed = self.current = job.answering = Streamed(self, job, head.length, unbuffered)
        job.exchange.respond(head, streamed)
        if streamed.outbox is None and self.current is streamed:
            # A filter takes its time; or the exchange is over and will never say so.
            if job.exchange.finished:
                self.abandon(streamed)
            else:
                self._held = []
                self.unwatch()

    def _take_piece(self, kind: int, job_id: int, body: bytes) -> None:
        """More of an answer that has begun, or its end, which the worker waits to see acknowledged."""
        current = self.current
        if current is None or current.job.id != job_id:
            if current is not None or job_id in self._pending:
                self._violate("a piece of an answer that has not begun")
            elif kind != DATA:
                self._acknowledge()
        elif kind == DATA:
            if not current.take(body):
                self._violate("a body longer than announced")
        else:
            self.current = None
            del self._pending[job_id]
            self.watch()
            self._acknowledge()
            current.end(kind, body)

    def _acknowledge(self) -> None:
        try:
            self._socket.send(_ACKNOWLEDGE)
        except OSError:
            pass  # the worker is gone, and its end is on its way

    def _violate(self, why: str, job: Job | None = None) -> None:
        """The worker broke its protocol: nothing it says counts any more."""
        self._shut()
        current, self.current, self._held = self.current, None, None
        if current is not None:
            self._pending.pop(current.job.id, None)
            current.fail(502, "bad-reply", why)
        if job is not None:
            self._pending.pop(job.id, None)
            if job.answering is None:
                job.exchange.refuse(502, "bad-reply", why)
            elif job.answering is not current:
                job.answering.stop()
                job.answering.fail(502, "bad-reply", why)
        self._worker.on_violation(why)

    def _shut(self) -> None:
        self.unwatch()
        self._fd = -1
        self._socket.close()


def _learn(raw: bytes) -> Known | None:
    """Check a head, and remember it if it is good: most answers of an app begin with one of a few."""
    head = decode_head(raw)
    if head is None:
        return None
    status, reason, fields = head
    if reason == REASONS.get(status):
        reason = None  # the codec has that line ready
    known = (status, reason, fields, field_block(ResponseHead(status, fields)))
    if len(raw) <= _HEAD_KEPT:
        if len(_heads) >= _HEADS_MAX:
            _heads.clear()
        _heads[raw] = known
    return known


def _is_silent(job: Job, known: Known, body: bytes) -> bool:
    """Whether an answer without a body may announce a length."""
    return not body and (known[0] in {204, 304} or job.exchange.head.method == "HEAD")
