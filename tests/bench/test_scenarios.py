from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench import scenarios
from bench.app import application
from bench.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each.kind == "wsgi"], ids=lambda each: each.name)
def test_the_application_answers_what_the_scenario_expects(scenario: Scenario, tmp_path: Path) -> None:
    upload = b"x" * scenario.upload
    environ = {
        "REQUEST_METHOD": scenario.method,
        "PATH_INFO": urlsplit(scenario.path(7)).path,
        "CONTENT_LENGTH": str(len(upload)),
        "wsgi.input": BytesIO(upload),
    }
    started: list[Any] = []
    body = b"".join(application(environ, lambda status, headers: started.append((status, dict(headers)))))
    [(status, headers)] = started
    assert status == "200 OK"
    assert body == scenario.expected(7, tmp_path)
    assert len(body) == scenario.size == int(headers["Content-Length"])


def test_the_application_knows_nothing_else() -> None:
    started: list[str] = []
    application({"PATH_INFO": "/other"}, lambda status, _headers: started.append(status))
    assert started == ["404 Not Found"]


def test_files_are_of_the_right_size_differ_and_are_the_same_again(tmp_path: Path) -> None:
    [small] = scenarios.chosen(["static-1k"])
    for www in ("a", "b"):
        scenarios.write_files(tmp_path / www, [small])
    bodies = [small.expected(number, tmp_path / "a") for number in range(small.count)]
    assert {len(body) for body in bodies} == {small.size}
    assert len(set(bodies)) == small.count
    assert bodies == [small.expected(number, tmp_path / "b") for number in range(small.count)]


def test_urls_go_round() -> None:
    [small] = scenarios.chosen(["static-1k"])
    assert small.path(0) == small.path(small.count) == "/static/1k/0.bin"
    assert small.path(1) == "/static/1k/1.bin"


def test_scenarios_are_chosen_by_name_and_kept_in_order() -> None:
    assert [each.name for each in scenarios.chosen(["page", "hello"])] == ["hello", "page"]
    assert scenarios.chosen([]) == SCENARIOS
    with pytest.raises(ValueError, match="no such scenario: helo"):
        scenarios.chosen(["helo"])


def test_hello_and_the_small_file_are_also_asked_by_many() -> None:
    assert {each.name for each in SCENARIOS if 256 in each.connections} == {"hello", "static-1k"}
    assert all(32 in each.connections for each in SCENARIOS)
