from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import report
from bench.measure import Sample
from bench.peers import PEERS
from bench.report import Trial
from bench.scenarios import SCENARIOS

BY_NAME = {peer.name: peer for peer in PEERS}
HELLO = next(scenario for scenario in SCENARIOS if scenario.name == "hello")


def sample(rate: float, cpu: float = 10.0, errors: int = 0, busy: float = 0.9) -> Sample:
    return Sample(
        rate=rate, p50_ms=1.0, p99_ms=2.0, cpu_us=cpu, busy=busy, pss_mb=20.0, rss_mb=40.0, errors=errors, wrong=0
    )


def trial() -> Trial:
    ours = [sample(300, 5), sample(200, 5), sample(100, 5)]
    theirs = [sample(100), sample(100, errors=2), sample(200, errors=1)]
    return Trial(HELLO, 32, {BY_NAME["tinfront-prefork"]: ours, BY_NAME["nginx+uwsgi"]: theirs})


def test_values_are_medians_and_counts_are_sums() -> None:
    found = report.medians([sample(5, errors=1), sample(1, errors=2), sample(4, errors=4)])
    assert found["rate"] == 4
    assert found["errors"] == 7


def test_a_ratio_is_the_median_of_the_rounds_not_the_ratio_of_the_medians() -> None:
    # Round by round 3, 4/3 and 1/2; the medians alone would say 300 / 200.
    slow_at_last = [sample(300), sample(400), sample(100)]
    found = report.ratios(slow_at_last, [sample(100), sample(300), sample(200)])
    assert found["rate"] == pytest.approx(4 / 3)


def test_only_rounds_that_both_have_are_compared() -> None:
    assert report.ratios([sample(100), sample(900)], [sample(50)])["rate"] == 2
    assert report.ratios([sample(100)], []) == {}


def test_a_value_that_is_nothing_has_no_ratio() -> None:
    assert "cpu_us" not in report.ratios([sample(100)], [sample(100, cpu=0.0)])


def test_a_peer_is_compared_with_its_tinfront_only() -> None:
    told = report.as_dict(trial())
    ours, theirs = told["servers"]
    assert "ratio" not in ours
    assert theirs["against"] == "tinfront-prefork"
    assert theirs["ratio"]["rate"] == 2
    assert theirs["ratio"]["cpu_us"] == 0.5
    alone = report.as_dict(
        Trial(HELLO, 32, {BY_NAME["granian"]: [sample(1)], BY_NAME["tinfront-prefork"]: [sample(1)]})
    )
    assert all("ratio" not in server for server in alone["servers"])


def test_a_trial_that_kept_no_server_busy_says_that_the_load_was_the_limit() -> None:
    idle, busy = [sample(1, busy=0.3)], [sample(1, busy=0.8)]
    told = report.as_dict(Trial(HELLO, 32, {BY_NAME["granian"]: idle, BY_NAME["nginx+uwsgi"]: idle}))
    assert told["limited_by_load"]
    assert "wrk was the limit" in report.table(told)
    told = report.as_dict(Trial(HELLO, 32, {BY_NAME["granian"]: idle, BY_NAME["nginx+uwsgi"]: busy}))
    assert not told["limited_by_load"]


def test_the_table_names_all_and_its_columns_stand_under_each_other() -> None:
    lines = report.table(report.as_dict(trial())).splitlines()
    assert lines[0] == "WSGI, 14 bytes (hello), 32 connections"
    heads, ours, theirs = lines[1:]
    assert "tinfront, 2 workers" in ours
    assert "2.00x req/s, 1.00x p99, 0.50x CPU, 1.00x PSS" in theirs
    end = heads.index("req/s") + len("req/s")
    assert ours[:end].endswith(" 200")
    assert theirs[:end].endswith(" 100")


def test_the_document_survives_its_file(tmp_path: Path) -> None:
    left_out = [{"server": "granian", "why": "not installed: granian", "scenarios": ["hello"]}]
    told = report.document([trial(), Trial(HELLO, 256)], {"nginx": "1.22.1"}, (3, 4), left_out)
    path = tmp_path / "results" / "latest.json"
    report.write(path, told)
    assert json.loads(path.read_text()) == told
    assert [each["connections"] for each in told["scenarios"]] == [32]  # without the one nobody took part in
    assert told["settings"] == {"rounds": 3, "seconds": 4}
    assert told["machine"]["cores"] >= 1
