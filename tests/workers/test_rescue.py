"""Whose jobs are saved from a worker that stands still."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from tests.fakes import FakeExchange
from tinfront.config.model import App
from tinfront.workers.rescue import PATIENCE_MAX, WAKES, Rescue


class Stacks:
    def __init__(self) -> None:
        self.silent_since = 0.0
        self.probes = 0

    def probe(self, now: float) -> None:
        self.probes += 1
        self.silent_since = self.silent_since or now


class Worker:
    def __init__(self, seat: int) -> None:
        self.seat, self.pid, self.ready = seat, 100 + seat, 1.0
        self.threads = [(1000 * seat + number, number) for number in range(4)]
        self.stacks = Stacks()


class Job:
    def __init__(self, name: str, sent: float) -> None:
        self.name, self.sent = name, sent
        self.answering: Any = None
        self.exchange = FakeExchange()


class Parts:
    """Two workers of four threads each; the first has the culprit and others."""

    def __init__(self, log: Any, **options: Any) -> None:
        self.now = monotonic()
        self.pending: dict[int, Any] = {}
        self.claims: dict[int, tuple[int, float]] = {}
        self.workers = [Worker(0), Worker(1)]
        self.saved: list[str] = []
        self.counts: dict[int, float] = {}
        self.may = True
        app = App("site", "mod:app", **{"workers": 2, "threads": 4, "timeout": 8.0, **options})
        self.rescue = Rescue(app, self, self.take_back, log.logger, self.switches)  # type: ignore[arg-type]

    def add(self, slot: int, name: str, age: float = 0.0) -> Job:
        job = Job(name, self.now - age)
        self.pending[slot + 1] = job
        self.claims[slot + 1] = (slot, job.sent)
        return job

    def take_back(self, job: Any) -> bool:
        if not self.may:
            return False
        self.saved.append(job.name)
        number = next(number for number, other in self.pending.items() if other is job)
        del self.pending[number]
        return True

    def switches(self, pid: int, tid: int) -> int | None:
        return int(self.counts[tid]) if tid in self.counts else None

    def pass_time(self, seconds: float, *waiting: int) -> None:
        """In quarters of a second; these threads wait for the lock meanwhile."""
        for _ in range(int(seconds / 0.25)):
            self.now += 0.25
            for tid in waiting:
                self.counts[tid] = self.counts.get(tid, 0) + 0.25 * WAKES * 4
            self.rescue.sweep(self.now, self.claims, self.workers)


@pytest.fixture
def parts(log: Any) -> Parts:
    parts = Parts(log)
    parts.counts = dict.fromkeys(range(4), 0.0)
    return parts


def test_those_who_wait_for_the_lock_are_saved_and_the_culprit_is_not(parts: Parts, log: Any) -> None:
    parts.add(0, "culprit")
    parts.add(1, "victim")
    parts.add(2, "waits for a database")
    parts.pass_time(4.0, 1)
    assert parts.saved == ["victim"]
    assert parts.workers[1].stacks.probes == 0
    assert "worker 100 stands still" in log.text
    parts.pass_time(1.0, 2)  # the database has answered, and now it waits, too
    assert parts.saved == ["victim", "waits for a database"]


def test_a_worker_that_answers_is_left_alone(parts: Parts) -> None:
    parts.add(0, "busy")
    parts.add(1, "waits for its turn")
    for _ in range(20):
        parts.pass_time(0.25, 0, 1)
        parts.workers[0].stacks.silent_since = 0.0
    assert parts.workers[0].stacks.probes > 1
    assert parts.saved == []


def test_nobody_is_asked_before_something_takes_long(parts: Parts) -> None:
    parts.add(0, "one")
    parts.add(1, "two")
    parts.pass_time(0.75)
    assert parts.workers[0].stacks.probes == 0
    parts.pass_time(0.5)
    assert parts.workers[0].stacks.probes == 1


def test_one_who_is_alone_has_nobody_to_save(parts: Parts) -> None:
    parts.add(0, "alone")
    streamed = parts.add(1, "answers already")
    streamed.answering = object()
    parts.pass_time(7.0, 0)
    assert parts.workers[0].stacks.probes == 0


def test_what_must_not_run_twice_stays(parts: Parts, log: Any) -> None:
    parts.may = False
    parts.add(0, "culprit")
    parts.add(1, "a POST")
    parts.pass_time(7.0, 1)
    assert parts.saved == []
    assert log.text == ""


def test_threads_that_cannot_be_seen_are_no_victims(parts: Parts) -> None:
    parts.workers[0].threads = parts.workers[0].threads[:1]
    parts.add(0, "culprit")
    parts.add(1, "unknown")
    parts.pass_time(7.0, 1)
    assert parts.saved == []


def test_without_a_timeout_it_has_patience_of_its_own(log: Any) -> None:
    parts = Parts(log, timeout=0.0)
    parts.counts = dict.fromkeys(range(4), 0.0)
    parts.add(0, "culprit")
    parts.add(1, "victim")
    parts.pass_time(PATIENCE_MAX - 0.5, 1)
    assert parts.saved == []
    parts.pass_time(1.5, 1)
    assert parts.saved == ["victim"]


def test_a_single_thread_has_no_victims(log: Any) -> None:
    parts = Parts(log, threads=1)
    parts.add(0, "one")
    parts.pass_time(7.0, 0)
    assert parts.workers[0].stacks.probes == 0
