"""One request must not take others with it: jobs that only wait for a lock which somebody else's C code keeps.

C code that keeps the interpreter's lock stops all threads of its worker, and every job on it would reach its deadline
together with the culprit. The front sees such a standstill well before: when a job takes long while others run
beside it, it asks the worker for a sign of life (``TELL``, which the main thread answers as soon as it gets the lock).
If there is none, it looks at the threads. One that waits for the lock wakes every few milliseconds to ask for it, and
the kernel counts that; one that holds the lock does not, be it computing or asleep, nor one that waits for a database.
So a job whose thread wakes like that is a victim, and goes to another worker if it may run twice. Whoever comes to wait
for the lock later is a victim then. The culprit stays, and meets its deadline alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinfront.workers import memory

if TYPE_CHECKING:
    from tinfront.config.model import App
    from tinfront.workers.jobs import Job, JobQueue
    from tinfront.workers.worker_process import WorkerProcess

PATIENCE_MAX = 5.0
"""Seconds after which a standstill is one, if a quarter of ``timeout`` is longer."""

WAKES = 50.0
"""Wake-ups a second of a thread that waits for the lock; by default it is 200, the switch interval being 5 ms."""

Claims = dict[int, tuple[int, float]]


class Rescue:
    """Looks after the jobs of one app's workers."""

    def __init__(
        self, app: App, queue: JobQueue, take_back: Callable[[Job], bool], log: Any, switches: Any = memory.switches
    ) -> None:
        """:param take_back: gives a job to another worker; False if it must not.

        :param switches: as ``memory.switches``.
        """
        self._threads = app.threads
        self._name = app.name
        self._patience = min(app.timeout / 4, PATIENCE_MAX) if app.timeout else PATIENCE_MAX
        self._queue = queue
        self._take_back = take_back
        self._log = log
        self._switches = switches
        self._seen: dict[WorkerProcess, tuple[float, dict[int, int]]] = {}

    def sweep(self, now: float, claims: Claims, workers: Any) -> None:
        """Look for workers that stand still, and for what can be saved."""
        if self._threads == 1:
            return
        seen, self._seen = self._seen, {}
        running: dict[int, dict[int, Job]] = {}
        oldest: dict[int, float] = {}
        for job_id, (slot, since) in claims.items():
            job = self._queue.pending.get(job_id)
            if job is not None and job.answering is None:
                seat = slot // self._threads
                running.setdefault(seat, {})[slot % self._threads] = job
                oldest[seat] = min(oldest.get(seat, now), max(since, job.sent))
        for worker in workers:
            jobs = running.get(worker.seat, {})
            if len(jobs) > 1 and worker.ready and worker.stacks is not None:
                self._look(worker, jobs, now - oldest[worker.seat], now, seen.get(worker))

    def _look(self, worker: WorkerProcess, jobs: dict[int, Job], age: float, now: float, before: Any) -> None:
        stacks = worker.stacks
        assert stacks is not None
        if not stacks.silent_since:
            if age >= self._patience / 2:
                stacks.probe(now)
            return
        if now - stacks.silent_since < self._patience / 2:
            return
        counts = {}
        for number in jobs:
            count = self._switches(worker.pid, worker.threads[number][0]) if number < len(worker.threads) else None
            if count is not None:
                counts[number] = count
        self._seen[worker] = (now, counts)
        if before is None:
            return
        then, past = before
        waiting = [jobs[n] for n, count in counts.items() if n in past and count - past[n] >= WAKES * (now - then)]
        saved = sum(1 for job in waiting if self._take_back(job))
        if saved:
            self._log.error(
                "[{app}] worker {pid} stands still, as some C code keeps the interpreter's lock; {saved} requests that "
                "wait for it are given to others",
                app=self._name,
                pid=worker.pid,
                saved=saved,
            )
