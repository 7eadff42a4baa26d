"""Keeps an app's workers running: has them forked, replaces the dead, ends them all.

Deadlines are numbers that ``tick`` compares; there are no timers here. What is to be done about a dead worker's jobs
is decided in ``processes.py``.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Iterator
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from tinfront.workers import frames
from tinfront.workers.bare import adopt_orphans
from tinfront.workers.nurse import Nurse
from tinfront.workers.turnover import SURPLUS, Turnover
from tinfront.workers.worker_process import WorkerProcess

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue

STEADY = 1.0
"""Seconds a worker must live, if it answers nothing, for its end not to be a failed start."""


ROOM = 16
"""More workers than configured that an operator may add at run time; or as many as configured, if that is more."""

RECENT = 10
"""Ends of workers that are remembered for the status."""


def ceiling(app: App) -> int:
    """How many workers an app may have, whoever asks for them."""
    return app.workers_max or app.workers + max(ROOM, app.workers)


class Seats:
    """The workers of one app by seat.

    :ivar seats: twice as many as there may be workers, so that a new one can come while an old one finishes.
    :ivar ends: how often workers have ended, by the kind of reason; ``recent``: time, pid and reason of the last ones.
    """

    def __init__(self, workers: int) -> None:
        self.seats: list[WorkerProcess | None] = [None] * (2 * workers)
        self.ends: Counter[str] = Counter()
        self.recent: deque[tuple[float, int, str]] = deque(maxlen=RECENT)

    def __iter__(self) -> Iterator[WorkerProcess]:
        return iter([worker for worker in self.seats if worker is not None])

    @property
    def ready(self) -> int:
        """How many workers take jobs."""
        return sum(1 for worker in self if worker.ready and not worker.leaving)

    @property
    def staying(self) -> int:
        """How many workers are there, or are about to be, and will be for some time."""
        return sum(1 for worker in self if worker.stays)

    def note_end(self, kind: str, pid: int, reason: str) -> None:
        """Remember why a worker has ended."""
        self.ends[kind] += 1
        self.recent.append((time(), pid, reason))


class Crew(Seats):
    """Starts and replaces the workers of one app.

    :ivar target: how many workers there should be.
    :ivar queue: of their jobs.
    """

    queue: JobQueue

    def __init__(self, app: App, watcher: Any, log: Logger, nurse: Nurse, pool: Any) -> None:
        """``pool`` is told ``on_ready()``, ``on_trouble(why)`` and ``on_gone(worker, reason, retry)``."""
        super().__init__(ceiling(app))
        self.target = app.workers
        self.nurse = nurse
        self._turnover = Turnover(app, self)
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
        self.queue = queue
        self._stopping = False
        adopt_orphans()
        self.nurse.begin(queue, self)

    def tick(self, now: float) -> None:
        """Look at the deadlines."""
        for worker in self:
            if worker.deadline and now >= worker.deadline:
                worker.kill("it was not ready in time" if not worker.ready else "it did not end in time")
            elif worker.leaving and worker.ready and not worker.why and self._turnover.is_idle(worker):
                worker.stop()  # again: the first may have come just before it minded signals, or fell asleep
            if worker.stacks is not None:
                worker.stacks.tick(now)
        self.nurse.tick(now)
        if not self._stopping:
            self._turnover.tick(now)
        self.fill()

    def drain(self) -> None:
        """Take in every reply that has come."""
        for worker in self:
            for stream in worker.streams:
                stream.drain()

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
        if not self._stopping:
            self._turnover.relieve(monotonic())
        self._pool.on_ready()

    def on_enough(self) -> None:
        """A worker has done its share, for the rules or for the queue."""
        if not self._stopping:
            self._turnover.tick(monotonic())

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
        in_order = self._stopping or (status == 0 and not worker.why)
        why = worker.why or worker.worn
        if in_order and not self._stopping and not self._turnover.is_idle(worker):
            # An app that ends the process. Whoever is told to go, by us or by a TERM from elsewhere, finishes first.
            in_order, why = False, "it left in the midst of a request"
        parts = (why, _describe(status), "out of memory" if starved else "", detail)
        reason = ", ".join(filter(None, parts))
        self.note_end(_kind(worker, in_order, starved), worker.pid, reason)
        write = self._log.info if in_order else self._log.error
        write("[{app}] worker {pid} is gone: {reason}", app=self._app.name, pid=worker.pid, reason=reason)
        self._pool.on_gone(worker, reason, retry=not starved and not worker.overdue)
        if self._stopping:
            if not any(self):
                self.nurse.hang_up()
            return
        if worker.ready and (worker.answered or monotonic() - worker.ready >= STEADY):
            self.nurse.back_off.succeeded()
        elif not worker.worn:
            self.nurse.back_off.failed()
        self.fill()

    def fill(self) -> None:
        """Start what is missing, unless it has just failed."""
        if self._stopping or monotonic() < self.nurse.back_off.until:
            return
        self.nurse.start()
        if not self.nurse.imported:
            return
        missing = self.target - self.staying
        for seat, worker in enumerate(self.seats):
            if missing > 0 and worker is None:
                missing -= 1
                self._fork(seat)

    def _fork(self, seat: int) -> None:
        worker = WorkerProcess(seat, monotonic() + self._app.startup_timeout, self)
        try:
            ends = worker.outfit(self._app, self._watcher, self._log, self.queue)
        except OSError as error:
            worker.close()
            self.nurse.report_failure(f"a worker's sockets cannot be made: {error}")
            return
        self._turnover.enlist(worker)
        if self.nurse.order(frames.FORK, seat, fds=ends):
            self.seats[seat] = worker
        else:
            worker.close()
            self.nurse.back_off.failed()
        for end in ends:
            os.close(end)


def _kind(worker: WorkerProcess, in_order: bool, starved: bool) -> str:
    """What sort of end this is, for the count."""
    if worker.overdue:
        return "timeout"
    if worker.worn:
        return "surplus" if worker.worn == SURPLUS else worker.worn.partition(":")[0]
    if starved:
        return "out of memory"
    if not worker.ready:
        return "failed start"
    return "stopped" if in_order else "died"


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
