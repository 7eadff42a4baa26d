"""One measurement: load by wrk, and what it cost the server's processes, from /proc (Linux).

``__main__`` calls :func:`measure` for one server at a time while the others stand idle. CPU time is user + system of
the whole process tree, children that ended meanwhile included; memory is PSS (shared pages counted once) and RSS.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers import find
from bench.scenarios import Scenario

SCRIPT = Path(__file__).with_name("browser.lua")
TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw. ``errors``: answers of 400 and above, and sockets that failed or timed out."""

    requests: int
    seconds: float
    size: int
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One server's result in one round: requests per second, latency, cost, and what went wrong.

    :ivar busy: cores that the server kept busy.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    busy: float
    pss_mb: float
    rss_mb: float
    errors: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Process:
    """A line of ``/proc/PID/stat``: whose child, which session, CPU seconds (with reaped children), start in ticks."""

    parent: int
    session: int
    cpu: float
    started: int


def parse_load(output: str) -> Load:
    """Read the line that ``browser.lua`` prints at the end. Raises ValueError if there is none."""
    lines = [line for line in output.splitlines() if line.startswith("bench {")]
    if len(lines) != 1:
        raise ValueError(f"wrk gave no result: {output[-500:]!r}")
    told = json.loads(lines[0].removeprefix("bench "))
    return Load(
        requests=told["requests"],
        seconds=told["duration_us"] / 1e6,
        size=told["bytes"],
        p50_ms=told["p50_us"] / 1e3,
        p99_ms=told["p99_us"] / 1e3,
        errors=sum(told[name] for name in ("connect", "read", "write", "timeout", "status")),
    )


def parse_stat(text: str) -> Process:
    """Read ``/proc/PID/stat``; the command name in it may hold blanks and brackets."""
    fields = text.rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])
    return Process(parent=int(fields[1]), session=int(fields[3]), cpu=ticks * TICK, started=int(fields[19]))


def processes() -> dict[int, Process]:
    """Return all processes of the machine by pid."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found[int(name)] = parse_stat(Path("/proc", name, "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def tree(leaders: Iterable[int], every: Mapping[int, Process]) -> list[int]:
    """Return the pids that descend from ``leaders`` or belong to a session that one of them leads."""
    roots = set(leaders)
    found = {pid for pid, process in every.items() if pid in roots or process.session in roots}
    grown = True
    while grown:
        more = {pid for pid, process in every.items() if process.parent in found} - found
        found |= more
        grown = bool(more)
    return sorted(found)


def cpu_seconds(leaders: Iterable[int]) -> float:
    """Return user + system seconds that the tree below ``leaders``, with its reaped children, has used so far."""
    every = processes()
    return sum(every[pid].cpu for pid in tree(leaders, every))


def memory_mb(pids: Iterable[int]) -> tuple[float, float]:
    """Return PSS and RSS of these processes together, in MB. Another user's count as 0."""
    totals = {"Pss": 0, "Rss": 0}
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name in totals:
                totals[name] += int(value.split()[0])
    return totals["Pss"] / 1024, totals["Rss"] / 1024


def wrk_command(url: str, scenario: Scenario, connections: int, seconds: int) -> list[str]:
    """Return wrk's command line. One thread loads any of these servers fully unless there are cores to spare."""
    threads = 2 if len(os.sched_getaffinity(0)) >= 8 else 1
    load = [f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "-s", str(SCRIPT)]
    script = [scenario.method, scenario.template, scenario.count, scenario.upload, scenario.variants]
    return [find("wrk") or "wrk", *load, url, "--", *(str(word) for word in script)]


def load(url: str, scenario: Scenario, connections: int, seconds: int) -> Load:
    """Run wrk once. Raises ValueError if it fails, TimeoutExpired if it does not end."""
    argv = wrk_command(url, scenario, connections, seconds)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 15, check=False)
    return parse_load(done.stdout + done.stderr)


def measure(url: str, leaders: Sequence[int], scenario: Scenario, plan: tuple[int, int]) -> Sample:
    """Load the server at ``url``, whose process tree hangs on ``leaders``, for one round of (connections, seconds).

    ``wrong`` counts the answers for which too few bytes came, whatever their status.
    """
    connections, seconds = plan
    before = cpu_seconds(leaders)
    seen = load(url, scenario, connections, seconds)
    cpu = cpu_seconds(leaders) - before
    pss, rss = memory_mb(tree(leaders, processes()))
    return Sample(
        rate=seen.requests / seen.seconds,
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        cpu_us=cpu * 1e6 / max(1, seen.requests),
        busy=cpu / seen.seconds,
        pss_mb=pss,
        rss_mb=rss,
        errors=seen.errors,
        wrong=max(0, seen.requests - seen.size // scenario.size),
    )
