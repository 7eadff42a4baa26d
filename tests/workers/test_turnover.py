"""Who comes and goes in good order, with a crew that only records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tinfront.config.model import App
from tinfront.workers.turnover import SURPLUS, Turnover
from tinfront.workers.worker_process import STOP_MAX


class Worker:
    def __init__(self, seat: int, ready: float) -> None:
        self.seat, self.pid, self.ready = seat, 100 + seat, ready
        self.leaving = self.orphan = False
        self.worn = ""
        self.left = 0.0
        self.requests_max = 0

    @property
    def stays(self) -> bool:
        return not (self.leaving or self.worn or self.orphan)

    def retire(self, now: float) -> None:
        self.leaving = True
        self.left = now


class Board:
    def __init__(self) -> None:
        self.ids = [0] * 1000


class Queue:
    board = Board()


class Crew:
    def __init__(self, count: int) -> None:
        self.workers = [Worker(seat, 10.0 + seat) for seat in range(count)]
        self.target = count
        self.filled = 0
        self.queue = Queue()

    def __iter__(self) -> Iterator[Worker]:
        return iter(self.workers)

    @property
    def staying(self) -> int:
        return sum(1 for worker in self if worker.stays)

    def fill(self) -> None:
        self.filled += 1


class Wear:
    """Those are worn whose pid is in here."""

    def __init__(self) -> None:
        self.pids: set[int] = set()

    def worn(self, worker: Any, now: float) -> str:
        return "max_requests: enough" if worker.pid in self.pids else ""

    def requests_of_one(self) -> int:
        return 7


@pytest.fixture
def parts() -> Any:
    crew, wear = Crew(2), Wear()
    return crew, wear, Turnover(App("site", "mod:app", threads=2), crew, wear)  # type: ignore[arg-type]


def test_the_replacement_is_ready_first(parts: Any) -> None:
    crew, wear, turnover = parts
    wear.pids = {100}
    turnover.tick(50.0)
    old = crew.workers[0]
    assert (old.worn, old.leaving, crew.filled) == ("max_requests: enough", False, 1)
    crew.workers.append(Worker(2, 0.0))  # it is being forked
    turnover.tick(50.2)
    assert not old.leaving
    crew.workers[2].ready = 50.3
    turnover.relieve(50.3)
    assert old.leaving
    assert [worker.leaving for worker in crew] == [True, False, False]


def test_one_at_a_time(parts: Any) -> None:
    crew, wear, turnover = parts
    wear.pids = {100, 101}
    turnover.tick(50.0)
    turnover.tick(50.2)
    assert [bool(worker.worn) for worker in crew] == [True, False]
    crew.workers.append(Worker(2, 50.3))
    turnover.relieve(50.3)
    turnover.tick(50.4)  # the first has not gone yet
    assert [bool(worker.worn) for worker in crew] == [True, False, False]
    del crew.workers[0]
    turnover.tick(50.6)
    assert [bool(worker.worn) for worker in crew] == [True, False]


def test_one_that_takes_for_ever_does_not_hold_up_the_others(parts: Any) -> None:
    crew, wear, turnover = parts
    wear.pids = {100, 101}
    turnover.tick(50.0)
    crew.workers.append(Worker(2, 50.3))
    turnover.relieve(50.3)
    turnover.tick(50.3 + STOP_MAX)
    assert [bool(worker.worn) for worker in crew] == [True, True, False]


def test_those_who_start_leave_or_are_orphans_are_not_judged(parts: Any) -> None:
    crew, wear, turnover = parts
    wear.pids = {100, 101, 102}
    crew.workers.append(Worker(2, 0.0))
    crew.workers[0].leaving = True
    crew.workers[1].orphan = True
    turnover.tick(50.0)
    assert [worker.worn for worker in crew] == ["", "", ""]


def test_a_new_one_learns_how_much_it_has_to_do(parts: Any) -> None:
    crew, _, turnover = parts
    turnover.enlist(crew.workers[0])
    assert crew.workers[0].requests_max == 7


def test_who_is_too_many_goes_the_idle_first(parts: Any) -> None:
    crew, _, turnover = parts
    crew.workers += [Worker(2, 12.0), Worker(3, 0.0)]
    crew.target = 2
    crew.queue.board.ids[2 * 2 * 8] = 4711  # seat 2 has a job
    turnover.tick(50.0)
    crew.queue.board.ids[2 * 2 * 8] = 0
    assert [worker.worn for worker in crew] == ["", SURPLUS, "", SURPLUS]
    assert [worker.leaving for worker in crew] == [False, True, False, True]
