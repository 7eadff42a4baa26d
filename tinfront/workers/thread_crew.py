"""The threads of a ``ThreadPool``, and the one way by which they reach the front."""

from __future__ import annotations

import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

import tinfront
from tinfront.workers import applog, forks, voices
from tinfront.workers.environ import add_input, base_environ, close_input, make_environ
from tinfront.workers.frames import without_forbidden
from tinfront.workers.gateway import FileWrapper, run
from tinfront.workers.loader import load, prepare
from tinfront.workers.thread_replies import Task, ThreadReply

if TYPE_CHECKING:
    from twisted.logger import Logger

STUCK_MAX = 4
"""Replacements for stuck threads, as a multiple of the pool's threads."""

LOG_MAX = 1000
"""Log records that may wait for the front; more are counted and dropped."""


class Handover:
    """Calls from any thread that the front is to make, in order, with one wake-up for all that wait."""

    def __init__(self, call_soon: Callable[[Callable[[], None]], None], on_error: Callable[[], None]) -> None:
        """``on_error`` is called, in an except clause, if a call raises."""
        self._call_soon = call_soon
        self._on_error = on_error
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._woken = False

    def close(self) -> None:
        """The front will not listen any more; threads that were left behind may still speak."""
        self._call_soon = _unheard

    def post(self, call: Callable[..., None], arguments: tuple[Any, ...] = ()) -> None:
        """By any thread."""
        self._calls.append((call, arguments))
        if not self._woken:
            self._woken = True
            self._call_soon(self._collect)

    def _collect(self) -> None:
        """In the front. What comes meanwhile waits for the next turn."""
        self._woken = False
        calls = self._calls
        for _ in range(len(calls)):
            call, arguments = calls.popleft()
            try:
                call(*arguments)
            except Exception:  # noqa: BLE001 - one broken answer must not hold up the others
                self._on_error()


def _unheard(_: Callable[[], None]) -> None:
    pass


class LogRelay:
    """What threads have to say, on its way to the log: bounded, and what is over the bound is counted."""

    def __init__(self, handover: Handover, log: Logger, app: str) -> None:
        self._handover = handover
        self._log = log
        self._app = app
        self._waiting = 0
        self._dropped = 0

    def emit(self, level: str, request_id: str, text: str) -> None:
        """By any thread: have the front log it."""
        if self._waiting >= LOG_MAX:
            self._dropped += 1
            return
        self._waiting += 1
        self._handover.post(self._write, (level, request_id, applog.cut(text)))

    def report(self) -> None:
        """In the front: log how many were dropped since the last time."""
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._log.warn("[{app}] {count} log records were dropped", app=self._app, count=dropped)

    def _write(self, level: str, request_id: str, text: str) -> None:
        self._waiting -= 1
        applog.log_line(self._log, level, self._app, os.getpid(), request_id, text)


class ThreadCrew:
    """Threads that run one app.

    :ivar stuck: threads that were given up; each ends as soon as it can.
    """

    def __init__(self, name: str, count: int, handover: Handover, relay: LogRelay, pool: Any) -> None:
        """``pool`` is told, in the front: ``on_answer(task, head, body)`` and ``on_free(task)``."""
        self.stuck: set[threading.Thread] = set()
        self._name = name
        self._handover = handover
        self._pool = pool
        self._count = count
        self._threads: set[threading.Thread] = set()
        self._inbox: SimpleQueue[Task | None] = SimpleQueue()
        self._app: Callable[..., Any] | None = None
        self._out = applog.AppStream(relay.emit, applog.INFO)
        self._err = applog.AppStream(relay.emit, applog.ERROR)
        self._base = base_environ(tinfront.__version__, count > 1, False, self._err, FileWrapper)

    @property
    def able(self) -> int:
        """How many threads are not stuck."""
        return len(self._threads) - len(self.stuck)

    def __len__(self) -> int:
        return len(self._threads)

    def load(self, wsgi: str, path: Iterable[str], on_loaded: Callable[[str], None]) -> None:
        """Import the app in a thread of its own, then start the others; ``on_loaded`` gets a traceback, or ""."""

        def load_app() -> None:
            trouble = ""
            voices.speak(self._out, self._err)
            try:
                prepare(path)
                self._app = load(wsgi)
            except BaseException as error:  # noqa: BLE001 - an app may call sys.exit() at import
                if forks.stray:
                    forks.leave(error)
                trouble = traceback.format_exc()
            if forks.stray:
                forks.leave()
            applog.settle()
            voices.hush()
            self._handover.post(on_loaded, (trouble,))

        threading.Thread(target=load_app, name=f"{self._name}-import", daemon=True).start()

    def start(self) -> None:
        """Start the threads."""
        for _ in range(self._count):
            self._start_thread()

    def run(self, task: Task) -> None:
        """Have a thread run a task."""
        self._inbox.put(task)

    def give_up(self, thread: threading.Thread) -> None:
        """It is stuck: another one takes its place, as long as there are not too many."""
        if thread in self._threads and thread not in self.stuck:
            self.stuck.add(thread)
            if len(self.stuck) <= STUCK_MAX * self._count:
                self._start_thread()

    def stop(self) -> None:
        """Let them end when they have nothing more to do."""
        for _ in self._threads:
            self._inbox.put(None)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._live, name=f"{self._name}-{len(self._threads)}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _live(self) -> None:
        """The life of a thread."""
        thread, ident = threading.current_thread(), threading.get_ident()
        voices.speak(self._out, self._err)
        while thread not in self.stuck and (task := self._inbox.get()) is not None:
            if not task.claim():
                continue  # the front has taken it back
            task.thread = thread
            task.claimed = monotonic()
            applog.current[ident] = request_id = task.exchange.request_id
            self._perform(task, request_id)
            task.over = True
            if task.producer is not None:
                self._handover.post(self._pool.on_free, (task,))
            if applog.unfinished:
                applog.settle()
        applog.current.pop(ident, None)
        voices.hush()
        self._handover.post(self._on_end, (thread,))

    def _perform(self, task: Task, request_id: str) -> None:
        exchange, script_name = task.exchange, task.script_name
        head, peer, local, fields = exchange.head, exchange.peer, exchange.local, exchange.head.fields
        if "proxy" in fields or "transfer-encoding" in fields:
            fields = without_forbidden(fields)
        fixed = [head.method, script_name, head.path, head.query, head.target, head.version, head.authority]
        fixed += [peer[0], str(peer[1]), local[0], str(local[1]), request_id]
        environ = make_environ(self._base, fixed, fields.keys(), fields.values(), exchange.secure)
        environ["tinfront.client_connected"] = task.client_connected
        stream = add_input(environ, task.length, task.data, task.fd)
        assert self._app is not None
        run(self._app, environ, ThreadReply(task, self._handover.post, self._pool.on_answer))
        if task.fd >= 0:
            close_input(stream)

    def _on_end(self, thread: threading.Thread) -> None:
        self._threads.discard(thread)
        self.stuck.discard(thread)
