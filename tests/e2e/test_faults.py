"""The rows of the fault bench, for seconds each: nothing is wrong, lost or run twice. The bench has the figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.faults import rows
from bench.faults.rows import Finding
from bench.faults.servers import TINFRONT
from bench.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage([]) as stage:
        yield stage


def faults(finding: Finding) -> dict[str, Any]:
    """What went wrong, without what went well."""
    return {name: finding.numbers[name] for name in ("wrong", "lost", "reset", "refused") if finding.numbers[name]}


def test_killed_workers_cost_no_get_its_answer(stage: Stage) -> None:
    finding = rows.kill_get(stage, TINFRONT, 3.0)
    assert faults(finding) == {}
    assert finding.numbers["kills"] >= 10
    assert finding.numbers["answered"] > 100


def test_killed_workers_cost_only_the_posts_they_had_claimed(stage: Stage) -> None:
    finding = rows.kill_post(stage, TINFRONT, 3.0)
    numbers = finding.numbers
    assert (numbers["wrong"], numbers["lost"], numbers["reset"], numbers["twice"]) == (0, 0, 0, 0)
    assert set(numbers["refused"]) <= {"502 worker-died"}
    assert sum(numbers["refused"].values()) <= numbers["kills"]
    assert numbers["kills"] >= 10


def test_new_code_is_not_noticed(stage: Stage) -> None:
    finding = rows.reload(stage, TINFRONT, 3.0)
    if finding.reached is None:
        pytest.skip(finding.said)
    assert faults(finding) == {}
    assert finding.reached


def test_code_that_cannot_be_imported_is_not_noticed(stage: Stage) -> None:
    finding = rows.reload_broken(stage, TINFRONT, 1.0)
    if finding.reached is None:
        pytest.skip(finding.said)
    assert faults(finding) == {}
    assert finding.reached


def test_a_new_start_on_the_same_socket_resets_nobody(stage: Stage) -> None:
    finding = rows.restart(stage, TINFRONT, 4.0)
    assert faults(finding) == {}
    assert finding.reached


def test_a_thread_that_spins_costs_its_own_request_only(stage: Stage) -> None:
    finding = rows.spin(stage, TINFRONT, 1.0)
    assert faults(finding) == {}
    assert (finding.numbers["answer"], finding.numbers["stacks"]) == ("504 app-timeout", True)


def test_a_thread_that_keeps_the_lock_costs_its_own_request_only(stage: Stage) -> None:
    finding = rows.native(stage, TINFRONT, 1.0)
    numbers = finding.numbers
    assert faults(finding) == {}
    assert (numbers["answer"], numbers["stacks"]) == ("504 app-timeout", True)
    assert numbers["answered"] > 100


def test_a_leak_is_bounded(stage: Stage) -> None:
    finding = rows.leak(stage, TINFRONT, 6.0)
    assert faults(finding) == {}
    assert finding.reached
    assert finding.numbers["leaked_mb"] > 400
