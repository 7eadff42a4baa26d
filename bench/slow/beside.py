"""A fast client beside a crowd of slow ones: wrk on 32 connections alone, with them, and without them, in turn.

*Alone* nothing else runs. *Without* the crowd a stand-in takes as much of the processor as the crowd did: what slow
clients cost their own machines is not what the server loses by them. The ratio is that of *with* to *without*.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench import app
from bench.measure import load
from bench.peers import Peer
from bench.scenarios import SCENARIOS
from bench.slow.clients import BEAT
from bench.slow.crowd import Order, hold
from bench.slow.standin import standing_in
from bench.stage import Running, Stage

HELLO = next(scenario for scenario in SCENARIOS if scenario.name == "hello")
FAST = 32
"""Connections of the fast client."""

SETTLE = 2.0
"""Seconds for the server to see that the crowd has gone."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of crowd.

    :ivar name: of the row, ``kind``: of the clients.
    :ivar needs: what a server must be able to do: a kind of ``Peer.kinds``.
    :ivar share: the part of the usual number of clients.
    """

    name: str
    title: str
    kind: str
    path: str
    body: bytes
    needs: str = "wsgi"
    tls: bool = False
    share: float = 1.0


_HELLO = "/hello/1", app.HELLO
_UPLOAD = "/echo/1", b"1000000\n"
_FILE = "/static/5m.bin", app.LARGE
_ANSWER = "/large/1", app.LARGE
TENTH = 0.1
KINDS = (
    Kind("idle", "idle keep-alive", "idle", *_HELLO),
    Kind("heads", "slow heads, 20 s each", "head", *_HELLO),
    Kind("uploads", "uploads of 1 MB at 2 kB/s", "upload", *_UPLOAD),
    Kind("readers", "readers of a 5 MB file at 10 kB/s", "reader", *_FILE, needs="static"),
    Kind("app-readers", "readers of an app's 5 MB at 10 kB/s", "reader", *_ANSWER, share=TENTH),
    Kind("tls-idle", "idle keep-alive, TLS", "idle", *_HELLO, needs="tls", tls=True),
    Kind("tls-heads", "slow heads, TLS", "head", *_HELLO, needs="tls", tls=True),
    Kind("tls-uploads", "uploads, TLS", "upload", *_UPLOAD, needs="tls", tls=True),
    Kind("tls-readers", "readers of a file, TLS", "reader", *_FILE, needs="tls", tls=True),
)


def measure(
    stage: Stage, kind: Kind, servers: tuple[Peer, ...], plan: tuple[int, int, int], say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Measure one kind on each server; ``plan`` is rounds, seconds and slow clients. Yields an entry for each."""
    rounds, seconds, count = plan
    count = max(1, int(count * kind.share))
    for peer in servers:
        if kind.needs not in peer.kinds:
            continue
        with stage.started([peer], HELLO) as [running]:
            entry: dict[str, Any] = {"name": peer.name, "label": peer.label, "clients": count, "rounds": []}
            for number in range(rounds):
                if running.why:
                    break
                entry["rounds"].append(_round(running, kind, count, seconds))
                say(f"{kind.name} {peer.name} round {number + 1}/{rounds}: {told(entry['rounds'][-1])}")
                running.trim()
                running.ended()
            if running.why:
                entry["why"] = running.why
                say(f"{kind.name}: {peer.name}: {running.why}")
        yield entry | summary(entry["rounds"])


def _round(running: Running, kind: Kind, count: int, seconds: int) -> dict[str, Any]:
    url = running.url(HELLO)
    alone = _loads(url, seconds)
    port = running.place.https if kind.tls else running.place.http
    order = Order(kind.kind, count, port, kind.path, zlib.crc32(kind.body), kind.tls)
    with hold(order) as held:
        time.sleep(BEAT)  # until each has shown a sign of life: what it costs to come is another matter
        cpu, began = held.cpu(), time.monotonic()
        beside = _loads(url, seconds)
        share = (held.cpu() - cpu) / (time.monotonic() - began)
        counts = held.end()
    time.sleep(SETTLE)
    with standing_in(share):
        without = _loads(url, seconds)
    return {"alone": alone, "without": without, "with": beside, "crowd": counts, "crowd_cpu": round(share, 3)}


def _loads(url: str, seconds: int) -> dict[str, float]:
    """Loads of a second each: where the kernel puts the processes changes the pace by a third, for a whole load."""
    seen = [load(url, HELLO, FAST, 1) for _ in range(seconds)]
    return {
        "rate": round(sum(each.requests for each in seen) / sum(each.seconds for each in seen), 1),
        "p99_ms": round(median(each.p99_ms for each in seen), 2),
        "errors": sum(each.errors for each in seen),
    }


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians over the rounds, the ratios round by round, and the sums of what went wrong."""
    if not rounds:
        return {}
    found: dict[str, Any] = {}
    for side in ("alone", "without", "with"):
        found[side] = {name: median(each[side][name] for each in rounds) for name in ("rate", "p99_ms")}
        found[side]["errors"] = sum(each[side]["errors"] for each in rounds)
    tails = [
        each["with"]["p99_ms"] / each["without"]["p99_ms"]
        for each in rounds
        if each["without"]["p99_ms"] and each["with"]["p99_ms"]
    ]
    for name, side in (("ratio", "without"), ("ratio_alone", "alone")):
        rates = [each["with"]["rate"] / each[side]["rate"] for each in rounds if each[side]["rate"]]
        found[name] = round(median(rates), 3) if rates else 0.0
    found["p99_ratio"] = round(median(tails), 2) if tails else None
    for word in ("refused", "broken", "wrong", "unserved", "hurried", "finished"):
        found[word] = sum(each["crowd"].get(word, 0) for each in rounds)
    found["held"] = min(each["crowd"].get("held", 0) for each in rounds)
    return found


def told(entry: dict[str, Any]) -> str:
    """A round in words."""
    crowd = entry["crowd"]
    faults = ", ".join(
        f"{crowd[word]} {word}" for word in ("refused", "broken", "wrong", "unserved") if crowd.get(word)
    )
    return (
        f"{entry['without']['rate']:,.0f} → {entry['with']['rate']:,.0f} req/s, p99 {entry['without']['p99_ms']:.1f} → "
        f"{entry['with']['p99_ms']:.1f} ms, {crowd.get('held', 0)} held, crowd {entry['crowd_cpu']:.2f} cores"
        f"{', ' + faults if faults else ''}"
    )
