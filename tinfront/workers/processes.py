"""The pool of pre-forked workers: takes exchanges, and answers for every one of them, whatever becomes of a worker.

The parts: ``jobs.JobQueue`` sends jobs and takes them back, ``crew.Crew`` keeps the processes, ``replies.ReplyStream``
turns frames into answers. Here is the policy: bounds, deadlines, and what a worker's death means for its jobs.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from tinfront.interfaces import IWorkerPool
from tinfront.workers.board import Board
from tinfront.workers.crew import Crew, ceiling
from tinfront.workers.deadlines import Deadlines
from tinfront.workers.jobs import LOOK_AHEAD, Job, JobQueue, Verdict, refuse, refuse_later
from tinfront.workers.nurse import Nurse
from tinfront.workers.order import NEVER
from tinfront.workers.pool import Pool
from tinfront.workers.rescue import Rescue
from tinfront.workers.sizing import Sizing

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.interfaces import IDescriptors, IKeeper
    from tinfront.workers.sources import Sources
    from tinfront.workers.worker_process import WorkerProcess

KILL_AFTER = 2.0
"""Seconds between TERM and KILL for a worker that outlives the grace."""

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))  # RFC 9110 section 9.2.2


def _at_once(act: Callable[[], None]) -> None:
    act()


@implementer(IWorkerPool)
class ProcessPool(Pool):
    """Runs an app in pre-forked workers.

    :ivar grace: seconds that running jobs get when the pool is stopped; then comes TERM, then KILL.
    """

    def __init__(
        self,
        app: App,
        descriptors: IDescriptors,
        keeper: IKeeper,
        clock: Any,
        log: Logger,
        call_soon: Callable[[Callable[[], None]], Any] = _at_once,
    ) -> None:
        """``clock`` provides ``IReactorTime``; ``call_soon`` runs a callable at the end of this turn of the loop."""
        super().__init__(app, clock, log, call_soon)
        self._queue = queue = JobQueue(app.workers * app.threads, LOOK_AHEAD, clock, descriptors, self._line)
        queue.board_slots = 2 * ceiling(app) * app.threads
        queue.shed = self.shed
        self._waiting, self._pending, self._pump = queue.waiting, queue.pending, queue.pump
        self._bound = app.queue_max + app.workers * app.threads
        self._nurse = nurse = Nurse(app, keeper, descriptors, log, self._back_off)
        self._crew = Crew(app, descriptors, log, nurse, self)
        queue.before_settling = self._crew.drain
        queue.on_unanswered = self._on_unanswered
        self._deadlines = Deadlines(app, queue, self._crew, log)
        self._witness = self._deadlines.witness
        self._rescue = Rescue(app, queue, self._take_back, log)
        self.workers = app.workers
        self._sizing = Sizing(app.least, app.most, app.threads)

    # --- what others call --------------------------------------------------------------------------------------------

    def submit(self, exchange: Any, script_name: str, unbuffered: bool = False) -> None:
        """Run the app for an exchange; see ``IWorkerPool``."""
        waiting = self._waiting
        if self._refusal is not None:
            refuse(exchange, self._refusal, self._back_off.retry_after)
            return
        if len(waiting) + self._line.count + len(self._pending) >= self._bound and not self._make_room(exchange):
            return
        job = Job()
        job.exchange = exchange
        job.script_name = script_name
        job.deaths = 0
        job.unbuffered = unbuffered
        job.answering = job.verdict = job.inlet = None
        job.queued = exchange.queued = monotonic()
        waiting.append(job)
        if not self._queue.pump_due:
            # At the end of the turn, all jobs of it together: a worker is woken once, not once per job.
            self._queue.pump_due = True
            self._call_soon(self._pump)

    def cancel(self, exchange: Any) -> None:
        """The client has left: forget the exchange. If no worker has claimed its job, none will."""
        self._queue.cancel(exchange)

    def shut(self, exchange: Any) -> bool:
        """See ``IWorkerPool``."""
        return self._queue.shut(exchange)

    def load(self) -> tuple[int, int, int]:
        """How many slots are (busy, idle), and how many exchanges are waiting."""
        claims = self._queue.claims()
        running = sum(1 for job_id in claims if job_id in self._pending)
        idle = max(0, self._crew.ready * self._app.threads - len(claims))
        return len(claims), idle, self._queue.unsent + len(self._pending) - running

    def oldest_wait(self) -> float:
        """See ``IWorkerPool``."""
        claims = self._queue.claims()
        unclaimed = [job.queued for job in self._pending.values() if job.id not in claims and job.answering is None]
        oldest = min([self._line.oldest(), *unclaimed])
        return max(0.0, monotonic() - oldest) if oldest < NEVER else 0.0

    @property
    def ready(self) -> bool:
        """True when at least one worker can answer."""
        return self._crew.ready > 0

    def sources(self) -> Sources | None:
        """See ``Pool``."""
        return self._crew.nurse.sources

    def resize(self, count: int) -> int:
        """See ``Pool``.

        New ones are started now; who is too many finishes its jobs.
        """
        self.workers = self._crew.target = count = max(1, min(count, ceiling(self._app)))
        self._queue.resize(count * self._app.threads)
        self._bound = self._app.queue_max + count * self._app.threads
        self._sizing.resized(monotonic())
        self._crew.tick(monotonic())
        return count

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._queue.open()
        self._crew.start(self._queue)

    def _sweep(self, now: float) -> None:
        self._rescue.sweep(now, self._queue.claims(), self._crew)
        self._deadlines.sweep(now)
        self._queue.doubt_unclaimed(now)
        if self._app.least < self._app.most and self._stopped is None:
            wanted = self._sizing.advise(now, self.workers, self._crew.ready, self.oldest_wait(), self.load()[1])
            if wanted != self.workers:
                self._log.info("[{app}] {count} workers from now on", app=self._app.name, count=self.resize(wanted))
        self._crew.tick(now)
        self._queue.adapt(now, self._finishing())
        self._pump()

    def _finishing(self) -> int:
        """How many jobs are with workers that take no more: others have taken their places."""
        seats = {worker.seat for worker in self._crew if worker.leaving}
        if not seats:
            return 0
        return sum(slot // self._app.threads in seats for slot, _ in self._queue.claims().values())

    def _advance_stop(self, now: float) -> bool:
        crew = self._crew
        late = now - self._stop_began - self.grace
        if self._stop_stage == 0 and (late >= 0 or not (self._queue.unsent or self._pending)):
            self._stop_stage = 1
            crew.stop()
        elif self._stop_stage == 1 and late >= 0:
            self._stop_stage = 2
            self._refuse_all((503, "stopping", "the grace of the stop is over"))
            crew.end(signal.SIGTERM)
        elif self._stop_stage == 2 and late >= KILL_AFTER:
            crew.end(signal.SIGKILL)
        if not crew.ended:
            return False
        self._refuse_all((503, "stopping", "the pool is being stopped"))
        self._queue.close()
        return True

    # --- what the crew tells -----------------------------------------------------------------------------------------

    def on_ready(self) -> None:
        """A worker can answer."""
        self._nurse.recovered()
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
        claims = board.claims()
        lost = [stream.current.job for stream in worker.streams if stream.current is not None]
        for slot in range(worker.seat * threads, (worker.seat + 1) * threads):
            job = self._pending.get(board.ids[slot * Board.STEP])
            board.clear(slot)
            if job is not None and job not in lost:
                lost.append(job)
        # What it had finished, and what still is not answered now that all it sent was taken, it had begun as well.
        for job in self._pending.values():
            if job.id not in claims and job.answering is None and board.finisher(job.id) == worker.seat:
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
        exchange.pid = worker.pid
        detail = f"worker {worker.pid}: {reason}"
        job.deaths += 1
        if job.answering is not None:
            job.answering.fail(502, "worker-died", detail)
        elif exchange.finished:
            pass
        elif not retry or not _may_run_twice(job):
            refuse(exchange, (502, "worker-died", detail))
        elif job.deaths > 1:
            refuse(exchange, (502, "poison", f"a second worker died of it; {detail}"))
        elif self._stopped is not None and self._stop_stage > 0:
            refuse(exchange, (503, "stopping", detail))
        else:
            exchange.retries += 1
            self._line.put_back(job)

    def _on_unanswered(self, job: Job, seat: int) -> None:
        """Whoever sits there has run this job, and the answer is not in its stream: what is, cannot be believed."""
        worker = self._crew.seats[seat] if seat < len(self._crew.seats) else None
        if worker is not None:
            worker.on_violation("no answer to a request that it had finished")  # its end is the end of the job, too
            return
        self._queue.give_up(job)
        refuse_later(job.exchange, (502, "worker-died", "the worker that had finished it is gone"))

    def _take_back(self, job: Job) -> bool:
        """Give a job to another worker although its own may still come to it; False if it must not run twice."""
        if job.exchange.finished or not _may_run_twice(job) or job.inlet is not None or self._stopped is not None:
            return False
        self._queue.give_up(job)
        job.exchange.retries += 1
        self._line.put_back(job)
        return True

    # --- within ------------------------------------------------------------------------------------------------------

    def _line_up(self) -> None:
        self._queue.line_up()

    def _refuse_all(self, verdict: Verdict) -> None:
        """Answer all that wait; take back what was sent, and cut what has begun."""
        for job in self._queue.empty():
            if not job.exchange.finished:
                refuse(job.exchange, verdict, self._back_off.retry_after)
        claims = self._queue.claims()
        for job in list(self._pending.values()):
            if self._stopped is not None:
                self._queue.give_up(job)
                if job.answering is not None:
                    job.answering.fail(*verdict)
                elif not job.exchange.finished:
                    refuse(job.exchange, verdict)
            elif job.id not in claims:
                self._queue.doubt(job, verdict)


def _may_run_twice(job: Job) -> bool:
    """Whether another worker may be given a job that one has begun with."""
    exchange = job.exchange
    if exchange.head.method not in _IDEMPOTENT or (job.inlet is not None and job.inlet.started):
        return False
    model = exchange.route.model if exchange.route is not None else None
    return model is None or bool(model.settings.get("retry", True))
