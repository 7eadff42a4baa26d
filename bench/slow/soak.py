"""Good, slow, broken and vanishing clients for a long time: nothing may grow, and no answer may be wrong.

Each good request has an id of its own and a body of its own, and the answer must tell both.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from statistics import median
from typing import Any

import uvloop

from bench import app
from bench.measure import memory_mb, processes, tree
from bench.peers import Peer
from bench.slow.beside import HELLO
from bench.stage import Running, Stage

GOOD, SLOW, BROKEN, VANISHING = 12, 12, 4, 4
"""Clients of each sort at a time."""
SAMPLE = 1.0
GROWTH = 1.05
SLACK_MB = 2.0
"""Memory is flat if its last fifth is at most so much above the fifth after the warm-up."""
PATIENCE = 30.0
GOODBYE = 2.0

_RESET = struct.pack("ii", 1, 0)
_BROKEN = (
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
    b"POST /id/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x00\x01\x02\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
)


class Soak:
    """One soak of one server.

    :ivar samples: (seconds, PSS in MB, descriptors) of all of its processes.
    """

    def __init__(self, running: Running, seconds: float) -> None:
        self._running = running
        self._seconds = seconds
        self._random = random.Random(1)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.samples: list[tuple[float, float, int]] = []
        self._until = 0.0

    async def run(self, say: Callable[[str], None]) -> None:
        """All of it."""
        began = time.monotonic()
        self._until = began + self._seconds
        sorts = ((self._good, GOOD), (self._slow, SLOW), (self._break, BROKEN), (self._vanish, VANISHING))
        tasks = [asyncio.create_task(self._again(act)) for act, count in sorts for _ in range(count)]
        while (now := time.monotonic()) < self._until:
            mb, descriptors = weigh(self._running)
            self.samples.append((round(now - began, 1), round(mb, 2), descriptors))
            if len(self.samples) % 10 == 1:
                say(f"soak {now - began:.0f} s: {mb:.1f} MB, {descriptors} descriptors, {dict(self.counts)}")
            await asyncio.sleep(min(SAMPLE, self._seconds / 20))
        await asyncio.gather(*tasks)

    async def _again(self, act: Callable[[], Awaitable[None]]) -> None:
        while time.monotonic() < self._until:
            try:
                await asyncio.wait_for(act(), PATIENCE)
            except (OSError, EOFError, TimeoutError) as error:
                if act == self._good:
                    self.wrong.append(f"no answer: {error!r}")
            self.counts[act.__name__.strip("_")] += 1

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        place = self._running.place
        secure = self._random.random() < 0.3
        port = place.https if secure else place.http
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self._context if secure else None)
        try:
            yield reader, writer
        finally:
            await _close(writer)

    # --- the sorts

    async def _good(self) -> None:
        """Some requests on one connection, each checked."""
        async with self._open() as (reader, writer):
            for _ in range(self._random.randrange(1, 20)):
                name = f"{self._random.getrandbits(64):x}"
                body = self._random.randbytes(self._random.choice((0, 10, 5000, 20_000, 200_000)))
                head = f"POST /id/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
                status, answer = await _answer(reader)
                right = f"{name} {hashlib.sha256(body).hexdigest()}\n".encode()
                self.counts["answers"] += 1
                if status != 200 or answer != right:
                    self.wrong.append(f"{status} {answer[:100]!r} for {name}")

    async def _slow(self) -> None:
        """A head in drips, an upload in drips, or a large answer that is read in sips and then left."""
        async with self._open() as (reader, writer):
            sort = self._random.randrange(3)
            if sort == 2:
                writer.write(b"GET /static/5m.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
                for _ in range(10):
                    await reader.read(20_000)
                    await asyncio.sleep(0.2)
                return
            body = b"x" * 100_000 if sort else b""
            head = b"POST /id/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
            drips = [head[at : at + 8] for at in range(0, len(head), 8)]
            drips += [body[at : at + 10_000] for at in range(0, len(body), 10_000)]
            for drip in drips:
                writer.write(drip)
                await asyncio.sleep(0.1)
            status, answer = await _answer(reader)
            self.counts["answers"] += 1
            if status != 200 or answer != f"slow {hashlib.sha256(body).hexdigest()}\n".encode():
                self.wrong.append(f"{status} {answer[:100]!r} for a slow one")

    async def _break(self) -> None:
        """Bytes that are no request: whatever happens, but no success."""
        async with self._open() as (reader, writer):
            writer.write(self._random.choice(_BROKEN))
            data = await reader.read(100)
            if data.startswith(b"HTTP/1.1 2"):
                self.wrong.append(f"{data!r} for a broken request")
            await asyncio.sleep(0.05)

    async def _vanish(self) -> None:
        """Gone in the middle of something, by a reset."""
        sock = socket.create_connection(("127.0.0.1", self._running.place.http), timeout=5)
        with sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sort = self._random.randrange(4)
            if sort == 0:
                sock.send(b"GET /hello/1 HT")
            elif sort == 1:
                sock.send(b"POST /id/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n" + b"x" * 100_000)
            elif sort == 2:
                sock.send(b"GET /large/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asyncio.sleep(self._random.random() * 0.2)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection and see it closed: over TLS, that waits for the other side's goodbye, though not for ever."""
    writer.close()
    with contextlib.suppress(OSError):
        try:
            await asyncio.wait_for(writer.wait_closed(), GOODBYE)
        except TimeoutError:
            writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
    return int(head[9:12]), await reader.readexactly(int(length))


