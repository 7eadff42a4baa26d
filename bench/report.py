"""What the samples say: medians, ratios, the printed tables and the JSON that the chart is drawn from.

A ratio is tinfront's value over the peer's, taken round by round and then the median, so that a machine that slows down
half-way weighs on both alike. Above 1 is better for requests per second, below 1 for everything else.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

from bench import console
from bench.measure import Sample
from bench.peers import Peer
from bench.scenarios import Scenario

IDLE = 0.7
"""Cores: if no server of a trial keeps that many busy, the load generator was the limit, not they."""
_COUNTS = ("errors", "wrong")
_VALUES = tuple(each.name for each in fields(Sample) if each.name not in _COUNTS)


@dataclass(slots=True)
class Trial:
    """A scenario at a number of connections, with every server's samples, one a round."""

    scenario: Scenario
    connections: int
    samples: dict[Peer, list[Sample]] = field(default_factory=dict)


def medians(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the median of every value over the rounds, and the sum of every count."""
    found = {name: median(getattr(sample, name) for sample in samples) for name in _VALUES}
    return found | {name: sum(getattr(sample, name) for sample in samples) for name in _COUNTS}


def ratios(ours: Sequence[Sample], theirs: Sequence[Sample]) -> dict[str, float]:
    """Return ours over theirs for every value: the median of the rounds that both have. Empty if they share none."""
    pairs = list(zip(ours, theirs, strict=False))
    found = {}
    for name in _VALUES:
        parts = [getattr(our, name) / getattr(their, name) for our, their in pairs if getattr(their, name)]
        if parts:
            found[name] = median(parts)
    return found


def as_dict(trial: Trial) -> dict[str, Any]:
    """Return a trial as it stands in the JSON."""
    by_name = {peer.name: samples for peer, samples in trial.samples.items()}
    servers = []
    for peer, samples in trial.samples.items():
        entry: dict[str, Any] = {"name": peer.name, "label": peer.label, "median": _rounded(medians(samples))}
        if peer.against in by_name:
            entry["against"] = peer.against
            entry["ratio"] = _rounded(ratios(by_name[peer.against], samples))
        entry["rounds"] = [_rounded(asdict(sample)) for sample in samples]
        servers.append(entry)
    scenario = trial.scenario
    return {
        "name": scenario.name,
        "title": scenario.title,
        "kind": scenario.kind,
        "connections": trial.connections,
        "limited_by_load": all(server["median"]["busy"] < IDLE for server in servers),
        "servers": servers,
    }


def table(trial: Mapping[str, Any]) -> str:
    """Return a trial (of :func:`as_dict`) as lines of text."""
    heads = (
        "",
        "req/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/req",
        "cores",
        "PSS MB",
        "RSS MB",
        "errors",
        "wrong",
        "tinfront is",
    )
    rows = [heads]
    for server in trial["servers"]:
        told = server["median"]
        cells = (
            server["label"],
            f"{told['rate']:,.0f}",
            f"{told['p50_ms']:.2f}",
            f"{told['p99_ms']:.2f}",
            f"{told['cpu_us']:,.1f}",
            f"{told['busy']:.2f}",
            f"{told['pss_mb']:.1f}",
            f"{told['rss_mb']:.1f}",
            f"{told['errors']}",
            f"{told['wrong']}",
            _comparison(server.get("ratio", {})),
        )
        rows.append(cells)
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    last = len(heads) - 1
    limit = "; wrk was the limit: compare CPU" if trial["limited_by_load"] else ""
    lines = [f"{trial['title']} ({trial['name']}), {trial['connections']} connections{limit}"]
    for row in rows:
        padded = [
            cell.ljust(width) if column in {0, last} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(padded).rstrip())
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Return what this machine is: processor, cores that may be used, memory, kernel."""
    model = [line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    memory = [line for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal")]
    return {
        "cpu": model[0].partition(":")[2].strip() if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory[0].split()[1]) / 1024**2) if memory else None,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def document(
    trials: Sequence[Trial], versions: Mapping[str, str], plan: tuple[int, int], left_out: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the whole run as it is written to the JSON file; ``plan`` is (rounds, seconds)."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": dict(versions),
        "settings": {"rounds": plan[0], "seconds": plan[1]},
        "left_out": [dict(entry) for entry in left_out],
        "scenarios": [as_dict(trial) for trial in trials if trial.samples],
    }


def write(path: Path, told: Mapping[str, Any]) -> None:
    """Write the run's document, readable and with a stable order of keys."""
    console.write(path, json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _comparison(ratio: Mapping[str, float]) -> str:
    if "rate" not in ratio:
        return ""
    parts = [f"{ratio['rate']:.2f}x req/s"]
    words = (("p99_ms", "p99"), ("cpu_us", "CPU"), ("pss_mb", "PSS"))
    return ", ".join(parts + [f"{ratio[name]:.2f}x {word}" for name, word in words if name in ratio])


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
