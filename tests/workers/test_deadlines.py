"""The sweep over waiting and running jobs, with workers that only record."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from tests.fakes import FakeExchange
from tinfront.config.model import App
from tinfront.workers import frames
from tinfront.workers.board import GONE, Board
from tinfront.workers.deadlines import Deadlines
from tinfront.workers.jobs import Job, JobQueue


class Stacks:
    """Keeps the questions."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    @property
    def awaited(self) -> bool:
        return bool(self.told)

    def ask(self, now: float, told: Any) -> None:
        self.told.append(told)

    def answer(self, text: str) -> None:
        self.told.pop()(text)


class Worker:
    def __init__(self, seat: int) -> None:
        self.seat, self.pid = seat, 100 + seat
        self.overdue = False
        self.why = ""
        self.calls: list[Any] = []
        self.late: dict[int, str] = {}
        self.stacks = Stacks()
        self.threads = [(10, 0xA), (11, 0xB)]

    def end(self, why: str) -> None:
        self.why = why
        self.calls.append("end")

    def stop(self) -> None:
        self.calls.append("stop")

    def kill(self, why: str) -> None:
        self.why = why
        self.calls.append("kill")


class Crew:
    def __init__(self, count: int) -> None:
        self.seats: list[Any] = [Worker(seat) for seat in range(count)] + [None] * count

    def __iter__(self) -> Iterator[Any]:
        return iter([worker for worker in self.seats if worker])


class Parts:
    def __init__(self, loop: Any, log: Any, **options: Any) -> None:
        self.app = App("site", "mod:app", workers=2, threads=2, **options)
        self.queue = JobQueue(4, 3, loop)
        self.queue.open()
        self.crew = Crew(2)
        self.deadlines = Deadlines(self.app, self.queue, self.crew, log.logger)  # type: ignore[arg-type]
        self.now = monotonic()

    def add(self) -> Job:
        job = Job()
        job.exchange = FakeExchange()
        job.script_name, job.queued, job.deaths = "", self.now, 0
        job.answering = job.verdict = job.inlet = None
        job.unbuffered = False
        self.queue.waiting.append(job)
        self.queue.pump()
        return job

    def claim(self, slot: int, job: Job, since: float | None = None) -> None:
        self.queue.receiver.recv(frames.JOB_MAX)
        self.queue.board.times[slot * Board.STEP + 1] = self.now if since is None else since
        self.queue.board.ids[slot * Board.STEP] = job.id

    def sweep(self, seconds: float) -> None:
        self.deadlines.sweep(self.now + seconds)


@pytest.fixture
def make(quiet_loop: Any, log: Any) -> Any:
    made: list[Parts] = []

    def make(**options: Any) -> Parts:
        made.append(Parts(quiet_loop, log, **options))
        return made[-1]

    yield make
    for parts in made:
        parts.queue.close()


def test_no_deadlines_no_refusals(make: Any) -> None:
    parts = make(timeout=0.0, queue_timeout=0.0)
    jobs = [parts.add() for _ in range(20)]
    parts.claim(0, jobs[0])
    parts.sweep(10_000.0)
    assert not any(job.exchange.finished for job in jobs)
    assert parts.crew.seats[0].calls == []


def test_waiting_has_an_end(make: Any, quiet_loop: Any) -> None:
    parts = make(timeout=0.0, queue_timeout=10.0)
    jobs = [parts.add() for _ in range(20)]
    parts.claim(0, jobs[0])
    parts.sweep(9.0)
    assert not any(job.exchange.finished for job in jobs)
    parts.sweep(11.0)
    assert {job.exchange.refusal[1] for job in jobs[16:]} == {"queue-timeout"}
    quiet_loop.until(lambda: not parts.queue._doubted)  # those that were sent are taken back first
    assert {job.exchange.refusal[1] for job in jobs[1:]} == {"queue-timeout"}
    assert jobs[0].exchange.refusal is None


def test_running_has_an_end_from_the_claim_on(make: Any, log: Any) -> None:
    parts = make(timeout=10.0)
    job = parts.add()
    parts.claim(1, job, parts.now + 5.0)
    worker = parts.crew.seats[0]
    parts.sweep(14.0)
    assert not job.exchange.finished
    parts.sweep(16.0)
    assert job.exchange.refusal[:2] == (504, "app-timeout")
    assert job.exchange.pid == worker.pid
    assert worker.calls == ["stop"]
    assert parts.queue.board.revoked[job.id] == job.id | GONE
    assert "GET / req=" in log.text
    parts.sweep(16.2)  # it has not yet told what it is doing
    assert worker.calls == ["stop"]
    worker.stacks.answer("Thread 0x000000000000000b (most recent call first):\n  File app.py")
    assert f"worker 100 is at this:\nGET / req={job.exchange.request_id}, for 16.0 s:\n  File app.py" in log.text
    parts.sweep(16.4)
    parts.sweep(16.6)
    assert worker.calls == ["stop", "end"]


@pytest.mark.parametrize("since", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_time_that_cannot_be_counts_from_the_sending(make: Any, since: float) -> None:
    parts = make(timeout=10.0)
    job = parts.add()
    parts.claim(0, job, since)
    parts.sweep(11.0)
    assert job.exchange.refusal[:2] == (504, "app-timeout")


def test_an_answer_that_has_begun_may_take_its_time(make: Any) -> None:
    parts = make(timeout=10.0, queue_timeout=10.0)
    job = parts.add()
    parts.claim(0, job)
    job.answering = object()  # type: ignore[assignment]
    parts.sweep(1000.0)
    assert not job.exchange.finished


def test_the_other_jobs_of_a_late_worker_are_waited_for(make: Any) -> None:
    parts = make(timeout=10.0)
    late, other, elsewhere = parts.add(), parts.add(), parts.add()
    parts.claim(0, late)
    parts.claim(1, other, parts.now + 8.0)
    parts.claim(2, elsewhere, parts.now + 8.0)
    worker = parts.crew.seats[0]
    for seconds in (11.0, 12.0, 13.0):
        parts.sweep(seconds)
    assert late.exchange.refusal
    worker.stacks.answer("")
    assert worker.calls == ["stop"]
    del parts.queue.pending[other.id]  # it is answered
    parts.queue.board.clear(1)
    parts.sweep(14.0)
    assert worker.calls == ["stop", "end"]
    assert parts.crew.seats[1].calls == []


def test_busy_after_the_answer_is_over(make: Any) -> None:
    parts = make(timeout=10.0)
    job = parts.add()
    parts.claim(0, job)
    del parts.queue.pending[job.id]
    worker = parts.crew.seats[0]
    parts.sweep(100.0)  # it may have answered just now
    parts.sweep(109.0)
    assert worker.calls == []
    second = parts.add()
    parts.claim(0, second)
    del parts.queue.pending[second.id]
    parts.sweep(111.0)  # another one: it is not the same that lasts
    assert worker.calls == []
    parts.sweep(122.0)
    assert worker.calls == ["kill"]
    assert worker.why == "it was busy for 10 s after its answer was over"
