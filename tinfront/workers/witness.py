"""Tells what workers are doing right now: at a deadline to the log, and to whoever asks (``tinfront stacks``, USR2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from tinfront.workers.census import census, describe, thread_census, thread_stacks
from tinfront.workers.stacks import annotate

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue
    from tinfront.workers.worker_process import WorkerProcess

NOTHING = "nothing is known of its stacks: it does not run, or its pipe was closed"


class Witness:
    """Asks the workers of one app."""

    def __init__(self, app: App, queue: JobQueue, crew: Any, log: Logger) -> None:
        self._app = app
        self._queue = queue
        self._crew = crew
        self._log = log

    def census(self) -> dict[str, Any]:
        """How they fare."""
        return census(self._app, self._queue, self._crew, self._crew.nurse)

    def log_stacks(self, worker: WorkerProcess) -> None:
        """Have its stacks logged as soon as it tells them."""
        if worker.stacks is not None:
            doing = self._doing(worker)  # now: until it answers others may have their turn
            worker.stacks.ask(monotonic(), partial(self._write, worker.pid, doing))

    def ask_all(self, told: Callable[[dict[str, Any]], None]) -> int:
        """Have ``told`` called for each worker, within ``stacks.GIVE_UP`` and a tick; returns how many there are."""
        asked = [worker for worker in self._crew if worker.stacks is not None and worker.pid]
        for worker in asked:
            doing = self._doing(worker)
            worker.stacks.ask(monotonic(), partial(self._report, told, worker, doing))
        return len(asked)

    def _write(self, pid: int, doing: dict[int, str], text: str) -> None:
        said = annotate(text, doing) if text else NOTHING
        self._log.error("[{app}] worker {pid} is at this:\n{text}", app=self._app.name, pid=pid, text=said)

    def _report(
        self, told: Callable[[dict[str, Any]], None], worker: WorkerProcess, doing: dict[int, str], text: str
    ) -> None:
        said = annotate(text, doing) if text else NOTHING
        told({"app": self._app.name, "pid": worker.pid, "state": worker.state, "stacks": said})

    def _doing(self, worker: WorkerProcess) -> dict[int, str]:
        """What each thread is at, by Python's ident of it."""
        now, threads = monotonic(), self._app.threads
        doing = {}
        for job_id, (slot, since) in self._queue.claims().items():
            if slot // threads != worker.seat or slot % threads >= len(worker.threads):
                continue
            job = self._queue.pending.get(job_id)
            if job_id in worker.late:
                what = worker.late[job_id]
            elif job is not None:
                what = describe(job.exchange, now - max(since, job.sent))
            else:
                what = "a request that is over"
            doing[worker.threads[slot % threads][1]] = what
        return doing


class ThreadWitness:
    """The same for a pool of threads, whose one worker is the front."""

    def __init__(self, app: App, pool: Any) -> None:
        """``pool`` has ``pid``, ``ready``, ``trouble``, and the tasks it has ``sent``."""
        self._app = app
        self._pool = pool

    def census(self) -> dict[str, Any]:
        """How it fares."""
        pool, running = self._pool, self._running()
        state = "starting" if not pool.ready else "busy" if running else "idle"
        return thread_census(state, pool.pid, running, pool.trouble)

    def ask_all(self, told: Callable[[dict[str, Any]], None]) -> int:
        """Call ``told`` at once, and once."""
        pool, stacks = self._pool, thread_stacks(self._running())
        told({"app": self._app.name, "pid": pool.pid, "state": "threads", "stacks": stacks or "nothing runs\n"})
        return 1

    def _running(self) -> list[Any]:
        return [task for task in self._pool.sent if task.claimed]
