"""The pool that runs an app on threads of the front itself: for one trusted site, where processes are too much.

The app shares the interpreter's lock with the front, so each busy thread delays every connection. A thread that is
stuck cannot be ended: its client gets 504, its slot goes to another thread, and it is left behind.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from tinfront.interfaces import IWorkerPool
from tinfront.workers import applog, forks
from tinfront.workers.census import stack_of
from tinfront.workers.jobs import refuse
from tinfront.workers.order import NEVER, Pace
from tinfront.workers.pool import Pool
from tinfront.workers.thread_crew import Handover, LogRelay, ThreadCrew
from tinfront.workers.thread_replies import Task
from tinfront.workers.witness import ThreadWitness

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.interfaces import IDescriptors

SENT_MAX = 256
"""Tasks that threads may have, or find without asking the front, if they are short: else threads fall asleep between
them. Of long ones it is as many as there are threads, as what they may find is out of the reach of ``order``."""

LINGER = 0.3
"""Seconds that threads without a task get to end, even when the grace of a stop is over."""

SWITCH_INTERVAL = 0.0005
"""Seconds a thread keeps the interpreter's lock while others want it; Python's default starves the front."""


@implementer(IWorkerPool)
class ThreadPool(Pool):
    """Runs an app on threads of this process.

    :ivar grace: seconds that running jobs get when the pool is stopped; threads that run longer are left behind.
    :ivar sent: tasks that threads have, or may take.
    :ivar pid: of this process.
    """

    def __init__(
        self,
        app: App,
        descriptors: IDescriptors,
        call_soon: Callable[[Callable[[], None]], None],
        clock: Any,
        log: Logger,
    ) -> None:
        """``call_soon`` has the front call something soon, and may be called by any thread."""
        super().__init__(app, clock, log, call_soon)
        self._descriptors = descriptors
        self._handover = Handover(call_soon, self._report_bug)
        self._relay = LogRelay(self._handover, log, app.name)
        self._crew = ThreadCrew(f"tinfront-{app.name}", app.threads, self._handover, self._relay, self)
        self._witness = ThreadWitness(app, self)
        self._waiting: deque[Task] = deque()
        self.sent: set[Task] = set()
        self._sent_max = app.threads
        self._begun = 0
        self._pace = Pace()
        self._left: dict[Task, float] = {}
        self._loading = False
        self._interval = 0.0
        self._stop_left = 0.0
        self._pumping = False
        self.pid = 0

    # --- what others call --------------------------------------------------------------------------------------------

    def submit(self, exchange: Any, script_name: str, unbuffered: bool = False) -> None:
        """Run the app for an exchange; see ``IWorkerPool``."""
        if self._refusal is not None:
            refuse(exchange, self._refusal, self._back_off.retry_after)
            return
        count = len(self._waiting) + self._line.count + len(self.sent)
        if count >= self._app.queue_max + self._app.threads and not self._make_room(exchange):
            return
        exchange.queued = now = monotonic()
        self._waiting.append(Task(exchange, script_name, now, unbuffered))
        if not self._pumping:
            # At the end of this turn of the loop: a thread that is woken earlier takes the interpreter's lock from
            # the front in the middle of its work, once per request.
            self._pumping = True
            self._call_soon(self._pump)

    def cancel(self, exchange: Any) -> None:
        """The client has left: forget the exchange. If no thread has begun with it, none will."""
        self._line_up()
        task = self._line.remove(exchange) or next((task for task in self.sent if task.exchange is exchange), None)
        if task is None:
            return
        if self._forget(task):
            self.shed.gone += 1
        elif not task.answered:
            self._left[task] = monotonic()  # when its thread has been at it for too long, another takes its place
        self._pump()

    def shut(self, exchange: Any) -> bool:
        """See ``IWorkerPool``."""
        for task in self.sent:
            if task.exchange is exchange:
                task.shut = True
                return not task.claimed and self.load()[1] == 0
        if not self._crew.able:
            return False  # nobody is busy: the app is still being imported
        if len(self.sent) >= self._sent_max:
            self._line_up()
        return self._line.holds(exchange)

    def load(self) -> tuple[int, int, int]:
        """How many slots are (busy, idle), and how many exchanges are waiting."""
        running = sum(1 for task in self.sent if task.claimed)
        waiting = len(self._waiting) + self._line.count + len(self.sent) - running
        return running, max(0, self._crew.able - running), waiting

    def oldest_wait(self) -> float:
        """See ``IWorkerPool``."""
        oldest = min([self._line.oldest(), *(task.queued for task in self.sent if not task.claimed)])
        return max(0.0, monotonic() - oldest) if oldest < NEVER else 0.0

    @property
    def ready(self) -> bool:
        """True when the app is imported and at least one thread is not stuck."""
        return self._crew.able > 0

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.pid = os.getpid()  # not sooner: a daemon forks before it starts
        forks.mind()
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        os.environ.update(self._app.env)
        if self._app.chdir:
            self._log.warn("[{app}] chdir is not done in mode = threads: it would move the front", app=self._app.name)

    def _on_loaded(self, trouble: str) -> None:
        self._loading = False
        if not trouble:
            self._crew.start()
            self._open()
            self._pump()
            return
        self._back_off.failed()
        self._log.error("[{app}] cannot start: {text}", app=self._app.name, text=applog.cut(trouble))
        verdict = self._shut(trouble.rstrip().rpartition("\n")[2])
        self._line_up()
        for task in self._line.expire(NEVER):
            refuse(task.exchange, verdict, self._back_off.retry_after)

    def _sweep(self, now: float) -> None:
        if not len(self._crew) and not self._loading and now >= self._back_off.until and self._stopped is None:
            self._loading = True
            self._crew.load(self._app.wsgi, self._app.path, self._on_loaded)
        limit = self._app.queue_timeout
        if limit:
            verdict = (503, "queue-timeout", f"no thread of {self._app.name} was free within {limit:g} s")
            for task in [task for task in (*self._line, *self.sent) if not task.claimed and now - task.queued > limit]:
                if task.take_back():
                    self.sent.discard(task)
                    self._line.remove(task.exchange)
                    self.shed.timeout += 1
                    refuse(task.exchange, verdict)
        limit = self._app.timeout
        if limit:
            for task in [task for task in self.sent if task.claimed and not task.answered]:
                since = task.claimed if task.inlet is None else task.inlet.idle_since(task.claimed, now)
                if now - since > limit:
                    self._fail_overdue(task, now - task.claimed)
            self._sweep_left(now, limit)
        self._relay.report()
        self._sent_max = self._app.threads + min(SENT_MAX, self._pace.briefly(self._begun, now))
        self._pump()

    def _sweep_left(self, now: float, limit: float) -> None:
        """Threads that go on for a client that has left: a stuck one must not cost its slot for ever."""
        self._left.update({task: now for task in self.sent if task.gone and task not in self._left})
        self._left = {task: since for task, since in self._left.items() if not task.over}
        for task in [task for task, since in self._left.items() if now - since > limit]:
            del self._left[task]
            self.sent.discard(task)
            assert task.thread is not None
            self._log.error(
                "[{app}] a thread was busy for {limit:g} s after its client had left; it is given up",
                app=self._app.name,
                limit=limit,
            )
            self._crew.give_up(task.thread)

    def _fail_overdue(self, task: Task, age: float) -> None:
        """504: the slot is given up, for a thread cannot be ended; another takes its place."""
        thread, head = task.thread, task.exchange.head
        assert thread is not None
        stack = stack_of(thread)
        self._log.error(
            "[{app}] no answer after {age:.1f} s: {method} {path} req={request_id}; its thread is given up:\n{stack}",
            app=self._app.name,
            age=age,
            method=head.method,
            path=head.path,
            request_id=task.exchange.request_id,
            stack=stack,
        )
        self._crew.give_up(thread)
        self._forget(task)
        refuse(task.exchange, (504, "app-timeout", f"no answer within {self._app.timeout:g} s"))

    def _advance_stop(self, now: float) -> bool:
        late = now - self._stop_began >= self.grace
        if not late and (self._waiting or self._line.count or self.sent or self._loading):
            return False
        if self._stop_stage == 0:
            self._stop_stage = 1
            self._line_up()
            for task in (*self._line, *self.sent):
                self._end_unfinished(task)
            self._crew.stop()
            self._stop_left = now + LINGER
        if len(self._crew) and now < max(self._stop_left, self._stop_began + self.grace):
            return False
        self._handover.close()
        if len(self._crew):
            self._log.warn("[{app}] {count} threads are left behind", app=self._app.name, count=len(self._crew))
        if self._interval:
            sys.setswitchinterval(self._interval)
        return True

    def _end_unfinished(self, task: Task) -> None:
        """The grace is over."""
        outbox = task.producer.give_up() if task.producer is not None else None
        self._forget(task)
        if outbox is not None:
            outbox.fail("stopping", "the grace of the stop is over")
        elif not task.exchange.finished:
            refuse(task.exchange, (503, "stopping", "the pool is being stopped"))

    # --- there and back ----------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Give the threads what they can do next."""
        self._pumping = False
        waiting, line, sent, crew = self._waiting, self._line, self.sent, self._crew
        if line.count:
            self._line_up()
        while (waiting or line.count) and len(sent) < self._sent_max and crew.able:
            task = waiting.popleft() if waiting else line.next(sent, monotonic())
            if task.exchange.body is not None:
                if task.exchange.finished:
                    continue  # and its body is closed
                try:
                    task.take_body(self._descriptors, self._lose)
                except OSError as error:
                    refuse(task.exchange, (500, "job-unsent", str(error)))
                    continue
            sent.add(task)
            self._begun += 1
            crew.run(task)
        if waiting:
            self._line_up()

    def _line_up(self) -> None:
        """There is no room for all newcomers: from now on it matters who comes next."""
        while self._waiting:
            self._line.add(self._waiting.popleft())

    def _lose(self, task: Task) -> None:
        """The exchange is over, though the app has not read all of the body that was on its way."""
        if task in self.sent and not task.answered:
            self._forget(task)
            self._left[task] = monotonic()

    def _forget(self, task: Task) -> bool:
        """Nobody wants this task's answer; True if no thread has begun with it."""
        if task in self.sent:
            self.sent.discard(task)
        else:
            self._line.remove(task.exchange)
        return task.forget()

    def on_answer(self, task: Task, head: Any, body: Any) -> None:
        """A head has come, and the body or its producer; without a head, ``body`` says what went wrong."""
        task.answered = True
        if task.producer is None:
            self.sent.discard(task)
        exchange = task.exchange
        if task.gone or exchange.finished:
            task.forget()
        else:
            exchange.claimed = task.claimed
            exchange.pid = self.pid
            if head is None:
                exchange.refuse(*body)
            else:
                exchange.respond(head, body)
        if self._line.count:
            self._pump()

    def on_free(self, task: Task) -> None:
        """A thread has written all of a streamed answer, though the client may still be taking it."""
        self.sent.discard(task)
        self._pump()
