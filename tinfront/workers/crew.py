"""The front's side of an app's processes: one nursery, and the workers that it forks. Starts, watches, replaces, ends.

Deadlines are numbers that ``tick`` compares; there are no timers here. Workers are signalled through their nursery,
which is their parent and may have the rights that the front gave up; only those whose nursery has died are signalled
through their pidfd. What is to be done about a worker's jobs is decided in ``processes.py``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

import tinfront
from tinfront.workers import frames
from tinfront.workers.applog import LogPipe
from tinfront.workers.child import DUMP, STOP
from tinfront.workers.nursery import BOOTSTRAP, adopt_orphans
from tinfront.workers.replies import ReplyStream

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue

STREAM_BUFFER = 256 * 1024
BACK_OFF_FIRST = 0.1
BACK_OFF_MAX = 30.0
STEADY = 1.0
"""Seconds after which a worker's end is no failed start any more."""

LINGER = 1.0
"""Seconds a worker may live after it has closed its reply stream."""


class WorkerProcess:
    """One worker as the front knows it.

    :ivar pid: 0 until the nursery has told.
    :ivar files: socket on which descriptors of file answers come.
    :ivar ready: monotonic seconds at which it was ready; 0.0 before.
    :ivar deadline: monotonic seconds at which it will be killed; 0.0: none.
    :ivar why: the reason for which it was ended by us, or "".
    :ivar leaving: it takes no more jobs.
    """

    def __init__(self, crew: Crew, seat: int) -> None:
        self.seat = seat
        self.pid = 0
        self.pidfd = -1
        self.ready = 0.0
        self.deadline = monotonic() + crew.startup_timeout
        self.why = ""
        self.leaving = False
        self.orphan = False
        self.streams: list[ReplyStream] = []
        self._crew = crew

    def outfit(self, watcher: Any, queue: JobQueue, log: Logger, app: App) -> list[int]:
        """Make the worker's sockets; returns the ends that it is to be given, to be closed here afterwards."""
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

    def drain(self) -> None:
        """Take all replies that have come."""
        for stream in self.streams:
            stream.drain()

    def close(self) -> None:
        """It is gone: take what it left behind."""
        for stream in self.streams:
            stream.close()
        self.log.close()
        self.files.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def on_ready(self) -> None:
        """It takes jobs from now on."""
        if not self.ready:
            self.ready = monotonic()
            self.deadline = 0.0
            self._crew.on_ready(self)

    def on_broken(self, text: str) -> None:
        """It could not import the app."""
        self.why = "it could not import the app"
        self._crew.on_unbootable(text)

    def on_violation(self, why: str) -> None:
        """It broke its protocol."""
        self._crew.kill(self, f"it sent {why}")

    def on_lost(self) -> None:
        """It has closed a reply stream: it ends, or it is of no use."""
        self.leaving = True
        if not self.deadline:
            self.deadline = monotonic() + LINGER


class Crew:
    """Keeps ``app.workers`` workers running.

    :ivar seats: the workers by seat. There are twice as many seats as workers, so that a new one can come while an
        old one finishes.
    :ivar trouble: why the app cannot be started, or "".
    :ivar pool: is told: ``on_ready()``, ``on_trouble()``, ``on_gone(worker, reason, oom)``.
    """

    def __init__(self, app: App, keeper: Any, watcher: Any, log: Logger, pool: Any) -> None:
        self.pool = pool
        self.seats: list[WorkerProcess | None] = [None] * (2 * app.workers)
        self.trouble = ""
        self._app = app
        self._keeper = keeper
        self._watcher = watcher
        self._log = log
        self._preload = app.preload
        self._nurse: Nurse | None = None
        self._dying: list[Nurse] = []
        self._stopping = False
        self._failures = 0
        self._boot_deadline = 0.0
        self._next_start = 0.0
        self._oom_kills = _oom_kills()
