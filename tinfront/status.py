"""How a site fares: as values for programs, as a table for people, and what its workers are doing right now.

The control socket asks (``tinfront status``, ``tinfront stacks``), and USR2. It costs nothing until somebody asks.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from tinfront import __version__
from tinfront.front.exchange import BODY, HEAD, SENDING

Answer = dict[str, Any]

STATES = ("handshake", "idle", "reading head", "reading body", "waiting", "sending", "closing")
"""Of a connection: before TLS or the PROXY header is done; between two requests; part of a head, or a filter, is
there; part of a body; a handler or app works; the answer leaves; the answer is out and the rest is read."""


# --- values


def status(site: Any) -> Answer:
    """How a ``service.Site`` fares. Sizes in bytes, times in seconds."""
    capacity, budget = site.assembly.capacity, site.assembly.budget
    return {
        "version": __version__,
        "pid": os.getpid(),
        "uptime": round(time.monotonic() - site.started, 3),
        "stopping": site.stopping,
        "connections": {
            "open": capacity.used,
            "limit": capacity.limit,
            "pauses": capacity.pauses,
            "states": count_states(site.listeners),
        },
        "listeners": [_listener(listener) for listener in site.listeners],
        "apps": [_app(*found) for found in _generations(site)],
        "spool": {
            "used": budget.used,
            "limit": budget.limit,
            "memory": budget.held,
            "memory_limit": budget.memory,
            "spilled": budget.spilled,
            "full": budget.full,
            "cut": budget.cut,
        },
        "log_lines_lost": site.access_log.dropped if site.access_log is not None else 0,
    }


def _listener(listener: Any) -> Answer:
    roll = listener.roll
    return {
        "name": listener.model.name,
        "urls": listener.urls(),
        "open": roll.current,
        "accepted": roll.accepted,
        "refused": roll.refused,
        "handshake_failed": roll.handshake_failed,
        "unannounced": roll.unannounced,
        "over_address": roll.over_address,
        "closed_idle": roll.closed_idle,
    }


def _generations(site: Any) -> list[tuple[str, int, Any, bool]]:
    """App, number, pool, and whether it is on its way out."""
    return [
        (pools.app.name, number, pool, pool is not getattr(site.pools.get(pools.app.name), "current", None))
        for pools in site.all_pools()
        for number, pool in pools.all()
    ]


def _app(name: str, generation: int, pool: Any, draining: bool) -> Answer:
    busy, idle, waiting = pool.load()
    shed = pool.shed
    return {
        "name": name,
        "generation": generation,
        "draining": draining,
        "ready": pool.ready,
        "busy": busy,
        "idle": idle,
        "waiting": waiting,
        "oldest_wait": round(pool.oldest_wait(), 3),
        "shed": {"full": shed.full, "timeout": shed.timeout, "gone": shed.gone},
        "trouble": pool.trouble,
        **pool.status(),
    }


def count_states(listeners: Sequence[Any]) -> dict[str, int]:
    """How many connections are in each of ``STATES``."""
    counts = Counter(state_of(connection) for listener in listeners for connection in listener.roll.connections)
    counts["handshake"] += sum(len(listener.roll.pending) for listener in listeners)
    return {state: counts[state] for state in STATES}


def state_of(connection: Any) -> str:
    """What a connection is at; of several exchanges the one that is furthest counts."""
    exchanges = connection.exchanges
    if exchanges:
        furthest = max(exchange.state for exchange in exchanges.values())
        if furthest >= SENDING:
            return "sending"
        return {HEAD: "reading head", BODY: "reading body"}.get(furthest, "waiting")
    if connection.lingering:
        return "closing"
    return "reading head" if connection.codec.held else "idle"


# --- what workers are doing


def stacks(site: Any) -> Deferred[Answer]:
    """Ask every worker of every app; fires with what each has told, within a few seconds."""
    told: list[Answer] = []
    result: Deferred[Answer] = Deferred()
    expected = -1

    def hear(said: Answer) -> None:
        told.append(said)
        if len(told) == expected:
            result.callback(_sorted(told))

    pools = [pool for _, _, pool, _ in _generations(site)]
    expected = sum([pool.ask_stacks(hear) for pool in pools])
    if len(told) == expected:
        result.callback(_sorted(told))
    return result


def _sorted(told: list[Answer]) -> Answer:
    return {"workers": sorted(told, key=lambda said: (said["app"], said["pid"]))}


def log_stacks(site: Any, log: Logger) -> None:
    """Have the log say what ``stacks`` tells."""
    stacks(site).addCallback(lambda said: log.info("{text}", text=stacks_text(said)))


def stacks_text(said: Answer) -> str:
    """What ``stacks`` tells, for people."""
    parts = [
        f"=== {worker['app']}, worker {worker['pid']}, {worker['state']}\n{worker['stacks'].rstrip()}\n"
        for worker in said["workers"]
    ]
    return "\n".join(parts) or "there are no workers\n"


# --- the table

_COUNTS = {
    "open": "OPEN",
    "accepted": "ACCEPTED",
    "refused": "REFUSED",
    "over_address": "PER ADDRESS",
    "closed_idle": "IDLEST",
    "handshake_failed": "BAD TLS",
    "unannounced": "NO PROXY",
}

_POOLS = ("APP", "GENERATION", "STATE", "WORKERS", "BUSY", "IDLE", "WAITING", "OLDEST", "FULL", "TIMEOUT", "GONE", "")
_WORKERS = ("WORKER", "APP", "STATE", "AGE", "SERVED", "MEMORY", "OLDEST REQUEST")
_COMING = frozenset(("starting", "stopping", "stuck"))


def table(status: Answer) -> str:
    """What ``status`` says, for people."""
    lines = [
        f"tinfront {status['version']}, pid {status['pid']}, up for {_span(status['uptime'])}"
        + (", stopping" if status["stopping"] else ""),
        "",
    ]
    rows = [("LISTEN", *_COUNTS.values(), "AT")]
    for item in status["listeners"]:
        rows.append((item["name"], *(str(item[name]) for name in _COUNTS), ", ".join(item["urls"])))
    lines += [*_columns(rows), ""]
    connections, spool = status["connections"], status["spool"]
    states = [f"{count:,} {state}" for state, count in connections["states"].items() if count]
    lines.append(
        f"connections: {connections['open']:,} of {connections['limit']:,}"
        + (f" ({', '.join(states)})" if states else "")
        + f"; accepting has paused {connections['pauses']:,} times"
    )
    lines.append(f"spool: {spool['used']:,} of {spool['limit']:,} bytes; log lines lost: {status['log_lines_lost']:,}")
    lines.append(
        f"spool memory: {spool['memory']:,} of {spool['memory_limit']:,} bytes; bodies on disk for lack of it: "
        f"{spool['spilled']:,}; no room on disk: {spool['full']:,}; answers cut for that: {spool['cut']:,}"
    )
    apps = status["apps"]
    lines += ["", *_columns([_POOLS, *(_pool_row(app) for app in apps)])]
    workers = [_worker_row(app, worker) for app in apps for worker in app["workers"]]
    if workers:
        lines += ["", *_columns([_WORKERS, *workers])]
    for app in apps:
        lines += _history(app)
    return "\n".join(lines) + "\n"


def _pool_row(app: Answer) -> tuple[str, ...]:
    state = "draining" if app["draining"] else "ready" if app["ready"] else "not ready"
    there = sum(1 for worker in app["workers"] if worker["state"] not in _COMING)
    full, timeout, gone = map(str, app["shed"].values())
    return (
        app["name"],
        str(app["generation"]),
        state,
        f"{there} of {app['target']}",
        str(app["busy"]),
        str(app["idle"]),
        str(app["waiting"]),
        f"{app['oldest_wait']:.1f} s",
        full,
        timeout,
        gone,
        app["trouble"],
    )


def _worker_row(app: Answer, worker: Answer) -> tuple[str, ...]:
    requests = worker["requests"]
    doing = worker["why"]
    if requests:
        first = requests[0]
        doing = f"{first['method']} {first['path']}, {first['age']:.1f} s"
        doing += f", and {len(requests) - 1} more" if len(requests) > 1 else ""
    memory = f"{worker['rss'] / 1e6:.1f} MB"
    age = _span(worker["age"])
    return (str(worker["pid"]), app["name"], worker["state"], age, f"{worker['served']:,}", memory, printable(doing))


def _history(app: Answer) -> list[str]:
    """Why workers have ended, and why none can be started."""
    lines = []
    if app["ends"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(app["ends"].items()))
        lines += ["", f"{app['name']}: workers that ended: {kinds}; the last ones:"]
        for end in app["recent"][-3:]:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(end["at"]))
            lines.append(f"  {at}  {end['pid']}  {printable(end['reason'])}")
    if app["failure"] and app["trouble"]:
        lines += ["", f"{app['name']} cannot start:"]
        lines += [f"  {printable(line)}" for line in app["failure"].rstrip().splitlines()]
    return lines


def printable(text: str) -> str:
    """Without what a client or app could do to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _span(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock
