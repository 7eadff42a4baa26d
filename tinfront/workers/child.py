"""The life of a worker process: take a job, claim it, run it, answer; until told to stop.

Forked by the nursery. Only the main thread receives, and only while it has a free slot: threads that block in ``recv``
would let a worker with a stuck thread go on pulling jobs. With one slot the main thread runs the job itself, else it
hands it to the slot's thread. The claim is written after ``recv`` and before the look at the revocations (board.py).
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from types import FrameType
from typing import Any, NamedTuple

from tinfront.errors import ClientGone, StopNow
from tinfront.workers import applog, frames
from tinfront.workers.board import GONE, RING, SEAT_BITS, SHUT, Board
from tinfront.workers.environ import add_input, base_environ, close_input, make_environ
from tinfront.workers.gateway import FileWrapper, run
from tinfront.workers.headers import Fields

STOP = signal.SIGRTMIN + 1
"""Finish the job at hand, take no other, exit. Real-time, because apps own USR1 and USR2. TERM does the same; when it
comes to a worker that is stopping already, it raises SystemExit in the app."""

DUMP = signal.SIGRTMIN + 2
"""Write the stacks of all threads at once, whoever holds the interpreter's lock. For those that do not follow TELL, as
stacks that are read while threads run may be nonsense."""

TELL = signal.SIGRTMIN + 3
"""Write the stacks of all threads as soon as the main thread gets the interpreter's lock, then ``TOLD``."""

TOLD = b"\x04\n"
"""Behind what TELL has written: the interpreter is alive, and the stacks are whole."""

SIGNALS = (STOP, TELL)

_FD = socket.CMSG_SPACE(4)
_CUT = socket.MSG_TRUNC | socket.MSG_CTRUNC

Job = tuple[int, float, str, int, bytes | None, int, int]
"""Id, time of the claim, text, body's length, body, descriptor or -1, flags."""


class Outfit(NamedTuple):
    """What a worker is given at its birth.

    :ivar seat: which worker it is; its slots on the board are ``seat * threads`` and on.
    :ivar jobs: the receiving end of the queue.
    :ivar files: socket on which descriptors go to the front.
    :ivar streams: one reply stream per thread.
    :ivar stacks: descriptor on which stacks go to the front, or -1.
    """

    seat: int
    jobs: socket.socket
    board: Board
    files: socket.socket
    streams: list[socket.socket]
    version: str
    multiprocess: bool
    stacks: int = -1


def answer_questions(fd: int) -> None:
    """Write stacks into the pipe ``fd`` when asked to, from now on."""

    def tell(*_: object) -> None:
        # Here the interpreter's lock is held, so that no stack changes while it is read.
        try:
            faulthandler.dump_traceback(fd, all_threads=True)
            os.write(fd, TOLD)
        except OSError:
            pass  # the front is gone

    signal.signal(TELL, tell)
    faulthandler.register(DUMP, file=fd)


class Stopped(BaseException):
    """Raised out of ``recv`` by the stop signal."""


