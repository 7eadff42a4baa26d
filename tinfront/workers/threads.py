"""The pool that runs an app on threads of the front itself: for one trusted site, where processes are too much.

The app shares the interpreter's lock with the front, so each busy thread delays every connection. Threads hand their
results over through one deque, with at most one wake-up of the front pending, however many results there are.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

import tinfront
from tinfront.interfaces import IWorkerPool
from tinfront.workers import applog
from tinfront.workers.environ import add_input, base_environ, make_environ, reopen
from tinfront.workers.frames import without_forbidden
from tinfront.workers.gateway import FileWrapper, run
from tinfront.workers.jobs import refuse
from tinfront.workers.loader import load, prepare
from tinfront.workers.pool import Pool
from tinfront.workers.thread_replies import Task, ThreadReply

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App

SWITCH_INTERVAL = 0.0005
"""Seconds a thread keeps the interpreter's lock while others want it; Python's default starves the front."""

STUCK_MAX = 4
"""Replacements for stuck threads, as a multiple of the pool's threads."""

LOG_MAX = 1000
"""Log records that may wait for the front; more are counted and dropped."""


@implementer(IWorkerPool)
class ThreadPool(Pool):
    """Runs an app on threads of this process.

    :ivar grace: seconds that running jobs get when the pool is stopped; threads that run longer are left behind.
    """

    def __init__(self, app: App, call_soon: Callable[[Callable[[], None]], None], clock: Any, log: Logger) -> None:
        """``call_soon`` has the front call something soon, and may be called by any thread."""
        super().__init__(app, clock, log)
        self._call_soon = call_soon
        self._wsgi: Callable[..., Any] | None = None
        self._waiting: deque[Task] = deque()
        self._sent: set[Task] = set()
        self._inbox: SimpleQueue[Task | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._stuck: set[threading.Thread] = set()
        self._outbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._woken = False
        self._logs = 0
        self._dropped = 0
        self._loading = False
        self._interval = 0.0
        self._errors = applog.AppStream(self._emit, applog.ERROR)
        self._base = base_environ(tinfront.__version__, app.threads > 1, False, self._errors, FileWrapper)

    # --- what others call --------------------------------------------------------------------------------------------

    def submit(self, exchange: Any, script_name: str) -> None:
        """Run the app for an exchange whose body is sealed; see ``IWorkerPool``."""
        if self._refusal is not None:
            refuse(exchange, self._refusal, self._back_off.retry_after)
            return
        if len(self._waiting) + len(self._sent) >= self._app.queue_max + self._app.threads:
            refuse(exchange, (503, "queue-full", f"{self._app.queue_max} jobs are waiting for {self._app.name}"))
            return
        now = exchange.times.queued = monotonic()
        self._waiting.append(Task(exchange, script_name, now))
        if len(self._sent) < 2 * self._app.threads:
            self._pump()

    def cancel(self, exchange: Any) -> None:
        """The client has left: forget the exchange. If no thread has begun with it, none will."""
        for task in self._waiting:
            if task.exchange is exchange:
                self._waiting.remove(task)
                return
        for task in self._sent:
            if task.exchange is exchange:
                self._forget(task)
                self._pump()
                return

    def load(self) -> tuple[int, int, int]:
        """How many slots are (busy, idle), and how many exchanges are waiting."""
        running = sum(1 for task in self._sent if task.claimed)
        return running, max(0, self._able - running), len(self._waiting) + len(self._sent) - running

    @property
    def ready(self) -> bool:
        """True when the app is imported and at least one thread is not stuck."""
        return self._wsgi is not None and self._able > 0

    @property
    def _able(self) -> int:
        return len(self._threads) - len(self._stuck)

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        if self._app.chdir:
            self._log.warn("[{app}] chdir is not done in mode = threads: it would move the front", app=self._app.name)
        self._load()

    def _sweep(self, now: float) -> None:
        if self._wsgi is None and not self._loading and now >= self._back_off.until and self._stopped is None:
            self._load()
        if self._app.queue_timeout:
            self._sweep_waiting(now, self._app.queue_timeout)
        if self._app.timeout:
            for task in [task for task in self._sent if task.claimed and not task.answered]:
                if now - task.claimed > self._app.timeout:
                    self._fail_overdue(task, now - task.claimed)
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._log.warn("[{app}] {count} log records were dropped", app=self._app.name, count=dropped)
        self._pump()

    def _sweep_waiting(self, now: float, limit: float) -> None:
        """Refuse what has waited for too long."""
        verdict = (503, "queue-timeout", f"no thread of {self._app.name} was free within {limit:g} s")
        while self._waiting and now - self._waiting[0].queued > limit:
            refuse(self._waiting.popleft().exchange, verdict)
        for task in [task for task in self._sent if now - task.queued > limit and task.ticket]:
            if self._take_back(task):
                refuse(task.exchange, verdict)

    def _fail_overdue(self, task: Task, age: float) -> None:
        """504: the slot is given up, for a thread cannot be ended; another takes its place."""
        thread = task.thread
        assert thread is not None
        head = task.exchange.head
        frame = sys._current_frames().get(thread.ident or 0)
        self._log.error(
            "[{app}] no answer after {age:.1f} s: {method} {path} req={request_id}; its thread is given up:\n{stack}",
            app=self._app.name,
            age=age,
            method=head.method,
            path=head.path,
            request_id=task.exchange.request_id,
            stack="".join(traceback.format_stack(frame)) if frame is not None else "",
        )
        self._stuck.add(thread)
        if len(self._stuck) <= STUCK_MAX * self._app.threads:
            self._start_thread()
        self._forget(task)
        refuse(task.exchange, (504, "app-timeout", f"no answer within {self._app.timeout:g} s"))

    def _advance_stop(self, now: float) -> bool:
        late = now >= self._stop_at
        if not late and (self._waiting or self._sent or self._loading):
            return False
        if self._stop_stage == 0:
            self._stop_stage = 1
            for task in [*self._waiting, *self._sent]:
                self._end_unfinished(task)
            self._waiting.clear()
            for _ in self._threads:
                self._inbox.put(None)
        if self._able > 0 and not late:
            return False
        if self._threads:
            self._log.warn("[{app}] {count} threads are left behind", app=self._app.name, count=len(self._threads))
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

    # --- the app -----------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        self._loading = True
        threading.Thread(target=self._import, name=f"tinfront-import-{self._app.name}", daemon=True).start()

    def _import(self) -> None:
        """In a thread of its own: an import may take long."""
        try:
            os.environ.update(self._app.env)
            prepare(self._app.path)
            app = load(self._app.wsgi)
        except BaseException:  # noqa: BLE001 - an app may call sys.exit() at import
            self._post(self._on_loaded, (None, traceback.format_exc()))
        else:
            self._post(self._on_loaded, (app, ""))

    def _on_loaded(self, app: Callable[..., Any] | None, text: str) -> None:
        self._loading = False
        if app is not None:
            self._wsgi = app
            for _ in range(self._app.threads):
                self._start_thread()
            self._open()
            self._pump()
            return
        self._back_off.failed()
        self._log.error("[{app}] cannot start: {text}", app=self._app.name, text=applog.cut(text))
        verdict = self._shut(text.rstrip().rpartition("\n")[2])
        while self._waiting:
            refuse(self._waiting.popleft().exchange, verdict, self._back_off.retry_after)

    def _start_thread(self) -> None:
        number = len(self._threads)
        thread = threading.Thread(target=self._live, name=f"tinfront-{self._app.name}-{number}", daemon=True)
        self._threads.add(thread)
        thread.start()

    # --- on its way ---------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Give the threads what they can do next."""
        if self._wsgi is None:
            return
        waiting, sent = self._waiting, self._sent
        while waiting and len(sent) < 2 * self._able:
            task = waiting.popleft()
            exchange = task.exchange
            if exchange.finished:
                continue
            body = exchange.body
            if body is not None:
                try:
                    task.length, task.data = body.length, body.data()
                    if task.data is None:
                        task.fd = reopen(body.fileno())
                except OSError as error:
                    refuse(exchange, (500, "job-unsent", str(error)))
                    continue
            sent.add(task)
            self._inbox.put(task)

    def _take_back(self, task: Task) -> bool:
        """True if no thread has begun with it, so that none will."""
        try:
            task.ticket.pop()
        except IndexError:
            return False
        self._sent.discard(task)
        if task.fd >= 0:
            os.close(task.fd)
        return True

    def _forget(self, task: Task) -> None:
        """Nobody wants this task's answer."""
        task.gone = True
        self._sent.discard(task)
        if not self._take_back(task) and task.producer is not None:
            task.producer.stop()

    def _live(self) -> None:
        """The life of a thread."""
        thread = threading.current_thread()
        ident = threading.get_ident()
        while (task := self._inbox.get()) is not None:
            try:
                task.ticket.pop()
            except IndexError:
                continue  # the front has taken it back
            task.thread = thread
            task.claimed = monotonic()
            applog.current[ident] = task.exchange.request_id
            self._perform(task)
            if task.producer is not None:
                self._post(self._on_streamed, (task,))
            if applog.unfinished:
                applog.settle()
            if thread in self._stuck:
                break
        applog.current.pop(ident, None)
        self._post(self._on_thread_end, (thread,))

    def _perform(self, task: Task) -> None:
        exchange = task.exchange
        head, peer, local = exchange.head, exchange.peer, exchange.local
        fields = head.fields
        if "proxy" in fields or "transfer-encoding" in fields:
            fields = without_forbidden(fields)
        script_name = task.script_name
        fixed = (head.method, script_name, head.path, head.query, head.target, head.version, head.authority)
        fixed += (str(peer[0]), str(peer[1]), str(local[0]), str(local[1]), exchange.request_id)
        environ = make_environ(self._base, fixed, fields.keys(), fields.values(), exchange.secure)
        stream = add_input(environ, task.length, task.data, task.fd)
        assert self._wsgi is not None
        run(self._wsgi, environ, ThreadReply(task, self._post, self._done))
        stream.close()

    def _on_thread_end(self, thread: threading.Thread) -> None:
        self._threads.discard(thread)
        self._stuck.discard(thread)
        self._pump()

    def _done(self, task: Task, head: Any, body: Any) -> None:
        """In the front: a head has come, and the body or its producer."""
        task.answered = True
        exchange = task.exchange
        if task.producer is None:
            self._sent.discard(task)
        if task.gone or exchange.finished:
            self._forget(task)
        else:
            exchange.times.claimed = task.claimed
            exchange.times.pid = os.getpid()
            if head is None:
                exchange.refuse(*body)
            else:
                exchange.respond(head, body)
        if self._waiting:
            self._pump()

    def _on_streamed(self, task: Task) -> None:
        """The thread is free, though the client may still be taking what it wrote."""
        self._sent.discard(task)
        self._pump()

    def _emit(self, level: str, request_id: str, text: str) -> None:
        """By any thread: have the front log it."""
        if self._logs >= LOG_MAX:
            self._dropped += 1
            return
        self._logs += 1
        self._post(self._log_record, (level, request_id, applog.cut(text)))

    def _log_record(self, level: str, request_id: str, text: str) -> None:
        self._logs -= 1
        applog.log_line(self._log, level, self._app.name, os.getpid(), request_id, text)

    def _post(self, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """By any thread: have the front call something, with one wake-up for all that waits."""
        self._outbox.append((call, arguments))
        if not self._woken:
            self._woken = True
            self._call_soon(self._collect)

    def _collect(self) -> None:
        """In the front: do what the threads have posted. What comes meanwhile waits for the next turn."""
        self._woken = False
        outbox = self._outbox
        for _ in range(len(outbox)):
            call, arguments = outbox.popleft()
            try:
                call(*arguments)
            except Exception:  # noqa: BLE001 - one broken answer must not hold up the others
                self._log.failure("[{app}] a bug in the pool", app=self._app.name)
