from __future__ import annotations

import os

import pytest

from bench import measure
from bench.measure import Load, Process
from bench.scenarios import SCENARIOS

RESULT = (
    'bench {"requests": 84000, "bytes": 9000000, "duration_us": 4000000, "p50_us": 640, "p99_us": 1310, '
    '"connect": 1, "read": 2, "write": 3, "timeout": 4, "status": 5}\n'
)


def test_the_line_of_the_script_is_found_among_what_wrk_prints() -> None:
    output = (
        "Running 4s test @ http://127.0.0.1:8080\n  1 threads and 32 connections\nRequests/sec: 21000.00\n" + RESULT
    )
    assert measure.parse_load(output) == Load(
        requests=84000, seconds=4.0, size=9000000, p50_ms=0.64, p99_ms=1.31, errors=15
    )


@pytest.mark.parametrize("output", ["", "unable to connect to 127.0.0.1:1 Connection refused\n", RESULT * 2])
def test_anything_but_one_result_is_an_error_that_quotes_it(output: str) -> None:
    with pytest.raises(ValueError, match="wrk gave no result") as caught:
        measure.parse_load(output)
    assert repr(output[-500:]) in str(caught.value)


def test_stat_is_read_after_the_last_bracket_of_the_name() -> None:
    tail = "S 41 42 43 0 -1 4194304 100 0 0 0 250 50 20 10 20 0 1 0 98765 1000000 250"
    assert measure.parse_stat(f"77 (odd) name (x) {tail}") == Process(
        parent=41, session=43, cpu=pytest.approx(330 * measure.TICK), started=98765
    )


def test_a_tree_is_descendants_and_sessions() -> None:
    def of(parent: int, session: int) -> Process:
        return Process(parent=parent, session=session, cpu=0.0, started=0)

    every = {
        1: of(0, 1),
        10: of(1, 10),
        11: of(10, 10),
        12: of(11, 12),  # in a session of its own, but descends
        13: of(1, 10),  # handed to init, but of the session
        20: of(1, 20),
        21: of(20, 20),
    }
    assert measure.tree([10], every) == [10, 11, 12, 13]
    assert measure.tree([10, 20], every) == [10, 11, 12, 13, 20, 21]
    assert measure.tree([99], every) == []


def test_this_very_process_has_used_time_and_memory() -> None:
    assert os.getpid() in measure.processes()
    assert measure.cpu_seconds([os.getpid()]) > 0
    pss, rss = measure.memory_mb([os.getpid()])
    assert 0 < pss <= rss


def test_processes_that_are_gone_count_nothing() -> None:
    gone = 2**22 + 1  # above the kernel's largest pid
    assert measure.cpu_seconds([gone]) == 0
    assert measure.memory_mb([gone]) == (0, 0)


def test_wrk_is_told_all_of_the_scenario() -> None:
    post = next(scenario for scenario in SCENARIOS if scenario.name == "post")
    argv = measure.wrk_command("http://127.0.0.1:80", post, 32, 4)
    assert {"-c32", "-d4s", str(measure.SCRIPT)} <= set(argv)
    assert argv[argv.index("--") - 1 :] == ["http://127.0.0.1:80", "--", "POST", "/echo/{n}", "1021", "16384", "1021"]


def test_wrong_answers_are_those_for_which_too_few_bytes_came(monkeypatch: pytest.MonkeyPatch) -> None:
    page = next(scenario for scenario in SCENARIOS if scenario.name == "page")
    seen = Load(requests=100, seconds=2.0, size=90 * page.size, p50_ms=1.0, p99_ms=2.0, errors=3)
    monkeypatch.setattr(measure, "load", lambda *_: seen)
    sample = measure.measure("http://127.0.0.1:80", [os.getpid()], page, (32, 2))
    assert (sample.rate, sample.errors, sample.wrong) == (50.0, 3, 10)
    assert 0 <= sample.busy < 1
