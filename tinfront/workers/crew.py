"""Keeps an app's workers running: has them forked, replaces the dead, ends them all.

Deadlines are numbers that ``tick`` compares; there are no timers here. What is to be done about a dead worker's jobs
is decided in ``processes.py``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from tinfront.workers import frames
from tinfront.workers.board import Board
from tinfront.workers.nurse import Nurse
from tinfront.workers.nursery import adopt_orphans
from tinfront.workers.worker_process import WorkerProcess

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue

STEADY = 1.0
"""Seconds a worker must live, if it answers nothing, for its end not to be a failed start."""


class Seats:
    """The workers of one app by seat.

    :ivar seats: twice as many as there are workers, so that a new one can come while an old one finishes.
    """

    def __init__(self, workers: int) -> None:
        self.seats: list[WorkerProcess | None] = [None] * (2 * workers)

    def __iter__(self) -> Iterator[WorkerProcess]:
        return iter([worker for worker in self.seats if worker is not None])

    @property
    def ready(self) -> int:
        """How many workers take jobs."""
        return sum(1 for worker in self if worker.ready and not worker.leaving)

    @property
    def staying(self) -> int:
        """How many workers are there, or are about to be, and will be for some time."""
        return sum(1 for worker in self if not worker.leaving and not worker.orphan)


class Crew(Seats):
    """Starts and replaces the workers of one app."""

    def __init__(self, app: App, watcher: Any, log: Logger, nurse: Nurse, pool: Any) -> None:
        """``pool`` is told ``on_ready()``, ``on_trouble(why)`` and ``on_gone(worker, reason, retry)``."""
        super().__init__(app.workers)
        self.nurse = nurse
        self._app = app
        self._watcher = watcher
        self._log = log
        self._pool = pool
        self._stopping = True  # until it is started
        self._oom_kills = _oom_kills()

    @property
    def ended(self) -> bool:
        """True when every process has been waited for."""
        return self.nurse.ended and not any(self)

    def start(self, queue: JobQueue) -> None:
        """Start the nursery; the workers follow when it has imported the app."""
        self._queue = queue
        self._stopping = False
        adopt_orphans()
        self.nurse.begin(queue, self)

    def tick(self, now: float) -> None:
        """Look at the deadlines."""
        for worker in self:
            if worker.deadline and now >= worker.deadline:
                worker.kill("it was not ready in time" if not worker.ready else "it did not end in time")
            elif worker.leaving and worker.ready and not worker.why and self._is_idle(worker):
                worker.stop()  # again: the first may have come just before it minded signals, or fell asleep
        self.nurse.tick(now)
        self.fill()

    def _is_idle(self, worker: WorkerProcess) -> bool:
        threads, ids = self._app.threads, self._queue.board.ids
        return not any(ids[slot * Board.STEP] for slot in range(worker.seat * threads, (worker.seat + 1) * threads))

    def stop(self) -> None:
        """Let all finish their jobs and go; nothing is started any more."""
        self._stopping = True
        for worker in self:
            worker.stop()
        if not any(self):
            self.nurse.hang_up()

    def end(self, number: int) -> None:
        """Send a signal to those that are still here."""
        for worker in self:
            worker.signal(number)
        if number == signal.SIGKILL and not any(self):
            self.nurse.hang_up(kill=True)

    def on_ready(self) -> None:
        """A worker is ready; those of an earlier nursery may go."""
        for worker in self:
            if worker.orphan and not worker.leaving:
                worker.stop()
        self._pool.on_ready()

    def on_unbootable(self, why: str) -> None:
        """The app cannot be started as it is."""
        if not self.ready:
            self._pool.on_trouble(why)

    def on_born(self, seat: int, pid: int, text: str, fds: list[int]) -> None:
        """A worker was forked, or could not be."""
        worker = self.seats[seat] if 0 <= seat < len(self.seats) else None
        if worker is None or worker.pid or not pid:
            for fd in fds:
                os.close(fd)
        if worker is not None and not worker.pid:
            if pid:
                worker.born(pid, fds[0] if fds else -1)
            else:
                self.on_gone(worker, None, f"it could not be forked: {text}")

    def on_died(self, pid: int, status: int, text: str) -> None:
        """The nursery has waited for a worker."""
        for worker in self:
            if worker.pid == pid and not worker.orphan:
                self.on_gone(worker, status, text)

    def on_orphaned(self, unexpected: bool) -> None:
        """The nursery is gone. Its workers go on until others are there."""
        if unexpected and not self._stopping:
            self._log.error("[{app}] its nursery has died; another one is started", app=self._app.name)
        for worker in self:
            if not worker.orphan:
                worker.outlive()
                if self._stopping:
                    worker.stop()
        self.fill()

    def on_gone(self, worker: WorkerProcess, status: int | None, detail: str) -> None:
        """A worker is dead: settle its affairs, start another one."""
        if self.seats[worker.seat] is not worker:
            return
        self.seats[worker.seat] = None
        starved = False
        if status == signal.SIGKILL and not worker.why:
            before, self._oom_kills = self._oom_kills, _oom_kills()
            starved = self._oom_kills > before
        reason = ", ".join(filter(None, (worker.why, _describe(status), "out of memory" if starved else "", detail)))
        in_order = self._stopping or (status == 0 and not worker.why)
        write = self._log.info if in_order else self._log.error
        write("[{app}] worker {pid} is gone: {reason}", app=self._app.name, pid=worker.pid, reason=reason)
        self._pool.on_gone(worker, reason, retry=not starved and not worker.overdue)
        if self._stopping:
            if not any(self):
                self.nurse.hang_up()
            return
        if worker.ready and (worker.answered or monotonic() - worker.ready >= STEADY):
            self.nurse.back_off.succeeded()
        else:
            self.nurse.back_off.failed()
        self.fill()

    def fill(self) -> None:
        """Start what is missing, unless it has just failed."""
        if self._stopping or monotonic() < self.nurse.back_off.until:
            return
        self.nurse.start()
        if not self.nurse.imported:
            return
        missing = self._app.workers - self.staying
        for seat, worker in enumerate(self.seats):
            if missing > 0 and worker is None:
                missing -= 1
                self._fork(seat)

    def _fork(self, seat: int) -> None:
        worker = WorkerProcess(seat, monotonic() + self._app.startup_timeout, self)
        try:
            ends = worker.outfit(self._app, self._watcher, self._log, self._queue)
        except OSError as error:
            worker.close()
            self.nurse.report_failure(f"a worker's sockets cannot be made: {error}")
            return
        if self.nurse.order(frames.FORK, seat, fds=ends):
            self.seats[seat] = worker
        else:
            worker.close()
            self.nurse.back_off.failed()
        for end in ends:
            os.close(end)


def _describe(status: int | None) -> str:
    """A wait status in words."""
    if status is None:
        return ""
    if os.WIFEXITED(status & 0xFFFF):
        return f"exit status {os.WEXITSTATUS(status & 0xFFFF)}"
    number = status & 0x7F
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"


def _oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started."""
    try:
        with open("/proc/vmstat", encoding="ascii") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0
