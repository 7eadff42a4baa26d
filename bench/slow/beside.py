"""A fast client beside a crowd of slow ones: wrk on 32 connections without, with and again without them, in turn."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench import app
from bench.measure import Load, load
from bench.peers import Peer
from bench.scenarios import SCENARIOS
from bench.slow.clients import BEAT
from bench.slow.crowd import Order, hold
from bench.stage import Running, Stage

HELLO = next(scenario for scenario in SCENARIOS if scenario.name == "hello")
FAST = 32
"""Connections of the fast client."""

SETTLE = 0.5
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
    before = load(url, HELLO, FAST, seconds)
    port = running.place.https if kind.tls else running.place.http
    order = Order(kind.kind, count, port, kind.path, zlib.crc32(kind.body), kind.tls)
    with hold(order) as held:
        time.sleep(BEAT)  # until each has shown a sign of life: what it costs to come is another matter
        cpu = held.cpu()
        beside = load(url, HELLO, FAST, seconds)
        cpu = held.cpu() - cpu
        counts = held.end()
    time.sleep(SETTLE)
    after = load(url, HELLO, FAST, seconds)
    return {
        "without": _both(_figures(before), _figures(after)),
        "with": _figures(beside),
        "crowd": counts,
        "crowd_cpu": round(cpu / seconds, 3),
    }


def _figures(seen: Load) -> dict[str, float]:
    return {"rate": round(seen.requests / seen.seconds, 1), "p99_ms": round(seen.p99_ms, 2), "errors": seen.errors}


def _both(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The load before and after as one: a machine that changes its pace meanwhile changes both sides alike."""
    return {
        "rate": round((before["rate"] + after["rate"]) / 2, 1),
        "p99_ms": min(before["p99_ms"], after["p99_ms"]),
        "errors": before["errors"] + after["errors"],
    }


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians over the rounds, the ratios round by round, and the sums of what went wrong."""
    if not rounds:
        return {}
    found: dict[str, Any] = {}
    for side in ("without", "with"):
        found[side] = {name: median(each[side][name] for each in rounds) for name in ("rate", "p99_ms")}
        found[side]["errors"] = sum(each[side]["errors"] for each in rounds)
    rates = [each["with"]["rate"] / each["without"]["rate"] for each in rounds if each["without"]["rate"]]
    tails = [
        each["with"]["p99_ms"] / each["without"]["p99_ms"]
        for each in rounds
        if each["without"]["p99_ms"] and each["with"]["p99_ms"]
    ]
    found["ratio"] = round(median(rates), 3) if rates else 0.0
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
