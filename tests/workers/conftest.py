"""Loops that the test turns itself, and pools that run on them."""

from __future__ import annotations

import asyncio
import heapq
import os
import select
import selectors
import subprocess
import tempfile
import time
from collections import deque
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import uvloop
from twisted.logger import Logger, formatEvent

from tests.fakes import FakeExchange, make_head
from tinfront.config.model import App
from tinfront.keeper.local import LocalKeeper
from tinfront.workers.nursery_process import command, environment
from tinfront.workers.processes import ProcessPool
from tinfront.workers.threads import ThreadPool

SITES = Path(__file__).parent / "sites"
PATIENCE = 30.0
"""Seconds after which what has not happened never will."""


class Call:
    """What ``callLater`` returns."""

    def __init__(self, function: Any, arguments: Any) -> None:
        self.function: Any = function
        self.arguments = arguments

    def cancel(self) -> None:
        self.function = None


class SelectLoop:
    """The least that is an ``IDescriptors`` and a clock."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._calls: list[tuple[float, int, Call]] = []
        self._number = count()
        self._posted: deque[Any] = deque()
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def call_soon_threadsafe(self, function: Any, *arguments: Any) -> None:
        self._posted.append((function, arguments))
        os.write(self._waker, b"x")

    def add_reader(self, fd: int, callback: Any, *args: Any) -> None:
        self._watch(fd, selectors.EVENT_READ, (callback, args))

    def remove_reader(self, fd: int) -> None:
        self._watch(fd, selectors.EVENT_READ, None)

    def add_writer(self, fd: int, callback: Any, *args: Any) -> None:
        self._watch(fd, selectors.EVENT_WRITE, (callback, args))

    def remove_writer(self, fd: int) -> None:
        self._watch(fd, selectors.EVENT_WRITE, None)

    def _watch(self, fd: int, event: int, call: Any) -> None:
        calls: dict[int, Any] = {}
        if fd in self._selector.get_map():
            calls = {**self._selector.unregister(fd).data}
        calls.pop(event, None)
        if call is not None:
            calls[event] = call
        if calls:
            self._selector.register(fd, sum(calls), calls)

    def callLater(self, delay: float, function: Any, *arguments: Any) -> Call:
        call = Call(function, arguments)
        heapq.heappush(self._calls, (time.monotonic() + delay, next(self._number), call))
        return call

    def turn(self, longest: float = 0.05) -> None:
        """One turn: what is readable, then what is due."""
        if self._calls:
            longest = max(0.0, min(longest, self._calls[0][0] - time.monotonic()))
        if self._posted or select.select([self._wake], [], [], 0)[0]:
            with suppress(BlockingIOError):
                os.read(self._wake, 4096)
            for _ in range(len(self._posted)):
                function, arguments = self._posted.popleft()
                function(*arguments)
            longest = 0.0
        for key, events in self._selector.select(longest):
            for event, (callback, args) in key.data.items():
                now = self._selector.get_map().get(key.fd)
                if events & event and now is not None and now.data.get(event) == (callback, args):
                    callback(*args)
        while self._calls and self._calls[0][0] <= time.monotonic():
            call = heapq.heappop(self._calls)[2]
            if call.function is not None:
                call.function(*call.arguments)

    def until(self, happened: Any, otherwise: str = "it never happened", patience: float = PATIENCE) -> None:
        """Turn until ``happened()``."""
        deadline = time.monotonic() + patience
        while not happened():
            assert time.monotonic() < deadline, otherwise
            self.turn()

    def close(self) -> None:
        assert not list(self._selector.get_map().values()), "somebody still watches descriptors"
        self._selector.close()
        os.close(self._wake)
        os.close(self._waker)


class UvLoop:
    """The loop of the product."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.errors: list[Any] = []
        self.loop.set_exception_handler(lambda loop, context: self.errors.append(context))
        self.add_reader, self.remove_reader = self.loop.add_reader, self.loop.remove_reader
        self.add_writer, self.remove_writer = self.loop.add_writer, self.loop.remove_writer
        self.callLater = self.loop.call_later
        self.call_soon_threadsafe = self.loop.call_soon_threadsafe

    def turn(self, longest: float = 0.002) -> None:
        self.loop.run_until_complete(asyncio.sleep(longest))

    def until(self, happened: Any, otherwise: str = "it never happened", patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while not happened():
            assert time.monotonic() < deadline, otherwise
            self.turn()
        assert not self.errors

    def close(self) -> None:
        self.loop.close()
        assert not self.errors


class Keeper:
    """Starts nurseries, and remembers them."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self.failure: OSError | None = None

    def start_nursery(self, app: App, preload: bool, inherited: Any) -> subprocess.Popen[bytes]:
        if self.failure is not None:
            raise self.failure
        self.started.append(
            subprocess.Popen(
                command(app, preload, inherited),
                env=environment(app, os.environ),
                pass_fds=tuple(inherited.values()),
                stdin=subprocess.DEVNULL,
            )
        )
        return self.started[-1]

    def signal(self, pid: int, pidfd: int, number: int) -> None:
        LocalKeeper({}).signal(pid, pidfd, number)


class Log:
    """A ``Logger`` whose events are kept as text."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.levels: list[str] = []
        self.logger = Logger("test", observer=self)

    def __call__(self, event: Any) -> None:
        self.lines.append(formatEvent(event))
        self.levels.append(event["log_level"].name)
        if "log_failure" in event:
            self.lines.append(event["log_failure"].getTraceback())

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Outbox:
    """Records what a producer writes."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.finished = False
        self.failure: tuple[str, str] | None = None

    def write(self, data: bytes) -> None:
        assert not self.over
        self.pieces.append(data)

    def finish(self) -> None:
        assert not self.over
        self.finished = True

    def fail(self, reason: str, detail: str = "") -> None:
        assert not self.over
        self.failure = (reason, detail)

    @property
    def over(self) -> bool:
        return self.finished or self.failure is not None

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


class Body:
    """An ``IBody`` in memory, or in a file."""

    live = False

    def __init__(self, data: bytes, file: Any = None) -> None:
        self.length = len(data)
        self._data = data
        self._file = file

    def data(self) -> bytes | None:
        return self._data if self._file is None else None

    def fileno(self) -> int:
        assert self._file is not None
        number: int = self._file.fileno()
        return number


class Exchange(FakeExchange):
    """Starts streamed answers at once, as the real one does."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.outbox = Outbox()
        self.on_respond: Any = None
        self.late = False

    @property
    def finished(self) -> bool:
        return super().finished and not self.late

    def respond(self, head: Any, body: Any) -> None:
        super().respond(head, body)
        if hasattr(body, "start") and not self.late:
            body.start(self.outbox)
        if self.on_respond is not None:
            self.on_respond()

    @property
    def text(self) -> str:
        assert self.answer is not None, self.refusal
        body = self.answer[1]
        return (body if isinstance(body, bytes) else self.outbox.data).decode("latin-1")


class PoolRig:
    """Pools on one loop, and exchanges for them."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.keeper = Keeper()
        self.log = Log()
        self.pools: list[Any] = []

    def app(self, wsgi: str = "jobs_site:application", **options: Any) -> App:
        return App("site", wsgi, **{"path": (str(SITES),), **options})

    def start(self, wsgi: str = "jobs_site:application", *, wait: bool = True, **options: Any) -> ProcessPool:
        """A pool of processes; ready, if ``wait``."""
        pool = ProcessPool(self.app(wsgi, **options), self.loop, self.keeper, self.loop, self.log.logger)
        self.pools.append(pool)
        pool.startService()
        if wait:
            workers = options.get("workers", 2)
            self.loop.until(lambda: pool._crew.ready == workers, f"no workers:\n{self.log.text}")
        return pool

    def outbox(self) -> Outbox:
        return Outbox()

    def body(self, data: bytes) -> Body:
        return Body(data)

    def start_threads(self, wsgi: str = "jobs_site:application", *, wait: bool = True, **options: Any) -> ThreadPool:
        """A pool of threads; ready, if ``wait``."""
        app = self.app(wsgi, mode="threads", **options)
        pool = ThreadPool(app, self.loop, self.loop.call_soon_threadsafe, self.loop, self.log.logger)
        self.pools.append(pool)
        pool.startService()
        if wait:
            self.loop.until(lambda: pool.ready, f"not ready:\n{self.log.text}")
        return pool

    def exchange(self, path: str = "/", query: str = "", method: str = "GET", **named: Any) -> Exchange:
        fields = named.pop("fields", {})
        body = named.get("body")
        if body is not None and not body.live:
            fields = {"content-length": str(body.length), **fields}
        return Exchange(make_head(method, path, fields, query=query), **named)

    def submit(self, pool: Any, path: str = "/", query: Any = "", method: str = "GET", **named: Any) -> Exchange:
        exchange = self.exchange(path, str(query), method, **named)
        pool.submit(exchange, "")
        return exchange

    def get(self, pool: Any, path: str = "/", query: Any = "", method: str = "GET", **named: Any) -> Exchange:
        """Submit, and wait for the answer."""
        exchange = self.submit(pool, path, query, method, **named)
        self.wait(exchange)
        return exchange

    def wait(self, *exchanges: Exchange) -> None:
        """Until all are answered, and streamed to the end."""

        def over() -> bool:
            return all(
                exchange.finished
                and (exchange.answer is None or isinstance(exchange.answer[1], bytes) or done(exchange))
                for exchange in exchanges
            )

        def done(exchange: Exchange) -> bool:
            return exchange.outbox.over or not hasattr(exchange.answer[1], "start")  # type: ignore[index]

        self.loop.until(over, f"not answered:\n{self.log.text}")

    def stop(self, pool: Any, grace: float | None = None) -> None:
        if grace is not None:
            pool.grace = grace
        stopped: list[Any] = []
        pool.stopService().addBoth(stopped.append)
        self.loop.until(lambda: stopped, f"not stopped:\n{self.log.text}")
        assert stopped == [None]

    def close(self) -> None:
        for pool in self.pools:
            self.stop(pool, 0.0)
        for process in self.keeper.started:
            assert process.returncode is not None, "a nursery was not waited for"
        assert "a bug in the pool" not in self.log.text, self.log.text
        self.loop.close()


@pytest.fixture(params=["select", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Any:
    return SelectLoop() if request.param == "select" else UvLoop()


@pytest.fixture
def rig(loop: Any) -> Any:
    rig = PoolRig(loop)
    yield rig
    rig.close()


@pytest.fixture
def quiet_loop() -> Any:
    """For rooms that need no process: one kind is enough."""
    loop = SelectLoop()
    yield loop
    loop.close()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def make_body() -> Any:
    """Bodies in memory, in a file, or in a memfd."""
    opened: list[Any] = []

    def make(data: bytes, where: str = "memory") -> Body:
        if where == "memory":
            return Body(data)
        if where == "memfd":
            file: Any = open(os.memfd_create("body", os.MFD_ALLOW_SEALING), "w+b")  # noqa: SIM115
        else:
            file = tempfile.TemporaryFile()  # noqa: SIM115
        file.write(data)
        file.flush()
        opened.append(file)
        return Body(data, file)

    yield make
    for file in opened:
        file.close()


@pytest.fixture(scope="session")
def rig_exchange() -> Any:
    """Exchanges that start streamed answers at once."""
    return Exchange
