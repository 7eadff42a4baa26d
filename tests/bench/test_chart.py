from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench import chart

SVG = "{http://www.w3.org/2000/svg}"


def server(name: str, rate: float, ratio: dict[str, float] | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "label": name, "median": {"rate": rate, "cpu_us": 12.3, "pss_mb": 50.0}}
    return entry | ({"ratio": ratio} if ratio else {})


def told() -> dict[str, Any]:
    return {
        "date": "2030-01-02T03:04:05+00:00",
        "machine": {"cpu": "R&D <CPU>", "cores": 4, "kernel": "Linux 6.1", "python": "3.11.7"},
        "versions": {"nginx": "1.22.1", "uwsgi": "2.0.31"},
        "settings": {"rounds": 3, "seconds": 4},
        "left_out": [{"server": "granian", "why": "not installed: granian", "scenarios": ["hello"]}],
        "scenarios": [
            {
                "title": "Static file, <1 KiB>",
                "kind": "static",
                "connections": 32,
                "limited_by_load": False,
                "servers": [
                    server("tinfront-static", 90.0),
                    server("nginx", 100.0, {"rate": 0.9, "pss_mb": 2.0}),
                ],
            },
            {
                "title": "WSGI",
                "kind": "wsgi",
                "connections": 32,
                "limited_by_load": False,
                "servers": [
                    server("tinfront-prefork", 600.0),
                    server("nginx+gunicorn", 100.0, {"rate": 6.0, "pss_mb": 0.5}),
                ],
            },
        ],
    }


def texts(svg: str, word: str = "") -> list[str]:
    found = [element for element in ET.fromstring(svg).iter(f"{SVG}text") if word in element.get("class", "")]
    return ["".join(element.itertext()) for element in found]


def test_it_is_well_formed_and_what_was_written_stands_in_it_unharmed() -> None:
    svg = chart.draw(told())
    written = texts(svg)
    assert "Static file, <1 KiB>, 32 connections" in written
    assert any("R&D <CPU>, 4 cores" in text for text in written)
    assert any("uWSGI 2.0.31" in text for text in written)
    assert any("granian (not installed: granian)" in text for text in written)


def test_bars_of_a_group_are_to_one_scale() -> None:
    bars = [element for element in ET.fromstring(chart.draw(told())).iter(f"{SVG}rect") if element.get("rx") == "2"]
    widths = [float(bar.get("width", "")) for bar in bars[:2]]
    assert widths[1] == chart.BAR
    assert widths[0] == pytest.approx(0.9 * widths[1], abs=0.1)


def test_a_ratio_is_coloured_by_whether_it_is_good_for_tinfront() -> None:
    svg = chart.draw(told())
    assert texts(svg, "better") == [f"6.0{chart.TIMES}", f"0.50{chart.TIMES}"]  # more requests, less memory
    assert texts(svg, "worse") == [f"0.90{chart.TIMES}"]


def test_everything_stands_inside_the_picture() -> None:
    root = ET.fromstring(chart.draw(told()))
    height = float(root.get("height", ""))
    for element in root.iter(f"{SVG}text"):
        assert 0 < float(element.get("y", "")) < height
        assert 0 < float(element.get("x", "")) <= chart.WIDTH


def test_both_schemes_colour_every_class_that_is_used() -> None:
    assert chart.LIGHT.keys() == chart.DARK.keys()
    svg = chart.draw(told())
    used = {word for words in re.findall(r'class="([^"]*)"', svg) for word in words.split()}
    styled = set(re.findall(r"^\.(\w+) ", svg, re.MULTILINE))
    assert used <= styled


def test_a_part_of_a_run_and_an_empty_one_can_be_drawn() -> None:
    part = told() | {"scenarios": told()["scenarios"][1:], "left_out": []}
    assert "WSGI" in texts(chart.draw(part), "panel")
    assert texts(chart.draw(told() | {"scenarios": []}), "panel") == []


@pytest.mark.parametrize(
    ("ratio", "read"),
    [(0.934, "0.93"), (1.994, "1.99"), (1.996, "2.0"), (5.84, "5.8"), (9.96, "10"), (42.4, "42")],
)
def test_ratios_are_read_with_fitting_figures(ratio: float, read: str) -> None:
    assert chart.times(ratio) == read + chart.TIMES
