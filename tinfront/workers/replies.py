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

_PIECES = frozenset((DATA, END, CUT))
_FIRSTS = frozenset((START, FILE, FAIL))

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
        """Read no more of this worker thread; once all has come there is nothing to pause."""
        if self._stream.current is self:
            self._stream.unwatch()

    def resume(self) -> None:
        """Read on."""
        if self._stream.current is self:
            self._stream.watch()

    def stop(self) -> None:
        """The client has left: let the worker know, and let what it still sends go by."""
        self._stream.abandon(self)


class ReplyStream:
    """Reads the replies of one worker thread.

    :ivar current: the answer that is coming in pieces, or None.
    :ivar reads: how often something came; 0 for a worker that never answered.
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
        self.current: Streamed | None = None
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
            if kind != WHOLE or self.current is not None:
                self._take(frame)
                if self._fd < 0:
                    return
                continue
            job = pending.pop(job_id, None)
            if job is None:
                continue  # its client has left, or its deadline has passed
            known = _heads.get(head) or _learn(head)
            exchange = job.exchange
            if known is None or job.answering is not None or (length != len(body) and not _is_silent(job, known, body)):
                self._violate("a broken answer", job)
                return
            if exchange.finished:
                continue
            times = exchange.times
            times.claimed = claimed if claimed >= job.queued else job.queued
            times.pid = self._worker.pid
            status, reason, fields = known
            exchange.respond(ResponseHead(status, fields.copy(), None if length < 0 else length, reason), body)
        if self._decoder.error:
            self._violate(self._decoder.error)
            return
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
        kind, job_id, claimed, length, head, body = frame
        if self._held is not None:
            self._held.append(frame)
        elif kind in _PIECES:
            self._take_piece(kind, job_id, body)
        elif kind in _FIRSTS and self.current is None:
            job = self._pending.get(job_id)
            if job is not None and job.answering is not None:
                self._violate("a second answer", job)
            elif kind == FILE:
                self._respond_file(job, frame)
            elif job is not None:
                self._note(job, claimed)
                if kind == START:
                    self._start(job, length, head)
                else:
                    self._fail(job, body)
        elif kind == READY and not job_id:
            self._worker.on_ready()
        elif kind == BROKEN and not job_id:
            self._worker.on_broken(body.decode("utf-8", "replace"))
        elif kind != DROPPED or not self._queue.dropped(job_id):
            self._violate("a frame out of place")

    def _start(self, job: Job, length: int, head: bytes) -> None:
        known = _heads.get(head) or _learn(head)
        if known is None:
            self._violate("a broken head", job)
            return
        announced = None if length < 0 else length
        streamed = self.current = job.answering = Streamed(self, job, announced)
        status, reason, fields = known
        job.exchange.respond(ResponseHead(status, fields.copy(), announced, reason), streamed)
        if streamed.outbox is None and self.current is streamed:
            if job.exchange.finished:
                self.abandon(streamed)
            else:
                self._held = []
                self.unwatch()

    def _take_piece(self, kind: int, job_id: int, body: bytes) -> None:
        current = self.current
        if current is None or current.job.id != job_id:
            if current is not None or job_id in self._pending:
                self._violate("a piece of an answer that has not begun")
            elif kind != DATA:
                self._acknowledge()
            return
        if kind == DATA:
            if current.left is not None:
                current.left -= len(body)
                if current.left < 0:
                    self._violate("a body longer than announced")
                    return
            current.outbox.write(body)
            return
        self.current = None
        del self._pending[job_id]
        self.watch()
        self._acknowledge()
        if kind == CUT:
            reason, detail = _reason(body)
            current.outbox.fail(reason, detail)
        elif current.left:
            current.outbox.fail("bad-length", f"{current.left} bytes of the announced body are missing")
        else:
            current.outbox.finish()

    def _respond_file(self, job: Job | None, frame: Frame) -> None:
        _, job_id, claimed, length, head, body = frame
        file = self._take_file(job_id)
        if job is None:
            return
        known = _heads.get(head) or _learn(head)
        if file is None or known is None or len(body) != OFFSET.size or length < 0:
            self._violate("a broken file answer", job)
            return
        (offset,) = OFFSET.unpack(body)
        del self._pending[job_id]
        self._note(job, claimed)
        status, reason, fields = known
        if offset + length > os.fstat(file.fd).st_size:
            job.exchange.refuse(500, "bad-length", "the file has become shorter than the answer")
        elif not job.exchange.finished:
            job.exchange.respond(ResponseHead(status, fields.copy(), length, reason), FileSlice(file, offset, length))

    def _take_file(self, job_id: int) -> OpenFile | None:
        """The descriptor that came with a job: a regular file that can be read; None if there is no such thing."""
        for _ in range(_DRAIN_READS):
            try:
                data, fds, _, _ = socket.recv_fds(self._worker.files, OFFSET.size, 1, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                return None
            files = [OpenFile(fd) for fd in fds]
            if not data:
                return None
            if files and data == OFFSET.pack(job_id):
                return files[0] if _is_readable(files[0].fd) else None
        return None

    def _fail(self, job: Job, body: bytes) -> None:
        reason, detail = _reason(body)
        del self._pending[job.id]
        if not job.exchange.finished:
            job.exchange.refuse(_REFUSALS[reason], reason, detail)

    def _note(self, job: Job, claimed: float) -> None:
        job.exchange.times.claimed = claimed if claimed >= job.queued else job.queued
        job.exchange.times.pid = self._worker.pid

    def _acknowledge(self) -> None:
        try:
            self._socket.send(_ACK)
        except OSError:
            pass  # the worker is gone, and its end is on its way

    def _violate(self, why: str, job: Job | None = None) -> None:
        """The worker broke its protocol: nothing it says counts any more."""
        self.unwatch()
        self._fd = -1
        self._socket.close()
        current, self.current = self.current, None
        self._held = None
        if current is not None:
            self._pending.pop(current.job.id, None)
            if current.outbox is None:
                job = current.job
            else:
                current.outbox.fail("bad-reply", why)
        if job is not None:
            self._pending.pop(job.id, None)
            if job.answering is None or job.answering.outbox is None:
                job.exchange.refuse(502, "bad-reply", why)
        self._worker.on_violation(why)


def _learn(raw: bytes) -> Head | None:
    """Check a head, and remember it if it is good: most answers of an app begin with one of a few."""
    head = decode_head(raw)
    if head is not None and len(raw) <= _HEAD_KEPT:
        if len(_heads) >= _HEADS_MAX:
            _heads.clear()
        _heads[raw] = head
    return head


def _is_silent(job: Job, known: Head, body: bytes) -> bool:
    """Whether an answer without a body may announce a length."""
    return not body and (known[0] in {204, 304} or job.exchange.head.method == "HEAD")


def _reason(body: bytes) -> tuple[str, str]:
    reason, _, detail = body.decode("utf-8", "replace").partition("\0")
    return (reason if reason in _REFUSALS else "app-error"), detail


def _is_readable(fd: int) -> bool:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    return stat.S_ISREG(os.fstat(fd).st_mode) and flags & os.O_ACCMODE != os.O_WRONLY and not flags & os.O_PATH