def weigh(running: Running) -> tuple[float, int]:
    """PSS in MB and open descriptors of all processes of a server."""
    pids = tree(running.pids(), processes())
    count = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            count += len(os.listdir(f"/proc/{pid}/fd"))
    return memory_mb(pids)[0], count


def judge(samples: list[tuple[float, float, int]], seconds: float) -> dict[str, Any]:
    """Whether memory and descriptors are flat: the last fifth against the first after the warm-up (60 s at most)."""
    warm = min(60.0, seconds / 5)
    after = [sample for sample in samples if sample[0] >= warm] or samples
    part = max(1, len(after) // 5)
    mb = [median(sample[1] for sample in side) for side in (after[:part], after[-part:])]
    descriptors = [median(sample[2] for sample in side) for side in (after[:part], after[-part:])]
    clients = GOOD + SLOW + BROKEN + VANISHING
    flat = mb[1] <= mb[0] * GROWTH + SLACK_MB and descriptors[1] <= descriptors[0] + clients
    return {"mb": mb, "descriptors": descriptors, "flat": flat}


def measure(
    stage: Stage, servers: tuple[Peer, ...], seconds: int, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Soak each server. Yields an entry for each."""
    (stage.www / "static" / "5m.bin").write_bytes(app.LARGE)
    for peer in servers:
        with stage.started([peer], HELLO) as [running]:
            if running.why:
                say(f"soak: {peer.name}: {running.why}")
                continue
            before = weigh(running)[1]
            soak = Soak(running, seconds)
            uvloop.run(soak.run(say))
            deadline = time.monotonic() + 10
            while (after := weigh(running)[1]) > before + 8 and time.monotonic() < deadline:
                time.sleep(0.2)
            running.ended()
        yield {
            "name": peer.name,
            "label": peer.label,
            "seconds": seconds,
            **judge(soak.samples, seconds),
            "descriptors_before": before,
            "descriptors_after": after,
            "answers": soak.counts["answers"],
            "clients": {name: soak.counts[name] for name in ("good", "slow", "break", "vanish")},
            "wrong": len(soak.wrong),
            "wrong_ones": soak.wrong[:20],
            "why": running.why,
            "samples": soak.samples[:: max(1, len(soak.samples) // 100)],
        }
