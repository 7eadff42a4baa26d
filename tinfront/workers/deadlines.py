"""How long a job may wait and run in a pool of processes: ``queue_timeout`` until its claim, ``timeout`` from then on.

One coarse sweep compares numbers; no job has a timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinfront.workers.census import describe
from tinfront.workers.jobs import refuse
from tinfront.workers.witness import Witness

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.crew import Crew
    from tinfront.workers.jobs import Job, JobQueue
    from tinfront.workers.worker_process import WorkerProcess

Claims = dict[int, tuple[int, float]]


class Deadlines:
    """Sweeps over one queue and its workers.

    :ivar witness: asks late workers what they are doing.
    """

    def __init__(self, app: App, queue: JobQueue, crew: Crew, log: Logger) -> None:
        self._app = app
        self._queue = queue
        self._crew = crew
        self._log = log
        self.witness = Witness(app, queue, crew, log)
        self._late: dict[int, tuple[int, float]] = {}

    def sweep(self, now: float) -> None:
        """Find the jobs that waited or ran for too long."""
        if self._app.queue_timeout:
            self._sweep_waiting(now, self._app.queue_timeout)
        if self._app.timeout:
            claims = self._queue.claims()
            self._sweep_running(now, self._app.timeout, claims)
            for worker in self._crew:
                if worker.overdue and not self._has_jobs(worker, claims):
                    _end(worker)

    def _sweep_waiting(self, now: float, limit: float) -> None:
        queue = self._queue
        verdict = (503, "queue-timeout", f"no worker of {self._app.name} was free within {limit:g} s")
        for job in queue.line.expire(now - limit):
            if not job.exchange.finished:
                queue.shed.timeout += 1
                refuse(job.exchange, verdict)
        overdue = [job for job in queue.pending.values() if now - job.queued > limit and job.answering is None]
        if overdue:
            claims = queue.claims()
            for job in overdue:
                if job.id not in claims:
                    queue.doubt(job, verdict)

    def _sweep_running(self, now: float, limit: float, claims: Claims) -> None:
        late, self._late = self._late, {}
        for job_id, (slot, since) in claims.items():
            worker = self._crew.seats[slot // self._app.threads]
            if worker is None:
                continue
            job = self._queue.pending.get(job_id)
            if job is None:
                # The answer is over, or nobody wants it; yet the app is still busy with it.
                first = late[slot][1] if late.get(slot, (0, 0.0))[0] == job_id else now
                self._late[slot] = (job_id, first)
                if now - first > limit and not worker.overdue:
                    worker.kill(f"it was busy for {limit:g} s after its answer was over")
            elif job.answering is None:
                begun = since if job.sent <= since <= now else job.sent
                if now - (begun if job.inlet is None else job.inlet.idle_since(begun, now)) > limit:
                    self._fail(job, worker, now - job.sent)

    def _fail(self, job: Job, worker: WorkerProcess, age: float) -> None:
        """504. The worker takes no more jobs; it is replaced once no other job of it can be saved."""
        exchange = job.exchange
        self._log.error(
            "[{app}] no answer after {age:.1f} s: {method} {path} req={request_id}, worker {pid}; its stacks follow",
            app=self._app.name,
            age=age,
            method=exchange.head.method,
            path=exchange.head.path,
            request_id=exchange.request_id,
            pid=worker.pid,
        )
        worker.late[job.id] = describe(exchange, age)
        if not worker.overdue:
            worker.overdue = True
            worker.stop()
            self.witness.log_stacks(worker)
        self._queue.give_up(job)
        exchange.pid = worker.pid
        if not exchange.finished:
            refuse(exchange, (504, "app-timeout", f"no answer within {self._app.timeout:g} s"))

    def _has_jobs(self, worker: WorkerProcess, claims: Claims) -> bool:
        threads = self._app.threads
        return any(
            job_id in self._queue.pending and slot // threads == worker.seat for job_id, (slot, _) in claims.items()
        )


def _end(worker: WorkerProcess) -> None:
    """Nothing of it can be saved any more: it goes as soon as its stacks are there, by TERM, and if need be by KILL."""
    if not worker.why and (worker.stacks is None or not worker.stacks.awaited):
        worker.end("one of its jobs had no answer in time")