class Reply:
    """The way out for one thread's answers: an ``IReply``, used for one job after the other.

    :ivar started: the head has left alone.
    :ivar lost: the front cannot be reached any more.
    :ivar unbuffered: see ``IReply``.
    """

    __slots__ = (
        "_at",
        "_files",
        "_ids",
        "_revoked",
        "_stream",
        "claimed",
        "job_id",
        "lost",
        "started",
        "unbuffered",
    )

    def __init__(self, stream: socket.socket, files: socket.socket, board: Board, at: int = 0) -> None:
        """:param at: where the claim of its slot stands on the board."""
        self.job_id = 0
        self.unbuffered = False
        self.claimed = 0.0
        self.lost = False
        self.started = False
        self._stream = stream
        self._files = files
        self._revoked = board.revoked
        self._ids = board.ids
        self._at = at + Board.LEFT

    def client_connected(self) -> bool:
        """Whether anybody still waits for the answer of this slot's job: ``tinfront.client_connected`` in environ."""
        job_id = self.job_id
        marks = (job_id | GONE, job_id | SHUT)
        return self._revoked[job_id % RING] not in marks and self._ids[self._at] not in marks

    def send(self, status: str, fields: Fields, body: bytes, length: int | None) -> None:
        """The whole answer."""
        if len(body) > frames.WHOLE_MAX:
            self.start(status, fields, b"", length)
            self.finish(body)
            return
        try:
            self._stream.sendall(frames.encode_reply(frames.WHOLE, self.job_id, self.claimed, length, fields.raw, body))
        except OSError:
            self.lost = True

    def start(self, status: str, fields: Fields, data: bytes, length: int | None) -> None:
        """The head and some body; more follows.

        :raises ClientGone: nobody wants the rest.
        """
        self.started = True
        self.put(frames.START, length, fields.raw, b"\x01" if fields.flush or self.unbuffered else b"")
        if data:
            self.write(data)

    def write(self, data: bytes) -> None:
        """More body. Blocks while the client is slow and the front has buffered enough.

        :raises ClientGone: nobody wants the rest.
        """
        if len(data) <= frames.PIECE_MAX:
            self.put(frames.DATA, None, b"", data)
            return
        view = memoryview(data)
        for at in range(0, len(data), frames.PIECE_MAX):
            self.put(frames.DATA, None, b"", view[at : at + frames.PIECE_MAX])

    def finish(self, data: bytes) -> None:
        """The last of a started body."""
        if data:
            self.write(data)
        self._end(frames.END, b"")

    def send_file(self, status: str, fields: Fields, fd: int, offset: int, length: int) -> None:
        """The whole answer, its body being a run of a file: the front needs no worker to send it."""
        try:
            socket.send_fds(self._files, [frames.OFFSET.pack(self.job_id)], [fd])
        except OSError as error:
            self.fail("app-error", f"the file's descriptor cannot be passed: {error}")
            return
        self.put(frames.FILE, length, fields.raw, frames.OFFSET.pack(offset))

    def fail(self, reason: str, detail: str) -> None:
        """The app failed."""
        body = f"{reason}\0{detail[:4096]}".encode("utf-8", "backslashreplace")
        if self.started:
            self._end(frames.CUT, body)
        else:
            self.put(frames.FAIL, None, b"", body)

    def put(self, kind: int, length: int | None, head: bytes, body: bytes | memoryview) -> None:
        """Send one frame.

        :raises ClientGone: the job was revoked, or the front is gone.
        """
        job_id = self.job_id
        gone = job_id | GONE
        if self._revoked[job_id % RING] == gone or self._ids[self._at] == gone:
            raise ClientGone
        try:
            self._stream.sendall(frames.encode_reply(kind, job_id, self.claimed, length, head, body))
        except OSError:
            self.lost = True
            raise ClientGone from None

    def _end(self, kind: int, body: bytes) -> None:
        """Send the last frame of a started answer, and wait until the front has taken it all.

        It reads slowly for a slow client, and this thread's next answer must not stand behind that one.
        """
        self.started = False
        self.put(kind, None, b"", body)
        try:
            self.lost = not self._stream.recv(1)
        except OSError:
            self.lost = True


class Slot:
    """One thread's place: its reply stream, its claim on the board, its environ.

    :ivar at: where its claim stands in the board's views.
    :ivar inbox: jobs for its thread; None ends it. Unused if the main thread runs the jobs.
    """

    __slots__ = ("_app", "_base", "_finished", "_ids", "_seat", "at", "inbox", "reply")

    def __init__(
        self, at: int, app: Callable[..., Any], base: dict[str, Any], reply: Reply, board: Board, seat: int = 0
    ) -> None:
        self.at = at
        self.reply = reply
        self.inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._app = app
        self._base = {**base, "tinfront.client_connected": reply.client_connected}
        self._ids = board.ids
        self._finished = board.finished
        self._seat = seat

    def perform(self, job: Job) -> None:
        """Run one job and give its answer."""
        reply = self.reply
        reply.job_id, reply.claimed, text, length, body, fd, flags = job
        reply.started = False
        reply.unbuffered = flags & frames.UNBUFFERED != 0
        parts = text.split("\0")
        fixed = parts[: frames.FIXED]
        values = (len(parts) + frames.FIXED) // 2  # behind the names come as many values
        environ = make_environ(
            self._base, fixed, parts[frames.FIXED : values], parts[values:], flags & frames.SECURE != 0
        )
        stream = add_input(environ, length, body, fd)
        applog.current[threading.get_ident()] = fixed[-1]
        run(self._app, environ, reply)
        if fd >= 0:
            close_input(stream)
        if applog.unfinished:
            applog.settle()
        if not reply.lost:  # else the claim stays, so that the front knows: this job was begun
            # Behind junk of the app's in the stream the answer is lost: the note tells, in the claim's place.
            job_id = job[0]
            self._finished[job_id % RING] = job_id << SEAT_BITS | self._seat
            self._ids[self.at] = 0

    def leave(self, job: Job, why: str = "") -> None:
        """Do not run a job: it was revoked, or it is broken."""
        self.reply.job_id, self.reply.claimed, fd = job[0], job[1], job[5]
        self.reply.started = False
        try:
            if why:
                self.reply.fail("bad-job", why)
            else:
                self.reply.put(frames.DROPPED, None, b"", b"")
        except ClientGone:
            pass
        if fd >= 0:
            os.close(fd)
        self._ids[self.at] = 0

    def live(self, idle: SimpleQueue[Slot]) -> None:
        """The life of a thread."""
        while (job := self.inbox.get()) is not None:
            self.perform(job)
            if self.reply.lost:
                os.kill(os.getpid(), STOP)  # the main thread may be waiting for this slot
                return
            idle.put(self)


