from __future__ import annotations

from typing import Any

import pytest

from bench.slow.beside import KINDS, summary, told
from bench.slow.clients import KINDS as CLIENTS


def one(without: float, beside: float, tail: float = 2.0, slow: float = 1.0, **crowd: int) -> dict[str, Any]:
    """A round with these requests/s, by a machine that was so many times slower beside the crowd."""
    return {
        "without": {"counted": without, "work": without, "p99_ms": 1.0, "errors": 0},
        "with": {"counted": beside, "work": beside * slow, "p99_ms": tail, "errors": 1},
        "crowd": {"held": 50, **crowd},
        "crowd_cpu": 0.01,
    }


def test_ratios_are_taken_round_by_round() -> None:
    found = summary([one(1000, 900), one(500, 500), one(2000, 1000, refused=2)])
    assert found["ratio"] == 0.9
    assert found["p99_ratio"] == 2.0
    assert (found["refused"], found["held"], found["with"]["errors"]) == (2, 50, 3)


def test_a_machine_that_is_slower_for_a_while_is_not_the_servers_loss() -> None:
    found = summary([one(1000, 500, slow=2.0), one(1000, 900), one(1000, 450, slow=2.0)])
    assert found["ratio"] == 0.9
    assert found["with"]["counted"] == 500
    assert found["without"]["rate"] == 1000
    assert found["with"]["rate"] == pytest.approx(900)


def test_a_server_that_stands_still_has_no_tail() -> None:
    found = summary([one(1000, 0, tail=0.0)])
    assert (found["ratio"], found["p99_ratio"]) == (0.0, None)
    assert summary([]) == {}


def test_a_round_in_words_tells_what_went_wrong() -> None:
    said = told(one(1000, 900, refused=2))
    assert said.startswith("1,000 → 900 req/s, 0.900 by")
    assert said.endswith(", 2 refused")
    assert told(one(0, 0)).startswith("0 → 0 req/s, 0.000 by")


def test_every_kind_has_its_clients_and_a_name_of_its_own() -> None:
    assert {kind.kind for kind in KINDS} <= set(CLIENTS)
    assert len({kind.name for kind in KINDS}) == len(KINDS)
