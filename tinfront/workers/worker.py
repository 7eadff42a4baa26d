"""The front's handle on one worker process: its pid, its sockets, and what has become of it."""

from __future__ import annotations

import os
import signal
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from tinfront.workers.applog import LogPipe
from tinfront.workers.replies import ReplyStream

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue

STREAM_BUFFER = 256 * 1024
"""Bytes of answers that the kernel holds for one thread of a worker."""

LINGER = 1.0
"""Seconds a worker may live after it has closed a reply stream."""


class WorkerProcess:
    """One worker as the front knows it.

    :ivar seat: which of the app's workers it is; its slots on the board are ``seat * threads`` and on.
    :ivar pid: 0 until the nursery has told.
    :ivar pidfd: where the system has them, else -1.
    :ivar ready: monotonic seconds at which it was ready; 0.0 before.
    :ivar deadline: monotonic seconds at which it is killed; 0.0: none.
    :ivar why: why it was ended by us, or "".
    :ivar leaving: it takes no more jobs, or must not be relied on to.
    :ivar overdue: one of its jobs had no answer in time; it is killed when no other job of it can be saved.
    :ivar orphan: its nursery is dead.
    :ivar lost: it has closed a reply stream.
    """

    files: socket.socket
    log: LogPipe

    def __init__(self, seat: int, deadline: float, crew: Any) -> None:
        self.seat = seat
        self.pid = 0
        self.pidfd = -1
        self.ready = 0.0
        self.deadline = deadline
        self.why = ""
        self.leaving = False
        self.overdue = False
        self.orphan = False
        self.lost = False
        self.streams: list[ReplyStream] = []
        self._crew = crew

    def outfit(self, app: App, watcher: Any, log: Logger, queue: JobQueue) -> list[int]:
        """Make its sockets; returns the ends that the process is to be given, to be closed here afterwards."""
        log_read, log_write = os.pipe2(os.O_CLOEXEC)
        self.log = LogPipe(log_read, watcher, log, app.name)
        self.files, files = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.files.setblocking(False)
        ends = [log_write, files.detach()]
        for _ in range(app.threads):
            ours, theirs = socket.socketpair()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER)
            self.streams.append(ReplyStream(ours, watcher, queue, self))
            ends.append(theirs.detach())
        return ends

    def signal(self, number: int) -> None:
        """Signal an orphan; the others are signalled by their nursery."""
        try:
            if self.pidfd >= 0:
                signal.pidfd_send_signal(self.pidfd, number)
        except OSError:
            pass  # it is dead, or another user's

    def close(self) -> None:
        """It is gone: take the answers and the log lines that it left behind."""
        for stream in self.streams:
            stream.close()
        self.log.close()
        self.files.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    @property
    def answered(self) -> bool:
        """Whether it ever answered anything, its readiness aside."""
        return any(stream.reads > 1 for stream in self.streams)

    def on_ready(self) -> None:
        """It takes jobs from now on."""
        if not self.ready:
            self.ready = monotonic()
            self.deadline = 0.0
            self._crew.on_ready()

    def on_broken(self, text: str) -> None:
        """It could not import the app, and ends."""
        self.leaving = True
        self._crew.on_unbootable(text)

    def on_violation(self, why: str) -> None:
        """It broke its protocol."""
        self._crew.kill(self, f"it sent {why}")

    def on_lost(self) -> None:
        """It has closed a reply stream: it ends, or it is of no use."""
        if not self.lost:
            self.lost = True
            self.leaving = True
            self.deadline = self.deadline or monotonic() + LINGER
            self._crew.on_lost(self)
