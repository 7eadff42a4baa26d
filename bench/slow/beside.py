"""A fast client beside a crowd of slow ones: wrk on 32 connections without them and with them, in turn.

The server has a core to itself (``cores``), and each second of load is measured by how fast that core was in it
(``pace``): a rate is told as the requests/s that would have been counted had the core always been as fast as it mostly
was, and ``counted`` as they were.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from bench import app
from bench.measure import load
from bench.peers import Peer
from bench.scenarios import SCENARIOS
from bench.slow.clients import BEAT
from bench.slow.cores import on, parted
from bench.slow.crowd import Order, hold
from bench.slow.pace import Meter, metered
from bench.slow.report import JUDGED
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
        with _apart(stage, peer) as (running, meter):
            entry: dict[str, Any] = {"name": peer.name, "label": peer.label, "clients": count, "rounds": []}
            wanted = rounds * 2 if peer.name == JUDGED else rounds
            for number in range(wanted):
                if running.why:
                    break
                entry["rounds"].append(_round(running, meter, kind, count, seconds))
                say(f"{kind.name} {peer.name} round {number + 1}/{wanted}: {told(entry['rounds'][-1])}")
                running.trim()
                running.ended()
            if running.why:
                entry["why"] = running.why
                say(f"{kind.name}: {peer.name}: {running.why}")
        yield entry | summary(entry["rounds"])


@contextlib.contextmanager
def _apart(stage: Stage, peer: Peer) -> Iterator[tuple[Running, Meter]]:
    """A server on a core of its own, with a meter there; this process, and so its clients, on the others."""
    server, clients = parted()
    with on(server), stage.started([peer], HELLO) as [running], metered() as meter, on(clients):
        yield running, meter


def _round(running: Running, meter: Meter, kind: Kind, count: int, seconds: int) -> dict[str, Any]:
    url = running.url(HELLO)
    without = _loads(url, meter, seconds)
    port = running.place.https if kind.tls else running.place.http
    order = Order(kind.kind, count, port, kind.path, zlib.crc32(kind.body), kind.tls)
    with hold(order) as held:
        held.give_way()
        time.sleep(BEAT)  # until each has shown a sign of life: what it costs to come is another matter
        cpu, began = held.cpu(), time.monotonic()
        beside = _loads(url, meter, seconds)
        share = (held.cpu() - cpu) / (time.monotonic() - began)
        counts = held.end()
    time.sleep(SETTLE)
    return {"without": without, "with": beside, "crowd": counts, "crowd_cpu": round(share, 3)}


def _loads(url: str, meter: Meter, seconds: int) -> dict[str, float]:
    """Loads of a second each. ``work`` is the requests in the time of a thousand of the meter's pieces of work."""
    meter.lap()
    seen = [(load(url, HELLO, FAST, 1), meter.lap()) for _ in range(seconds)]
    return {
        "counted": round(mean(each.requests / each.seconds for each, _ in seen), 1),
        "work": round(mean(each.requests / each.seconds * piece for each, piece in seen), 1),
        "p99_ms": round(median(each.p99_ms for each, _ in seen), 2),
        "errors": sum(each.errors for each, _ in seen),
    }


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians over the rounds, the ratios round by round, and the sums of what went wrong."""
    if not rounds:
        return {}
    found: dict[str, Any] = {}
    pace = _pace(rounds)
    for side in ("without", "with"):
        found[side] = {name: median(each[side][name] for each in rounds) for name in ("counted", "p99_ms")}
        found[side]["rate"] = round(median(each[side]["work"] for each in rounds) * pace, 1)
        found[side]["errors"] = sum(each[side]["errors"] for each in rounds)
    tails = [
        each["with"]["p99_ms"] / each["without"]["p99_ms"]
        for each in rounds
        if each["without"]["p99_ms"] and each["with"]["p99_ms"]
    ]
    ratios = [_ratio(each) for each in rounds if each["without"]["work"]]
    found["ratio"] = round(median(ratios), 3) if ratios else 0.0
    found["p99_ratio"] = round(median(tails), 2) if tails else None
    for word in ("refused", "broken", "wrong", "unserved", "hurried", "finished"):
        found[word] = sum(each["crowd"].get(word, 0) for each in rounds)
    found["held"] = min(each["crowd"].get("held", 0) for each in rounds)
    return found


def _ratio(entry: dict[str, Any]) -> float:
    ratio: float = entry["with"]["work"] / entry["without"]["work"]
    return ratio


def _pace(rounds: list[dict[str, Any]]) -> float:
    """The pieces of work a millisecond that the core mostly did."""
    sides = [each[side] for each in rounds for side in ("without", "with") if each[side]["work"]]
    return median(side["counted"] / side["work"] for side in sides) if sides else 0.0


def told(entry: dict[str, Any]) -> str:
    """A round in words."""
    crowd = entry["crowd"]
    faults = ", ".join(
        f"{crowd[word]} {word}" for word in ("refused", "broken", "wrong", "unserved") if crowd.get(word)
    )
    without, beside = entry["without"], entry["with"]
    ratio = _ratio(entry) if without["work"] else 0.0
    return (
        f"{without['counted']:,.0f} → {beside['counted']:,.0f} req/s, {ratio:.3f} by the machine's pace, "
        f"p99 {without['p99_ms']:.1f} → {beside['p99_ms']:.1f} ms, {crowd.get('held', 0)} held, "
        f"crowd {entry['crowd_cpu']:.2f} cores{', ' + faults if faults else ''}"
    )
