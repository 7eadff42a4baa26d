"""What a waiting connection weighs: the memory (PSS) of all of a server's processes, before and with a crowd."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from bench import app
from bench.measure import memory_mb, processes, tree
from bench.peers import Peer
from bench.slow.beside import HELLO
from bench.slow.crowd import Order, hold
from bench.stage import Running, Stage

WARM = 100
"""Clients that come and go before, so that what is made once is not counted."""
SETTLE = 3.0
ROWS = (("idle", "idle", False), ("head", "silent", False), ("tls-idle", "idle", True))
"""Of each: its name, the kind of client, whether over TLS."""


def measure(
    stage: Stage, servers: tuple[Peer, ...], count: int, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Weigh each kind on a fresh instance of each server. Yields an entry per server."""
    for peer in servers:
        entry: dict[str, Any] = {"name": peer.name, "label": peer.label, "clients": count, "kib": {}}
        for name, kind, tls in ROWS:
            if tls and "tls" not in peer.kinds:
                continue
            with stage.started([peer], HELLO) as [running]:
                if running.why:
                    say(f"memory: {peer.name}: {running.why}")
                    entry["why"] = running.why
                    break
                kib, held = _weigh(running, kind, tls, count)
            if held < count:  # those it does not take weigh nothing
                entry.setdefault("short", {})[name] = held
            entry["kib"][name] = kib
            say(f"memory {peer.name} {name}: {kib:.2f} KiB each of {held}")
        yield entry


def _weigh(running: Running, kind: str, tls: bool, count: int) -> tuple[float, int]:
    port = running.place.https if tls else running.place.http
    checksum = zlib.crc32(app.HELLO)
    with hold(Order("idle", WARM, port, "/hello/1", checksum, tls)) as held:
        held.end()
    time.sleep(SETTLE)
    pids = tree(running.pids(), processes())
    before = memory_mb(pids)[0]
    with hold(Order(kind, count, port, "/hello/1", checksum, tls)) as held:
        time.sleep(SETTLE)
        after = memory_mb(tree(running.pids(), processes()))[0]
        there = held.ready.get("held", 0)
    return round((after - before) * 1024 / max(1, there), 3), there
