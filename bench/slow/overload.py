"""Three times more requests than the workers can do: what is done, and how long those wait who are served.

The load is open: a request leaves at its time, whether or not the ones before were answered, as it is with many
visitors. One who has waited for ``GIVE_UP`` seconds leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from statistics import quantiles
from typing import Any

import uvloop

from bench import app
from bench.measure import load
from bench.peers import Peer
from bench.scenarios import Scenario
from bench.stage import Stage

THREADS = 4
"""Of each of two workers: eight requests at once."""
SLEEP = 20
"""Milliseconds that the application sleeps for each."""
TIMES = 3
GIVE_UP = 10.0
OUTSTANDING = 12_000
"""Visitors at a time: the descriptors of this process are the bound."""
SLEEPY = Scenario("sleep", f"WSGI, {SLEEP} ms of sleep", "wsgi", f"/sleep/{SLEEP}", 1, len(app.HELLO), app.HELLO)
_REQUEST = f"GET /sleep/{SLEEP} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Visitor(asyncio.Protocol):
    """A connection that carries one request after another."""

    def __init__(self, crowd: Visitors) -> None:
        self._crowd = crowd
        self._began = 0.0
        self._data = b""
        self._transport: Any = None
        self.asking = False

    def connection_made(self, transport: Any) -> None:
        """It comes with a request."""
        self._transport = transport
        transport.write(_REQUEST)

    def ask(self, began: float) -> None:
        """A request, counted from ``began``."""
        self._began = began
        self._data = b""
        self.asking = True
        if self._transport is not None:
            self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        """An answer: all of them are short."""
        self._data += data
        head, mark, body = self._data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        if not mark or (length and len(body) < int(length)):
            return
        self.asking = False
        status = int(head[9:12])
        took = time.monotonic() - self._began
        self._crowd.answered(status, body == app.HELLO, took)
        if b"connection: close" in head.lower() or not length:
            self._transport.close()
        else:
            self._crowd.free.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        """By the server, or after giving up."""
        self._transport = None
        if self in self._crowd.free:
            self._crowd.free.remove(self)
        if self.asking:
            self.asking = False
            self._crowd.counts["cut"] += 1

    def give_up(self, now: float) -> None:
        """Leave after too long a wait."""
        if self.asking and now - self._began > GIVE_UP:
            self.asking = False
            self._crowd.counts["gave_up"] += 1
            if self._transport is not None:
                self._transport.abort()


class Visitors:
    """All of them.

    :ivar waits: seconds, of those who got what they wanted.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.free: deque[Visitor] = deque()
        self.counts: Counter[str] = Counter()
        self.waits: list[float] = []
        self._all: set[Visitor] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def answered(self, status: int, right: bool, took: float) -> None:
        """One of them has an answer."""
        if status == 200 and right:
            self.counts["served"] += 1
            self.waits.append(took)
        else:
            self.counts["shed" if status in {502, 503} else "wrong"] += 1

    async def come(self, rate: float, seconds: float) -> None:
        """``rate`` a second, then wait for those who wait."""
        began = time.monotonic()
        sent = 0
        while (now := time.monotonic()) - began < seconds:
            while sent < (now - began) * rate:
                sent += 1
                self._ask(began + sent / rate)
            for visitor in tuple(self._all):
                visitor.give_up(now)
            await asyncio.sleep(0.005)
        self.counts["sent"] = sent
        self.counts["in_time"] = self.counts["served"]
        while any(visitor.asking for visitor in self._all) and time.monotonic() - began < seconds + GIVE_UP + 1:
            for visitor in tuple(self._all):
                visitor.give_up(time.monotonic())
            await asyncio.sleep(0.05)

    def _ask(self, began: float) -> None:
        if self.free:
            self.free.pop().ask(began)
            return
        self._all = (
            {visitor for visitor in self._all if visitor.asking or visitor in self.free}
            if len(self._all) > OUTSTANDING
            else self._all
        )
        if len(self._all) > OUTSTANDING:
            self.counts["not_sent"] += 1
            return
        visitor = Visitor(self)
        visitor.ask(began)
        self._all.add(visitor)
        task = asyncio.get_running_loop().create_task(self._connect(visitor))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, visitor: Visitor) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: visitor, "127.0.0.1", self._port)
        except OSError:
            visitor.asking = False
            self._all.discard(visitor)
            self.counts["refused"] += 1


def measure(
    stage: Stage, servers: tuple[Peer, ...], seconds: int, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Overload each server. Yields an entry for each."""
    for peer in servers:
        with stage.started([peer], SLEEPY) as [running]:
            if running.why:
                say(f"overload: {peer.name}: {running.why}")
                continue
            alone = load(running.url(SLEEPY), SLEEPY, 2 * THREADS, 3)
            capacity = alone.requests / alone.seconds
            visitors = Visitors(running.place.http)
            uvloop.run(visitors.come(TIMES * capacity, seconds))
        counts, waits = visitors.counts, visitors.waits or [0.0, 0.0]
        entry = {
            "name": peer.name,
            "label": peer.label,
            "capacity": round(capacity, 1),
            "offered": round(TIMES * capacity, 1),
            "goodput": round(counts["in_time"] / seconds, 1),
            "ratio": round(counts["in_time"] / seconds / capacity, 3) if capacity else 0.0,
            "p50": round(sorted(waits)[len(waits) // 2], 3),
            "p99": round(quantiles(waits, n=100)[98], 3) if len(waits) > 1 else waits[0],
            "worst": round(max(waits), 3),
            **{
                name: counts[name]
                for name in ("sent", "served", "shed", "gave_up", "cut", "refused", "not_sent", "wrong")
            },
        }
        say(f"overload {peer.name}: {entry['goodput']:.0f} of {capacity:.0f} req/s, worst wait {entry['worst']:.2f} s")
        yield entry
