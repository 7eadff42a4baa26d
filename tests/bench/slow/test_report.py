from __future__ import annotations

from typing import Any

import pytest

from bench.slow import report


def row(**more: Any) -> dict[str, Any]:
    side = {"rate": 1000.0, "p99_ms": 2.0}
    return {
        "name": "tinfront",
        "label": "tinfront",
        "clients": 50,
        "held": 50,
        "without": side,
        "with": side,
        "ratio": 1.0,
        "p99_ratio": 1.0,
        **dict.fromkeys(("refused", "broken", "wrong", "unserved"), 0),
        **more,
    }


def told(**more: Any) -> dict[str, Any]:
    return {"beside": [{"name": "idle", "title": "idle", "servers": [row(**more), row(name="granian", ratio=0.0)]}]}


def test_all_is_well() -> None:
    assert [each["reached"] for each in report.verdict(told())] == [True, True, True]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"ratio": 0.94}, "idle: throughput"),
        ({"p99_ratio": 2.1}, "idle: p99"),
        ({"broken": 1}, "idle: refused or broken"),
        ({"unserved": 1}, "idle: refused or broken"),
    ],
)
def test_what_is_out_of_reach_is_told(more: dict[str, Any], name: str) -> None:
    rows = report.verdict(told(**more))
    assert [each["name"] for each in rows if not each["reached"]] == [name]
    assert report.verdict_table(rows).count("OUT OF REACH") == 1


def test_the_other_figures() -> None:
    rows = report.verdict(
        {
            "memory": [{"name": "tinfront", "kib": {"idle": 3.9, "head": 6.1, "tls-idle": 50.0}}],
            "burst": [{"name": "tinfront", "clients": 10, "refused": 0, "unserved": 0, "worst": 1.5}],
            "overload": [{"name": "tinfront", "ratio": 0.89, "worst": 3.0}],
            "soak": [{"name": "tinfront", "wrong": 0, "flat": False}],
        }
    )
    assert [each["name"] for each in rows if not each["reached"]] == [
        "head: KiB a connection",
        "burst of 10: worst of a visitor, s",
        "overload: goodput",
        "soak: growth",
    ]


def test_a_table_has_a_line_for_each_server_measured_or_not() -> None:
    entry = told()["beside"][0]
    entry["servers"].append({"name": "waitress", "label": "waitress", "clients": 50, "why": "no answer"})
    lines = report.beside(entry).splitlines()
    assert len(lines) == 2 + 3
    assert "50 of 50" in lines[2]
    assert lines[4].endswith("no answer")
