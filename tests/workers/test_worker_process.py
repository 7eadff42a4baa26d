"""The front's handle on a worker, with the test in the worker's place."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from tinfront.config.model import App
from tinfront.keeper.local import LocalKeeper
from tinfront.workers import frames
from tinfront.workers.child import STOP
from tinfront.workers.jobs import JobQueue
from tinfront.workers.worker_process import STOP_MAX, WorkerProcess


class Crew:
    """Crew and nurse in one, recording."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.nurse = self

    def order(self, kind: int, first: int, second: int) -> bool:
        self.told.append(("order", kind, first, second))
        return True

    def signal(self, pid: int, pidfd: int, number: int) -> None:
        LocalKeeper({}).signal(pid, pidfd, number)

    def report_failure(self, text: str) -> None:
        self.told.append(("failure", text))

    def on_ready(self) -> None:
        self.told.append("ready")

    def on_gone(self, worker: WorkerProcess, status: int | None, detail: str) -> None:
        self.told.append(("gone", status))


class Parts:
    def __init__(self, loop: Any, log: Any) -> None:
        self.loop, self.crew = loop, Crew()
        self.queue = JobQueue(2, 1, loop)
        self.queue.open()
        self.worker = WorkerProcess(0, monotonic() + 60.0, self.crew)
        ends = self.worker.outfit(App("site", "mod:app", threads=2), loop, log.logger, self.queue)
        self.log_end, self.stacks_end = ends[:2]
        self.ends = [socket.socket(fileno=end) for end in ends[2:]]

    def say(self, kind: int, body: bytes = b"") -> None:
        self.ends[1].send(frames.encode_reply(kind, 0, 0.0, None, b"", body))
        self.loop.turn(0.0)


@pytest.fixture
def parts(quiet_loop: Any, log: Any) -> Iterator[Parts]:
    parts = Parts(quiet_loop, log)
    yield parts
    parts.worker.close()
    parts.worker.close()
    for end in parts.ends:
        end.close()
    os.close(parts.log_end)
    os.close(parts.stacks_end)
    parts.queue.close()


def kill(pid: int, number: int) -> Any:
    return ("order", frames.KILL, pid, number)


def test_it_is_ready_when_it_is_born_and_says_so(parts: Parts) -> None:
    worker = parts.worker
    worker.born(42, -1)
    assert not worker.ready
    parts.say(frames.READY)
    assert worker.ready > 0
    assert worker.deadline == 0.0
    parts.say(frames.READY)
    assert parts.crew.told == ["ready"]
    assert worker.log is not None
    assert worker.log.pid == 42
    assert worker.answered  # it has said more than once


def test_it_may_be_faster_than_the_news_of_its_birth(parts: Parts) -> None:
    parts.say(frames.READY)
    assert not parts.worker.ready
    parts.worker.born(42, -1)
    assert parts.worker.ready
    assert parts.crew.told == ["ready"]


def test_what_was_decided_before_its_birth_is_done_then(parts: Parts) -> None:
    parts.worker.stop()
    assert parts.crew.told == []
    parts.worker.born(42, -1)
    assert parts.crew.told == [kill(42, STOP)]


def test_a_violation_before_its_birth(parts: Parts) -> None:
    parts.say(99)
    assert parts.worker.why == "it sent a frame with a broken header"
    parts.worker.born(42, -1)
    assert parts.crew.told == [kill(42, signal.SIGKILL)]


def test_stopping_has_a_deadline(parts: Parts) -> None:
    parts.worker.born(42, -1)
    parts.say(frames.READY)
    parts.worker.stop()
    assert 0 < parts.worker.deadline <= monotonic() + STOP_MAX
    assert parts.worker.leaving


def test_it_is_killed_again_until_it_is_gone(parts: Parts) -> None:
    parts.worker.born(42, -1)
    parts.worker.kill("first")
    parts.worker.kill("second")
    assert parts.worker.why == "first"
    assert parts.worker.deadline <= monotonic()
    assert parts.crew.told == [kill(42, signal.SIGKILL)] * 2


def test_a_broken_one_tells_why(parts: Parts) -> None:
    parts.say(frames.BROKEN, b"Traceback")
    assert parts.crew.told == [("failure", "Traceback")]
    assert parts.worker.leaving


def test_one_that_hangs_up_must_end_soon(parts: Parts) -> None:
    parts.worker.born(42, -1)
    parts.say(frames.READY)
    parts.ends[2].close()
    parts.loop.turn(0.0)
    assert parts.worker.leaving
    assert parts.worker.deadline > monotonic()
    assert parts.crew.told == ["ready"]  # its nursery will tell the rest


def test_an_orphan_is_watched_and_signalled_through_its_pidfd(parts: Parts) -> None:
    pid = os.fork()
    if not pid:
        signal.pause()
        os._exit(0)
    parts.worker.born(pid, os.pidfd_open(pid))
    parts.worker.outlive()
    parts.worker.kill("it was told to")
    parts.loop.until(lambda: parts.crew.told)
    assert parts.crew.told == [("gone", signal.SIGKILL)]


def test_an_orphan_that_is_not_our_child(parts: Parts) -> None:
    pid = os.fork()
    if not pid:
        os._exit(3)
    pidfd = os.pidfd_open(pid)
    os.waitpid(pid, 0)
    parts.worker.born(pid, pidfd)
    parts.worker.outlive()
    parts.worker.signal(signal.SIGKILL)  # it is dead already
    parts.loop.until(lambda: parts.crew.told)
    assert parts.crew.told == [("gone", None)]


@pytest.mark.parametrize("first", [True, False])
def test_an_orphan_without_pidfd_is_gone_with_its_streams(parts: Parts, first: bool) -> None:
    parts.worker.born(42, -1)
    if first:
        parts.worker.outlive()
    parts.ends[1].close()
    parts.loop.turn(0.0)
    if not first:
        parts.worker.outlive()
    assert parts.crew.told == [("gone", None)]


def test_its_log_ends_with_it(parts: Parts, log: Any) -> None:
    parts.worker.born(42, -1)
    os.write(parts.log_end, b"last words\n")
    parts.worker.close()
    assert log.lines == ["[site] pid=42 req=- last words"]


def test_more_threads_than_descriptors_can_be_passed(quiet_loop: Any, log: Any) -> None:
    worker = WorkerProcess(0, monotonic(), Crew())
    with pytest.raises(OSError, match="at most 250 threads, not 251"):
        worker.outfit(App("site", "mod:app", threads=251), quiet_loop, log.logger, JobQueue(1, 1, quiet_loop))
    worker.close()
