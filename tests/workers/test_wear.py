"""When a worker has done its share."""

from __future__ import annotations

from typing import Any

from tinfront.config.model import App
from tinfront.workers.wear import Wear

MIB = 1024**2


class Worker:
    pid = 42
    ready = 1000.0

    def __init__(self) -> None:
        self.served = self.requests_max = 0
        self.inherited = -1
        self.next_look = 0.0


class Look:
    """Memory as it is told."""

    def __init__(self, anonymous: int = 0, private: int | None = 0) -> None:
        self.anonymous, self.private_bytes = anonymous, private
        self.exact = 0

    def resident(self, pid: int) -> tuple[int, int]:
        return self.anonymous * 2, self.anonymous

    def private(self, pid: int) -> int | None:
        self.exact += 1
        return self.private_bytes


def wear(look: Any = None, chance: Any = None, **options: Any) -> Wear:
    return Wear(App("site", "mod:app", **options), look or Look(), chance or (lambda low, high: high))


def test_without_bounds_nobody_is_worn() -> None:
    worker: Any = Worker()
    worker.served = 10**9
    assert wear().requests_of_one() == 0
    assert wear(Look(10**12, 10**12)).worn(worker, 10.0**9) == ""


def test_requests() -> None:
    worker: Any = Worker()
    worker.requests_max = wear(max_requests=100, max_requests_jitter=10).requests_of_one()
    assert worker.requests_max == 110
    worker.served = 109
    assert wear(max_requests=100).worn(worker, 1001.0) == ""
    worker.served = 111
    assert wear(max_requests=100).worn(worker, 1001.0) == "max_requests: it has answered 111"


def test_chance_is_asked_for_no_more_than_the_jitter() -> None:
    asked: list[Any] = []
    wear(
        chance=lambda low, high: asked.append((low, high)) or 0, max_requests=5, max_requests_jitter=3
    ).requests_of_one()
    assert asked == [(0, 3)]


def test_time() -> None:
    worker: Any = Worker()
    assert wear(max_lifetime=60.0).worn(worker, 1059.0) == ""
    assert wear(max_lifetime=60.0).worn(worker, 1060.0) == "max_lifetime: it has served for 60 s"


def test_memory_of_its_own() -> None:
    worker: Any = Worker()
    look = Look(90 * MIB)
    bound = wear(look, max_rss=100 * MIB)
    assert bound.worn(worker, 1001.0) == ""
    assert look.exact == 0  # the cheap count is enough
    look.anonymous, look.private_bytes = 300 * MIB, 80 * MIB
    worker.next_look = 0.0
    assert bound.worn(worker, 1002.0) == ""  # it is shared, mostly
    assert look.exact == 1
    look.private_bytes = 120 * MIB
    assert bound.worn(worker, 1002.0) == ""  # not yet again: it costs too much
    assert bound.worn(worker, 1010.0) == "max_rss: it holds 120 MiB of its own"


def test_memory_of_another_users_worker() -> None:
    worker: Any = Worker()
    look = Look(300 * MIB, None)
    bound = wear(look, max_rss=100 * MIB)
    assert bound.worn(worker, 1001.0) == ""  # so much it had at its birth
    look.anonymous = 450 * MIB
    assert bound.worn(worker, 1010.0) == "max_rss: it holds 150 MiB of its own"