class Worker:
    """The main thread's half: receives, claims, hands over, and minds the signals."""

    def __init__(self, outfit: Outfit, app: Callable[..., Any]) -> None:
        board, threads = outfit.board, len(outfit.streams)
        self._jobs = outfit.jobs
        self._board = board
        self._receiving = False
        self._stopping = False
        errors = applog.AppStream(applog.emit_to(2), applog.ERROR, 2)  # whatever the app made of sys.stderr
        base = base_environ(outfit.version, threads > 1, outfit.multiprocess, errors, FileWrapper)
        self._slots = []
        for number, stream in enumerate(outfit.streams):
            at = (outfit.seat * threads + number) * Board.STEP
            self._slots.append(Slot(at, app, base, Reply(stream, outfit.files, board, at), board, outfit.seat))

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """STOP or TERM came."""
        again = self._stopping
        self._stopping = True
        if self._receiving:
            # Whatever recv may already hold is lost with it; the front takes that job back from the board.
            self._receiving = False
            raise Stopped
        if again and number == signal.SIGTERM:
            raise StopNow(0)

    def serve(self) -> None:
        """Work until told to stop, or until the front is gone."""
        signal.signal(STOP, self.on_signal)
        signal.signal(signal.SIGTERM, self.on_signal)
        slots = self._slots
        idle: SimpleQueue[Slot] | None = None
        threads: list[threading.Thread] = []
        if len(slots) > 1:
            idle = SimpleQueue()
            for number, slot in enumerate(slots):
                idle.put(slot)
                threads.append(threading.Thread(target=slot.live, args=(idle,), name=f"worker-{number}", daemon=True))
                threads[-1].start()
        idents = [(thread.native_id or 0, thread.ident or 0) for thread in threads or [threading.current_thread()]]
        slots[0].reply.put(frames.READY, None, b"", frames.encode_threads(idents))
        try:
            self._receive(slots[0], idle)
            self._receiving = False  # a second STOP has nothing to interrupt any more
        except Stopped:
            pass
        for slot in slots:
            slot.inbox.put(None)
        for thread in threads:
            thread.join()

    def _receive(self, slot: Slot, idle: SimpleQueue[Slot] | None) -> None:
        buffer = bytearray(frames.JOB_MAX)
        view = memoryview(buffer)
        buffers = [buffer]
        take, unpack, header = self._jobs.recvmsg_into, frames.JOB.unpack_from, frames.JOB.size
        ids, times, revoked = self._board.ids, self._board.times, self._board.revoked
        while True:
            self._receiving = True
            if self._stopping:
                return
            if idle is not None:
                slot = idle.get()
            try:
                size, ancillary, flags, _ = take(buffers, _FD, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:  # an app has set O_NONBLOCK on what it found, and so for all workers
                self._jobs.setblocking(True)
                if idle is not None:
                    idle.put(slot)
                continue
            self._receiving = False
            if not size:
                return
            job_id, text_size, length, bits = unpack(buffer)
            at = slot.at
            claimed = times[at + 1] = monotonic()
            ids[at] = job_id
            fd = int.from_bytes(ancillary[0][2][:4], sys.byteorder) if ancillary else -1
            end = header + text_size
            job = (job_id, claimed, str(view[header:end], "latin-1"), length, bytes(view[end:size]), fd, bits)
            if revoked[job_id % RING] & ~GONE == job_id:
                slot.leave(job)
            elif flags & _CUT or (fd < 0 and bits & frames.PASSED):
                slot.leave(job, "the job did not arrive whole")
            elif idle is None:
                slot.perform(job)
            else:
                slot.inbox.put(job)
                continue
            if slot.reply.lost:
                return
            if idle is not None:
                idle.put(slot)
