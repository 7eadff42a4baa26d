from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench.slow import chart

SVG = "{http://www.w3.org/2000/svg}"


def server(name: str, alone: float, beside: float) -> dict[str, Any]:
    sides = {"without": {"rate": alone, "p99_ms": 1.0}, "with": {"rate": beside, "p99_ms": 1.0}}
    return {"name": name, "label": name, "clients": 5000, "ratio": beside / alone, **sides}


def told() -> dict[str, Any]:
    kinds = [
        {"name": name, "title": f"{name} <&>", "servers": [server("tinfront", 1000, 990), server("granian", 3000, 0)]}
        for name in ("idle", "uploads", "tls-idle")
    ]
    return {
        "date": "2030-01-02T03:04:05+00:00",
        "machine": {"cpu": "R&D <CPU>", "cores": 4, "kernel": "Linux 6.1", "python": "3.11.7"},
        "versions": {"nginx": "1.22.1"},
        "settings": {"rounds": 3, "seconds": 4, "clients": 5000},
        "beside": kinds,
    }


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_each_kind_has_its_panel_and_each_server_its_row() -> None:
    written = texts(chart.draw(told()))
    assert "5,000 idle <&>" in written
    assert "5,000 uploads <&>" in written
    assert not any("tls-idle" in text for text in written)
    assert written.count("tinfront") == written.count("granian") == 2
    assert written.count("990") == written.count("99%") == 2


def test_the_bars_are_what_is_left_of_each_server() -> None:
    bars = [
        float(element.attrib["width"]) / chart.BAR
        for element in ET.fromstring(chart.draw(told())).iter(f"{SVG}rect")
        if float(element.attrib["y"]) > chart.TOP
    ]
    assert bars == pytest.approx([1.0, 0.99, 1.0] * 2, abs=0.001)  # granian has only the pale one


def test_who_serves_nobody_is_said_to_stand_still() -> None:
    written = texts(chart.draw(told()))
    assert written.count("stands still") == 2


def test_it_has_words_for_those_who_do_not_see_it_and_colours_for_the_night() -> None:
    svg = chart.draw(told())
    [said] = [element.text for element in ET.fromstring(svg).iter(f"{SVG}desc")]
    assert said is not None
    assert "granian 3,000 alone and 0 beside them" in said
    assert "prefers-color-scheme: dark" in svg


def test_a_server_that_could_not_be_measured_is_left_out() -> None:
    document = told()
    document["beside"][0]["servers"].append({"name": "waitress", "label": "waitress", "clients": 5000, "why": "gone"})
    assert "waitress" not in texts(chart.draw(document))
