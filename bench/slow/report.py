"""The tables, and whether tinfront's figures are in reach of what they should be."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

JUDGED = "tinfront"
"""The server whose figures are held against these."""

REACH = {
    "ratio": 0.95,
    "p99_ratio": 2.0,
    "idle": 4.0,
    "head": 6.0,
    "tls-idle": 56.0,
    "burst": 1.0,
    "goodput": 0.9,
    "queue_timeout": 60.0,
}
"""What tinfront should reach: parts of the throughput, KiB a connection, seconds."""


def head(options: argparse.Namespace, machine: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """What stands first in the document."""
    settings = ("rounds", "seconds", "clients", "overload", "soak")
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": dict(machine),
        "versions": dict(versions),
        "settings": {name: getattr(options, name) for name in settings},
    }


def beside(entry: Mapping[str, Any]) -> str:
    """The table of one kind of slow client."""
    rows = [
        (
            *("", "req/s without", "with", "ratio", "p99 ms", "with"),
            *("held", "refused", "broken", "wrong", "unserved"),
        )
    ]
    for server in entry["servers"]:
        if "ratio" not in server:
            rows.append((server["label"], *"-" * 9, server.get("why", "")))
            continue
        side = server["without"], server["with"]
        rows.append(
            (
                server["label"],
                *(f"{each['rate']:,.0f}" for each in side),
                f"{server['ratio']:.2f}",
                *(f"{each['p99_ms']:.1f}" for each in side),
                f"{server['held']} of {server['clients']}",
                *(f"{server[word]}" for word in ("refused", "broken", "wrong", "unserved")),
            )
        )
    return _table(f"A fast client beside slow ones: {entry['title']}", rows)


def memory(entries: Sequence[Mapping[str, Any]]) -> str:
    """The table of what connections weigh."""
    rows = [("KiB a connection", "idle", "in its head", "idle, TLS", "")]
    for entry in entries:
        cells = [f"{entry['kib'][name]:.1f}" if name in entry["kib"] else "-" for name in ("idle", "head", "tls-idle")]
        short = ", ".join(f"only {held} held ({name})" for name, held in entry.get("short", {}).items())
        rows.append((entry["label"], *cells, short or entry.get("why", "")))
    return _table(f"Memory of a waiting connection, {entries[0]['clients'] if entries else 0} of them", rows)


def burst(entries: Sequence[Mapping[str, Any]]) -> str:
    """The table of the bursts."""
    rows = [("", "at once", "answered", "refused", "all after s", "a visitor's worst s", "failed")]
    for entry in entries:
        rows.append(
            (
                entry["label"],
                f"{entry['clients']}",
                f"{entry['answered']}",
                f"{entry['refused']}",
                f"{entry['seconds']:.2f}",
                f"{entry['worst']:.3f}",
                f"{entry['failed']} of {entry['failed'] + entry['served']}",
            )
        )
    return _table("Bursts", rows)


def overload(entries: Sequence[Mapping[str, Any]]) -> str:
    """The table of the overload."""
    rows = [("", "capacity", "offered", "goodput", "ratio", "p50 s", "p99 s", "worst s", "shed", "gave up", "cut")]
    for entry in entries:
        rows.append(
            (
                entry["label"],
                *(f"{entry[name]:,.0f}" for name in ("capacity", "offered", "goodput")),
                f"{entry['ratio']:.2f}",
                *(f"{entry[name]:.2f}" for name in ("p50", "p99", "worst")),
                *(f"{entry[name]}" for name in ("shed", "gave_up", "cut")),
            )
        )
    return _table("Overload: three times the capacity, requests/s", rows)


def soak(entries: Sequence[Mapping[str, Any]]) -> str:
    """The table of the soak."""
    rows = [("", "seconds", "answers", "wrong", "MB after warm-up", "at the end", "descriptors", "at the end", "gone")]
    for entry in entries:
        rows.append(
            (
                entry["label"],
                f"{entry['seconds']}",
                f"{entry['answers']}",
                f"{entry['wrong']}",
                *(f"{value:.1f}" for value in entry["mb"]),
                *(f"{value:.0f}" for value in entry["descriptors"]),
                f"{entry['descriptors_before']} -> {entry['descriptors_after']}",
            )
        )
    lines = [line for entry in entries for line in entry["wrong_ones"]]
    return "\n".join([_table("Soak", rows), *lines])


def verdict(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Whether each of tinfront's figures reaches what it should."""
    rows: list[dict[str, Any]] = []

    def add(name: str, value: float | None, reach: float, low: bool = False) -> None:
        if value is not None:
            rows.append(
                {"name": name, "value": value, "reach": reach, "reached": value >= reach if low else value <= reach}
            )

    for kind in told.get("beside", ()):
        for server in _ours(kind["servers"]):
            if "ratio" in server:
                add(f"{kind['name']}: throughput", server["ratio"], REACH["ratio"], low=True)
                add(f"{kind['name']}: p99", server["p99_ratio"], REACH["p99_ratio"])
                faults = sum(server[word] for word in ("refused", "broken", "wrong", "unserved"))
                add(f"{kind['name']}: refused or broken", faults, 0)
    for entry in _ours(told.get("memory", ())):
        for name, value in entry["kib"].items():
            add(f"{name}: KiB a connection", value, REACH[name])
    for entry in _ours(told.get("burst", ())):
        add(f"burst of {entry['clients']}: refused", entry["refused"] + entry["unserved"], 0)
        add(f"burst of {entry['clients']}: worst of a visitor, s", entry["worst"], REACH["burst"])
    for entry in _ours(told.get("overload", ())):
        add("overload: goodput", entry["ratio"], REACH["goodput"], low=True)
        add("overload: worst wait, s", entry["worst"], REACH["queue_timeout"])
    for entry in _ours(told.get("soak", ())):
        add("soak: wrong answers", entry["wrong"], 0)
        add("soak: growth", 0 if entry["flat"] else 1, 0)
    return rows


def verdict_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figures beside what they should reach."""
    cells = [("", "figure", "should be", "")]
    for row in rows:
        bound = REACH["ratio"], REACH["goodput"]
        sign = ">=" if row["reach"] in bound else "<="
        cells.append(
            (row["name"], f"{row['value']:g}", f"{sign} {row['reach']:g}", "" if row["reached"] else "OUT OF REACH")
        )
    return _table("tinfront's figures", cells)


def _ours(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for entry in entries if entry["name"] == JUDGED]


def _table(title: str, rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [title]
    for row in rows:
        first, *rest = (
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  " + "  ".join([first, *rest]).rstrip())
    return "\n".join(lines)
