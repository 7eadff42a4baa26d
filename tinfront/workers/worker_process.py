"""The front's handle on one worker process: its pid, its sockets, and what has become of it."""

from __future__ import annotations

import errno
import os
import signal
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from tinfront.workers import frames
from tinfront.workers.applog import LogPipe
from tinfront.workers.child import STOP
from tinfront.workers.frames import decode_threads
from tinfront.workers.replies import ReplyStream
from tinfront.workers.stacks import Stacks

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue

STREAM_BUFFER = 256 * 1024
"""Bytes of answers that the kernel holds for one thread of a worker."""

THREADS_MAX = 250
"""One reply stream each beside three others, and unix(7) passes no more than 253 descriptors in one message."""

LINGER = 1.0
"""Seconds a worker may live after it has closed a reply stream."""

KILL_AFTER = 1.0
"""Seconds between TERM and KILL for a worker that cannot be relied on any more."""

STOP_MAX = 30.0
"""Seconds a worker may take to finish its jobs while others do its work."""


class WorkerProcess:
    """One worker as the front knows it.

    :ivar seat: which of the app's workers it is; its slots on the board are ``seat * threads`` and on.
    :ivar pid: 0 until the nursery has told.
    :ivar ready: monotonic seconds at which it was ready; 0.0 before.
    :ivar deadline: monotonic seconds at which it is killed; 0.0: none.
    :ivar why: why it was ended by us, or "".
    :ivar leaving: it takes no more jobs, or cannot be relied on to.
    :ivar overdue: one of its jobs had no answer in time; it is killed when no other job of it can be saved.
    :ivar orphan: its nursery is dead.
    :ivar worn: why it is to be replaced although nothing is wrong with it, or "".
    :ivar left: monotonic seconds at which it was told to go for that reason.
    :ivar served: requests answered; ``requests_max``: when they are enough, 0: never.
    :ivar inherited: bytes of memory that it had at its birth, -1: not known; ``next_look``: when to look again.
    :ivar threads: the kernel's and Python's ident of the thread of each slot.
    :ivar late: what those of its jobs were that had no answer in time, by id.
    """

    files: socket.socket | None
    log: LogPipe | None
    stacks: Stacks | None

    def __init__(self, seat: int, deadline: float, crew: Any) -> None:
        """``crew`` is told ``on_ready()``, ``on_enough()`` and ``on_gone(worker, status, detail)``."""
        self.seat = seat
        self.pid = 0
        self.ready = 0.0
        self.deadline = deadline
        self.why = ""
        self.leaving = False
        self.overdue = False
        self.orphan = False
        self.worn = ""
        self.left = 0.0
        self.served = self.requests_max = 0
        self.inherited = -1
        self.next_look = 0.0
        self.threads: list[tuple[int, int]] = []
        self.late: dict[int, str] = {}
        self.streams: list[ReplyStream] = []
        self.files = None
        self.log = None
        self.stacks = None
        self._crew = crew
        self._pidfd = -1
        self._lost = False
        self._prepared = False

    def outfit(self, app: App, watcher: Any, log: Logger, queue: JobQueue) -> list[int]:
        """Make its sockets; returns the ends that the process is to be given, to be closed here afterwards.

        :raises OSError: there are no descriptors left, or more threads than descriptors can be passed at once.
        """
        if app.threads > THREADS_MAX:
            raise OSError(errno.EMFILE, f"a worker has at most {THREADS_MAX} threads, not {app.threads}")
        self._watcher = watcher
        ends: list[int] = []
        try:
            log_read, log_write = os.pipe2(os.O_CLOEXEC)
            ends.append(log_write)
            self.log = LogPipe(log_read, watcher, log, app.name)
            stacks_read, stacks_write = os.pipe2(os.O_CLOEXEC)
            ends.append(stacks_write)
            self.stacks = Stacks(stacks_read, watcher, self.signal)
            self.files, files = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.files.setblocking(False)
            ends.append(files.detach())
            for _ in range(app.threads):
                ours, theirs = socket.socketpair()
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER)
                ends.append(theirs.detach())
                self.streams.append(ReplyStream(ours, watcher, queue, self))
        except OSError:
            for end in ends:
                os.close(end)
            raise
        return ends

    @property
    def stays(self) -> bool:
        """Whether it will take jobs for some time to come, or from some time on."""
        return not (self.leaving or self.worn or self.orphan)

    @property
    def state(self) -> str:
        """In a word: ``starting``, ``ready``, ``stopping`` or ``stuck``."""
        if self.overdue:
            return "stuck"
        if self.leaving:
            return "stopping"
        return "ready" if self.ready else "starting"

    @property
    def answered(self) -> bool:
        """Whether it ever answered anything, its readiness aside."""
        return any(stream.reads > 1 for stream in self.streams)

    # --- what is done to it

    def born(self, pid: int, pidfd: int) -> None:
        """It lives."""
        self.pid = pid
        if self.log is not None:
            self.log.pid = pid
        self._pidfd = pidfd
        if self.why:
            self.signal(signal.SIGKILL)
        elif self.leaving:
            self.signal(STOP)
        elif self._prepared:  # it was faster than the news of its birth
            self.on_ready()

    def stop(self) -> None:
        """Let it finish its jobs and go, if that does not take too long."""
        self.leaving = True
        self.deadline = self.deadline or monotonic() + STOP_MAX
        self.signal(STOP)

    def retire(self, now: float) -> None:
        """Let it finish its jobs and go, however long that takes: others do its work, and it has done nothing wrong."""
        self.leaving = True
        self.left = now
        self.signal(STOP)

    def end(self, why: str) -> None:
        """Ask it to end; soon it will not be asked any more."""
        self.why = self.why or why
        self.leaving = True
        self.deadline = monotonic() + KILL_AFTER
        self.signal(signal.SIGTERM)

    def kill(self, why: str) -> None:
        """End it at once, and tell why when it is gone."""
        self.why = self.why or why
        self.leaving = True
        self.deadline = monotonic()  # until it is known to be gone, each tick tries again
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Signal it: by its nursery, which is its parent and its user's; an orphan, through its pidfd."""
        if not self.orphan:
            if self.pid:
                self._crew.nurse.order(frames.KILL, self.pid, number)
        elif self._pidfd >= 0:
            self._crew.nurse.signal(self.pid, self._pidfd, number)

    def outlive(self) -> None:
        """Its nursery has died. From now on its end is seen from its pidfd, or from its streams."""
        self.orphan = True
        if self._pidfd >= 0:
            self._watcher.add_reader(self._pidfd, self._ended)
        elif self._lost:
            self._crew.on_gone(self, None, "")

    def close(self) -> None:
        """It is gone: take the answers and the log lines that it left behind."""
        self._lost = True
        for stream in self.streams:
            stream.close()
        if self.stacks is not None:
            self.stacks.close()
        if self.log is not None:
            self.log.close()
        if self.files is not None:
            self.files.close()
        if self._pidfd >= 0:
            if self.orphan:
                self._watcher.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _ended(self) -> None:
        status = None
        try:
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            if found is not None:
                status = found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status
        except OSError:
            pass  # not our child: how it ended is not known
        self._crew.on_gone(self, status, "its nursery had died before")

    # --- what it does

    def on_ready(self, body: bytes = b"") -> None:
        """It takes jobs from now on. ``body`` tells its threads."""
        if body:
            self.threads = decode_threads(body)
        self._prepared = True
        if self.pid and not self.ready:
            self.ready = monotonic()
            self.deadline = 0.0
            self._crew.on_ready()

    def on_enough(self) -> None:
        """It has answered as many requests as it was to."""
        self._crew.on_enough()

    def on_broken(self, text: str) -> None:
        """It could not import the app, and ends."""
        self.leaving = True
        self._crew.nurse.report_failure(text)

    def on_violation(self, why: str) -> None:
        """It broke its protocol."""
        self.kill(f"it sent {why}")

    def on_lost(self) -> None:
        """It has closed a reply stream: it ends, or it is of no use."""
        if self._lost:
            return
        self._lost = True
        self.leaving = True
        self.deadline = self.deadline or monotonic() + LINGER
        if self.orphan and self._pidfd < 0:
            self._crew.on_gone(self, None, "its nursery had died before")
