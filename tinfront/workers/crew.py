"""Keeps an app's workers running: starts its nursery, has workers forked, replaces the dead, ends them all.

Deadlines are numbers that ``tick`` compares; there are no timers here. Workers are signalled through their nursery,
which is their parent and may have rights that the front gave up; only when it has died, through their pidfd. What is
to be done about a dead worker's jobs is decided in ``processes.py``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from tinfront.workers import frames
from tinfront.workers.applog import cut
from tinfront.workers.child import DUMP, STOP
from tinfront.workers.nurse import Nurse
from tinfront.workers.nursery import adopt_orphans
from tinfront.workers.worker import WorkerProcess

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue
    from tinfront.workers.pool import BackOff

STEADY = 1.0
"""Seconds a worker must live for its end not to be a failed start."""


class Crew:
    """The nursery and the workers of one app.

    :ivar seats: the workers by seat. There are twice as many seats as workers, so that a new one can come while an
        old one finishes.
    """

    def __init__(self, app: App, keeper: Any, watcher: Any, log: Logger, back_off: BackOff, pool: Any) -> None:
        """``pool`` is told ``on_ready()``, ``on_trouble(why)`` and ``on_gone(worker, reason, retry)``."""
        self.seats: list[WorkerProcess | None] = [None] * (2 * app.workers)
        self._app = app
        self._keeper = keeper
        self._watcher = watcher
        self._log = log
        self._pool = pool
        self._preload = app.preload
        self._nurse: Nurse | None = None
        self._leaving: list[Nurse] = []
        self._stopping = False
        self._back_off = back_off
        self._boot_deadline = 0.0
        self._oom_kills = _oom_kills()

    def __iter__(self) -> Iterator[WorkerProcess]:
        return iter([worker for worker in self.seats if worker is not None])

    @property
    def ready(self) -> int:
        """How many workers take jobs."""
        return sum(1 for worker in self if worker.ready and not worker.leaving)

    @property
    def ended(self) -> bool:
        """True when every process has been waited for."""
        return self._nurse is None and not self._leaving and not any(self)

    def start(self, queue: JobQueue) -> None:
        """Start the nursery; the workers follow when it has imported the app."""
        self._queue = queue
        adopt_orphans()
        self._start_nursery()

    def tick(self, now: float) -> None:
        """Look at the deadlines."""
        self._leaving = [nurse for nurse in self._leaving if not nurse.reap()]
        for worker in self:
            if worker.deadline and now >= worker.deadline:
                self.kill(worker, worker.why or ("it was not ready in time" if not worker.ready else "it hung up"))
        nurse = self._nurse
        if nurse is not None and not nurse.imported and now >= self._boot_deadline:
            self._let_go(nurse, kill=True)
            self.on_unbootable(f"the app was not imported within {self._app.startup_timeout:g} s")
        if now >= self._back_off.until:
            self._fill()

    def stop(self, worker: WorkerProcess) -> None:
        """Let it finish its jobs and go."""
        worker.leaving = True
        self._signal(worker, STOP)

    def stop_all(self) -> None:
        """Let all finish their jobs and go; nothing is started any more."""
        self._stopping = True
        for worker in self:
            self.stop(worker)
        if not any(self) and self._nurse is not None:
            self._let_go(self._nurse)

    def end_all(self, number: int) -> None:
        """Send a signal to those that are still here."""
        for worker in self:
            self._signal(worker, number)
        if number == signal.SIGKILL:
            for nurse in self._leaving:
                nurse.kill()

    def dump(self, worker: WorkerProcess) -> None:
        """Have the stacks of its threads written to the log."""
        self._signal(worker, DUMP)

    def kill(self, worker: WorkerProcess, why: str) -> None:
        """End a worker at once, and tell why when it is gone."""
        worker.why = worker.why or why
        worker.leaving = True
        worker.deadline = monotonic()  # until it is known to be gone, each tick tries again
        self._signal(worker, signal.SIGKILL)

    def on_ready(self) -> None:
        """A worker is ready; those of an earlier nursery may go."""
        for worker in self:
            if worker.orphan and not worker.leaving:
                self.stop(worker)
        self._pool.on_ready()

    def on_lost(self, worker: WorkerProcess) -> None:
        """A worker has closed a reply stream; that of an orphan without pidfd tells of its death."""
        if worker.orphan and worker.pidfd < 0:
            self._gone(worker, None, "its nursery had died before")

    def on_unbootable(self, text: str) -> None:
        """The app cannot be started as it is; it is tried again, ever more slowly."""
        self._back_off.failed()
        self._log.error("[{app}] cannot start: {text}", app=self._app.name, text=cut(text))
        if not self.ready:
            self._pool.on_trouble(text.rstrip().rpartition("\n")[2] or "no reason was given")

    def _start_nursery(self) -> None:
        nurse = Nurse(self._app, self._watcher, self._log, self._on_report, self._on_end)
        try:
            nurse.start(self._keeper, self._queue, self._preload)
        except OSError as error:
            self.on_unbootable(f"its nursery cannot be started: {error}")
            return
        self._nurse = nurse
        self._boot_deadline = monotonic() + self._app.startup_timeout

    def _fill(self) -> None:
        """Start what is missing."""
        if self._stopping:
            return
        if self._nurse is None:
            self._start_nursery()
            return
        if not self._nurse.imported:
            return
        missing = self._app.workers - sum(1 for worker in self if not worker.leaving and not worker.orphan)
        for seat, worker in enumerate(self.seats):
            if missing > 0 and worker is None:
                missing -= 1
                self._fork(self._nurse, seat)

    def _fork(self, nurse: Nurse, seat: int) -> None:
        worker = WorkerProcess(seat, monotonic() + self._app.startup_timeout, self)
        ends = worker.outfit(self._app, self._watcher, self._log, self._queue)
        sent = nurse.order(frames.FORK, seat, fds=ends)
        for end in ends:
            os.close(end)
        if sent:
            self.seats[seat] = worker
        else:
            worker.close()
            self._back_off.failed()

    def _on_report(self, kind: int, first: int, second: int, text: str, fds: list[int]) -> None:
        if kind == frames.IMPORTED and self._nurse is not None:
            self._nurse.imported = True
            self._fill()
        elif kind == frames.FAILED:
            self.on_unbootable(text)
        elif kind == frames.THREADED:
            self._log.warn(
                "[{app}] starts threads when it is imported ({threads}), which a fork would not survive: "
                "each worker imports it by itself, as with preload = no",
                app=self._app.name,
                threads=text,
            )
            self._preload = False
        elif kind == frames.BORN and 0 <= first < len(self.seats):
            self._on_born(first, second, text, fds)
            return
        elif kind == frames.DIED:
            for worker in self:
                if worker.pid == first and not worker.orphan:
                    self._gone(worker, second, text)
        for fd in fds:
            os.close(fd)

    def _on_born(self, seat: int, pid: int, text: str, fds: list[int]) -> None:
        worker = self.seats[seat]
        if worker is None or worker.pid:
            for fd in fds:
                os.close(fd)
            return
        if not pid:
            self._gone(worker, None, f"it could not be forked: {text}")
            return
        worker.pid = worker.log.pid = pid
        worker.pidfd = fds[0] if fds else -1
        if worker.leaving:
            self._signal(worker, signal.SIGKILL if worker.deadline else STOP)

    def _on_end(self, nurse: Nurse) -> None:
        """The nursery has died, or could not import the app."""
        self._let_go(nurse)
        if nurse.imported and not self._stopping:
            self._log.error("[{app}] its nursery has died; another one is started", app=self._app.name)
        for worker in self:
            if worker.orphan:
                continue
            worker.orphan = True
            if worker.pidfd >= 0:
                self._watcher.add_reader(worker.pidfd, self._orphan_gone, worker)
            elif worker.lost:
                self._gone(worker, None, "its nursery had died before")
        if self._stopping:
            self.end_all(STOP)
        elif monotonic() >= self._back_off.until:
            self._fill()

    def _let_go(self, nurse: Nurse, kill: bool = False) -> None:
        if kill:
            nurse.kill()
        nurse.close()
        if nurse is self._nurse:
            self._nurse = None
        if nurse not in self._leaving:
            self._leaving.append(nurse)

    def _orphan_gone(self, worker: WorkerProcess) -> None:
        self._watcher.remove_reader(worker.pidfd)
        status = None
        try:
            found = os.waitid(os.P_PIDFD, worker.pidfd, os.WEXITED | os.WNOHANG)
            if found is not None:
                status = found.si_status if found.si_code != os.CLD_EXITED else found.si_status << 8
        except OSError:
            pass  # somebody else's child: how it ended is not known
        self._gone(worker, status, "its nursery had died before")

    def _gone(self, worker: WorkerProcess, status: int | None, detail: str) -> None:
        """A worker is dead: settle its affairs, start another one."""
        self.seats[worker.seat] = None
        killed_by_system = False
        if status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and not worker.why:
            before, self._oom_kills = self._oom_kills, _oom_kills()
            killed_by_system = self._oom_kills > before
        reason = ", ".join(filter(None, (worker.why, _describe(status, killed_by_system), detail)))
        abnormal = bool(worker.why) or status != 0
        write = self._log.error if abnormal and not self._stopping else self._log.info
        write("[{app}] worker {pid} is gone: {reason}", app=self._app.name, pid=worker.pid, reason=reason)
        self._pool.on_gone(worker, reason, retry=not killed_by_system and not worker.overdue)
        if self._stopping:
            self.stop_all()
            return
        if worker.ready and (worker.answered or monotonic() - worker.ready >= STEADY):
            self._back_off.succeeded()
        else:
            self._back_off.failed()
        if monotonic() >= self._back_off.until:
            self._fill()

    def _signal(self, worker: WorkerProcess, number: int) -> None:
        if worker.orphan:
            worker.signal(number)
        elif self._nurse is not None and worker.pid:
            self._nurse.order(frames.KILL, worker.pid, number)


def _describe(status: int | None, killed_by_system: bool) -> str:
    if status is None:
        return ""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"killed by {name}" + (" (out of memory)" if killed_by_system else "")
    return f"exit status {os.waitstatus_to_exitcode(status)}"


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
