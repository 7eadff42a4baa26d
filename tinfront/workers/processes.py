"""The pool of pre-forked workers: takes exchanges, and answers for every one of them, whatever becomes of a worker.

The parts: ``jobs.JobQueue`` sends jobs and takes them back, ``crew.Crew`` keeps the processes, ``replies.ReplyStream``
turns frames into answers. Here is the policy: bounds, deadlines, and what a worker's death means for its jobs.
"""

from __future__ import annotations

import signal
from time import monotonic
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from tinfront.interfaces import IWorkerPool
from tinfront.workers.board import Board
from tinfront.workers.crew import Crew
from tinfront.workers.jobs import LOOK_AHEAD, Job, JobQueue, Verdict, refuse
from tinfront.workers.pool import Pool

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.interfaces import IDescriptors, IKeeper
    from tinfront.workers.worker import WorkerProcess

KILL_AFTER = 2.0
"""Seconds between TERM and KILL for a worker that outlives the grace."""

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))  # RFC 9110 section 9.2.2


@implementer(IWorkerPool)
class ProcessPool(Pool):
    """Runs an app in pre-forked workers.

    :ivar grace: seconds that running jobs get when the pool is stopped; then comes TERM, then KILL.
    """

    def __init__(self, app: App, descriptors: IDescriptors, keeper: IKeeper, clock: Any, log: Logger) -> None:
        """``clock`` provides ``IReactorTime``."""
        super().__init__(app, clock, log)
        slots = app.workers * app.threads
        self._queue = queue = JobQueue(slots, LOOK_AHEAD, clock)
        queue.before_settling = self._drain
        self._waiting, self._pending, self._pump = queue.waiting, queue.pending, queue.pump
        self._limit = queue.limit
        self._bound = app.queue_max + slots
        self._crew = Crew(app, keeper, descriptors, log, self._back_off, self)
        self._late_claims: dict[int, tuple[int, float]] = {}

    # --- what others call --------------------------------------------------------------------------------------------

    def submit(self, exchange: Any, script_name: str) -> None:
        """Run the app for an exchange whose body is sealed; see ``IWorkerPool``."""
        waiting = self._waiting
        if self._refusal is not None:
            refuse(exchange, self._refusal, self._back_off.retry_after)
            return
        if len(waiting) + len(self._pending) >= self._bound:
            refuse(exchange, (503, "queue-full", f"{self._app.queue_max} jobs are waiting for {self._app.name}"))
            return
        job = Job()
        job.exchange = exchange
        job.script_name = script_name
        job.deaths = 0
        job.answering = job.verdict = None
        job.queued = exchange.times.queued = monotonic()
        waiting.append(job)
        if len(self._pending) < self._limit:
            self._pump()

    def cancel(self, exchange: Any) -> None:
        """The client has left: forget the exchange. If no worker has claimed its job, none will."""
        self._queue.cancel(exchange)

    def load(self) -> tuple[int, int, int]:
        """How many slots are (busy, idle), and how many exchanges are waiting."""
        claims = self._queue.board.claims()
        running = sum(1 for job_id in claims if job_id in self._pending)
        idle = max(0, self._crew.ready * self._app.threads - len(claims))
        return len(claims), idle, len(self._waiting) + len(self._pending) - running

    @property
    def ready(self) -> bool:
        """True when at least one worker can answer."""
        return self._crew.ready > 0

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._crew.start(self._queue)

    def _sweep(self, now: float) -> None:
        if self._app.queue_timeout:
            self._sweep_waiting(now, self._app.queue_timeout)
        if self._app.timeout:
            self._sweep_claims(now, self._app.timeout)
        self._queue.doubt_unclaimed(now)
        self._crew.tick(now)
        self._pump()

    def _sweep_waiting(self, now: float, limit: float) -> None:
        """Refuse what has waited for too long."""
        verdict = (503, "queue-timeout", f"no worker of {self._app.name} was free within {limit:g} s")
        waiting = self._waiting
        while waiting and now - waiting[0].queued > limit:
            job = waiting.popleft()
            if not job.exchange.finished:
                refuse(job.exchange, verdict)
        oldest = now - limit
        overdue = [job for job in self._pending.values() if job.queued < oldest and job.answering is None]
        if overdue:
            claims = self._queue.board.claims()
            for job in overdue:
                if job.id not in claims:
                    self._queue.doubt(job, verdict)

    def _sweep_claims(self, now: float, timeout: float) -> None:
        """Find the jobs that run for too long, and the slots that are busy after their job was over."""
        claims = self._queue.board.claims()
        late = self._late_claims
        self._late_claims = {}
        for job_id, (slot, since) in claims.items():
            worker = self._crew.seats[slot // self._app.threads]
            job = self._pending.get(job_id)
            if worker is None:
                continue
            if job is None:
                known = late.get(slot)
                first = known[1] if known is not None and known[0] == job_id else now
                self._late_claims[slot] = (job_id, first)
                if now - first > timeout:
                    self._crew.kill(worker, f"it was busy for {timeout:g} s after its answer was over")
            elif job.answering is None and now - (since if job.sent <= since <= now else job.sent) > timeout:
                self._fail_overdue(job, worker, now)
        for worker in self._crew:
            if worker.overdue and not worker.why and self._running(worker, claims) == 0:
                self._crew.kill(worker, "a job had no answer in time")

    def _running(self, worker: WorkerProcess, claims: dict[int, tuple[int, float]]) -> int:
        threads = self._app.threads
        return sum(1 for job_id in claims if job_id in self._pending and claims[job_id][0] // threads == worker.seat)

    def _fail_overdue(self, job: Job, worker: WorkerProcess, now: float) -> None:
        """504: the slot is lost until its worker is replaced, which waits for the worker's other jobs."""
        head = job.exchange.head
        age = now - job.sent
        self._log.error(
            "[{app}] no answer after {age:.1f} s: {method} {path} req={request_id}, worker {pid}; its stacks follow",
            app=self._app.name,
            age=age,
            method=head.method,
            path=head.path,
            request_id=job.exchange.request_id,
            pid=worker.pid,
        )
        if not worker.overdue:
            worker.overdue = True
            self._crew.dump(worker)
            self._crew.stop(worker)
        self._queue.give_up(job)
        job.exchange.times.pid = worker.pid
        if not job.exchange.finished:
            refuse(job.exchange, (504, "app-timeout", f"no answer within {self._app.timeout:g} s"))

    def _advance_stop(self, now: float) -> bool:
        crew = self._crew
        if self._stop_stage == 0 and (now >= self._stop_at or not (self._waiting or self._pending)):
            self._stop_stage = 1
            self._stop_at = max(now, self._stop_at)
            crew.stop_all()
        elif self._stop_stage == 1 and now >= self._stop_at:
            self._stop_stage = 2
            self._refuse_all((503, "stopping", "the grace of the stop is over"))
            crew.end_all(signal.SIGTERM)
        elif self._stop_stage == 2 and now >= self._stop_at + KILL_AFTER:
            crew.end_all(signal.SIGKILL)
        if not crew.ended:
            return False
        self._refuse_all((503, "stopping", "the pool is being stopped"))
        self._queue.close()
        return True

    # --- what the crew tells -----------------------------------------------------------------------------------------

    def on_ready(self) -> None:
        """A worker can answer."""
        self._open()
        self._pump()

    def on_trouble(self, why: str) -> None:
        """The app cannot be started, and no worker is left."""
        self._refuse_all(self._shut(why))

    def on_gone(self, worker: WorkerProcess, reason: str, retry: bool) -> None:
        """A worker is dead. Each of its jobs is answered or given to another."""
        worker.close()
        queue, board = self._queue, self._queue.board
        threads = self._app.threads
        lost = [stream.current.job for stream in worker.streams if stream.current is not None]
        for slot in range(worker.seat * threads, (worker.seat + 1) * threads):
            job = self._pending.get(board.ids[slot * Board.STEP])
            board.clear(slot)
            if job is not None and job not in lost:
                lost.append(job)
        for job in lost:
            self._bereave(job, worker, reason, retry)
        # Of what was sent and is not claimed, it may have taken something without a trace.
        claims = board.claims()
        for job in list(self._pending.values()):
            if job.id not in claims and job.answering is None:
                queue.doubt(job)
        self._pump()

    def _bereave(self, job: Job, worker: WorkerProcess, reason: str, retry: bool) -> None:
        """The worker that had claimed this job is dead."""
        self._pending.pop(job.id, None)
        self._queue.board.abandon(job.id)
        exchange = job.exchange
        exchange.times.pid = worker.pid
        detail = f"worker {worker.pid}: {reason}"
        if job.answering is not None and job.answering.outbox is not None:
            job.answering.outbox.fail("worker-died", detail)
            return
        if exchange.finished:
            return
        job.deaths += 1
        if job.answering is not None or not retry or exchange.head.method not in _IDEMPOTENT:
            refuse(exchange, (502, "worker-died", detail))
        elif job.deaths > 1:
            refuse(exchange, (502, "poison", f"a second worker died of it; {detail}"))
        elif self._stopped is not None and self._stop_stage > 0:
            refuse(exchange, (503, "stopping", detail))
        else:
            exchange.times.retries += 1
            self._waiting.appendleft(job)

    # --- within ------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        for worker in self._crew:
            for stream in worker.streams:
                stream.drain()

    def _refuse_all(self, verdict: Verdict) -> None:
        """Answer all that wait; take back what was sent, and cut what has begun."""
        while self._waiting:
            job = self._waiting.popleft()
            if not job.exchange.finished:
                refuse(job.exchange, verdict, self._back_off.retry_after)
        claims = self._queue.board.claims()
        for job in list(self._pending.values()):
            if self._stopped is not None:
                self._queue.give_up(job)
                if job.answering is not None and job.answering.outbox is not None:
                    job.answering.outbox.fail(verdict[1], verdict[2])
                elif not job.exchange.finished:
                    refuse(job.exchange, verdict)
            elif job.id not in claims:
                self._queue.doubt(job, verdict)
