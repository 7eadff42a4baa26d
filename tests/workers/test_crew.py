"""Who is started, replaced and ended, with a nurse that only records."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from tinfront.config.model import App
from tinfront.workers import crew as room
from tinfront.workers import frames
from tinfront.workers.child import STOP
from tinfront.workers.crew import Crew
from tinfront.workers.jobs import JobQueue
from tinfront.workers.pool import BackOff


class Nurse:
    def __init__(self) -> None:
        self.back_off = BackOff()
        self.imported = True
        self.ended = False
        self.reachable = True
        self.orders: list[tuple[int, ...]] = []
        self.calls: list[Any] = []

    def begin(self, queue: Any, crew: Any) -> None:
        self.calls.append("begin")

    def start(self) -> None:
        self.calls.append("start")

    def tick(self, now: float) -> None: ...

    def hang_up(self, kill: bool = False) -> None:
        self.calls.append("hang up")
        self.ended = True

    def report_failure(self, text: str) -> None:
        self.calls.append(text)
        self.back_off.failed()

    def order(self, kind: int, first: int = 0, second: int = 0, fds: Any = ()) -> bool:
        self.orders.append((kind, first, second) if kind != frames.FORK else (kind, first))
        return self.reachable


class Pool:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_ready(self) -> None:
        self.told.append("ready")

    def on_trouble(self, why: str) -> None:
        self.told.append(("trouble", why))

    def on_gone(self, worker: Any, reason: str, retry: bool) -> None:
        worker.close()
        self.told.append(("gone", worker.pid, reason, retry))


class Parts:
    def __init__(self, loop: Any, log: Any) -> None:
        self.nurse, self.pool = Nurse(), Pool()
        app = App("site", "mod:app", workers=2, startup_timeout=60.0)
        self.crew = Crew(app, loop, log.logger, self.nurse, self.pool)  # type: ignore[arg-type]
        self.queue = JobQueue(2, 1, loop)
        self.queue.open()
        self.crew.start(self.queue)

    def ready(self, *seats: int) -> None:
        """Have these born and ready."""
        for seat in seats:
            self.crew.on_born(seat, 100 + seat, "", [])
            worker = self.crew.seats[seat]
            assert worker is not None
            worker.on_ready()

    @property
    def forks(self) -> list[int]:
        return [order[1] for order in self.nurse.orders if order[0] == frames.FORK]


@pytest.fixture
def parts(quiet_loop: Any, log: Any) -> Iterator[Parts]:
    parts = Parts(quiet_loop, log)
    parts.crew.fill()
    yield parts
    for worker in parts.crew:
        worker.close()
    parts.queue.close()


def test_all_are_forked_when_the_app_is_imported(quiet_loop: Any, log: Any) -> None:
    parts = Parts(quiet_loop, log)
    parts.nurse.imported = False
    parts.crew.tick(monotonic())
    assert parts.forks == []
    parts.nurse.imported = True
    parts.crew.fill()
    assert parts.forks == [0, 1]
    assert parts.crew.ready == 0
    parts.ready(0)
    assert (parts.crew.ready, parts.pool.told) == (1, ["ready"])
    for worker in parts.crew:
        worker.close()
    parts.queue.close()


def test_the_dead_are_replaced_at_once(parts: Parts, log: Any) -> None:
    parts.ready(0, 1)
    parts.crew.seats[0].streams[0].reads = 5  # type: ignore[union-attr]
    parts.crew.on_died(100, signal.SIGSEGV, "user 1 s")
    assert parts.pool.told[-1] == ("gone", 100, "killed by SIGSEGV, user 1 s", True)
    assert parts.forks == [0, 1, 0]
    assert "worker 100 is gone: killed by SIGSEGV" in log.text
    assert log.levels[-1] == "error"


@pytest.mark.parametrize("claimed", [False, True])
def test_an_exit_with_status_0_is_in_order_if_no_request_was_cut(parts: Parts, log: Any, claimed: bool) -> None:
    parts.ready(0, 1)
    parts.queue.board.ids[0] = 7 if claimed else 0
    parts.crew.on_died(100, 0, "")
    assert dict(parts.crew.ends) == {"died" if claimed else "stopped": 1}
    assert log.levels[-1] == ("error" if claimed else "info")
    assert ("in the midst of a request" in log.text) == claimed


def test_those_who_die_at_the_start_are_replaced_ever_more_slowly(parts: Parts) -> None:
    parts.crew.on_born(0, 100, "", [])
    parts.crew.on_died(100, 256, "")
    assert parts.pool.told == [("gone", 100, "exit status 1", True)]
    assert parts.forks == [0, 1]
    parts.crew.tick(monotonic())
    assert parts.forks == [0, 1]
    parts.nurse.back_off.until = monotonic()
    parts.crew.tick(monotonic())
    assert parts.forks == [0, 1, 0]


def test_those_who_are_not_ready_in_time_are_killed(parts: Parts) -> None:
    parts.ready(1)
    parts.crew.on_born(0, 100, "", [])
    parts.crew.tick(monotonic() + 61.0)
    assert (frames.KILL, 100, signal.SIGKILL) in parts.nurse.orders
    assert (frames.KILL, 101, signal.SIGKILL) not in parts.nurse.orders
    parts.crew.on_died(100, signal.SIGKILL, "")
    assert parts.pool.told[-1][2] == "it was not ready in time, killed by SIGKILL"


def test_a_fork_that_fails(parts: Parts) -> None:
    parts.crew.on_born(0, 0, "[Errno 11] Resource temporarily unavailable", [])
    assert "could not be forked: [Errno 11]" in parts.pool.told[-1][2]
    assert parts.forks == [0, 1]
    parts.nurse.reachable = False
    parts.nurse.back_off.until = 0.0
    parts.crew.tick(monotonic())
    assert parts.crew.seats[0] is None


def test_no_descriptors_left(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(24, "Too many open files")

    parts.crew.on_born(0, 0, "", [])
    parts.nurse.back_off.until = 0.0
    monkeypatch.setattr("tinfront.workers.worker_process.socket.socketpair", fail)
    parts.crew.tick(monotonic())
    assert "sockets cannot be made" in parts.nurse.calls[-1]


def test_reports_of_strangers_are_ignored(parts: Parts) -> None:
    reader, writer = os.pipe()
    for seat, fd in ((99, reader), (-1, writer)):
        parts.crew.on_born(seat, 4711, "", [fd])
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)
    parts.crew.on_died(4711, 9, "")
    assert parts.pool.told == []
    parts.ready(0)
    parts.crew.on_born(0, 4711, "", [])  # a second birth
    assert parts.crew.seats[0].pid == 100  # type: ignore[union-attr]


def test_orphans_serve_until_others_are_ready(parts: Parts, log: Any) -> None:
    parts.ready(0, 1)
    parts.nurse.imported = False
    parts.crew.on_orphaned(True)
    assert "its nursery has died" in log.text
    assert parts.crew.ready == 2
    assert parts.nurse.calls[-1] == "start"
    parts.nurse.imported = True
    parts.crew.fill()
    assert parts.forks == [0, 1, 2, 3]
    parts.ready(2)
    assert [worker.leaving for worker in parts.crew] == [True, True, False, False]


def test_out_of_memory_is_no_reason_to_try_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.ready(0, 1)
    before = room._oom_kills()
    parts.crew._oom_kills = before
    monkeypatch.setattr(room, "_oom_kills", lambda: before + 1)
    parts.crew.on_died(100, signal.SIGKILL, "")
    assert parts.pool.told[-1] == ("gone", 100, "killed by SIGKILL, out of memory", False)
    parts.crew.on_died(101, signal.SIGKILL, "")  # the count has not risen again
    assert parts.pool.told[-1] == ("gone", 101, "killed by SIGKILL", True)


def test_a_late_one_costs_its_jobs_their_second_chance(parts: Parts) -> None:
    parts.ready(0, 1)
    parts.crew.seats[0].overdue = True  # type: ignore[union-attr]
    parts.crew.on_died(100, signal.SIGKILL, "")
    assert parts.pool.told[-1][3] is False


def test_trouble_is_told_if_nobody_is_left(parts: Parts) -> None:
    parts.crew.on_unbootable("ValueError")
    assert parts.pool.told == [("trouble", "ValueError")]
    parts.ready(0)
    parts.crew.on_unbootable("ValueError")
    assert parts.pool.told[1:] == ["ready"]


def test_the_end(parts: Parts, log: Any) -> None:
    parts.ready(0)
    parts.crew.stop()
    assert parts.nurse.orders[-1] == (frames.KILL, 100, STOP)
    parts.crew.on_born(1, 101, "", [])  # one on its way
    assert parts.nurse.orders[-1] == (frames.KILL, 101, STOP)
    parts.crew.end(signal.SIGTERM)
    assert parts.nurse.orders[-2:] == [(frames.KILL, 100, signal.SIGTERM), (frames.KILL, 101, signal.SIGTERM)]
    parts.crew.on_died(100, 0, "")
    assert not parts.crew.ended
    parts.crew.on_died(101, 0, "")
    assert parts.crew.ended
    assert log.levels[-2:] == ["info", "info"]
    parts.crew.tick(monotonic())
    assert parts.forks == [0, 1]


@pytest.mark.parametrize(
    ("status", "text"),
    [(None, ""), (0, "exit status 0"), (3 << 8, "exit status 3"), (9, "killed by SIGKILL"), (139, "killed by SIGSEGV")],
)
def test_statuses_in_words(status: int | None, text: str) -> None:
    assert room._describe(status) == text


@pytest.mark.parametrize("status", [-1, 127, 2**62, 35])
def test_strange_statuses_are_words_too(status: int) -> None:
    assert room._describe(status)
