"""The threads, and their one way to the front."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeExchange
from tinfront.workers import voices
from tinfront.workers.thread_crew import LOG_MAX, STUCK_MAX, Handover, LogRelay, ThreadCrew
from tinfront.workers.thread_replies import Task


class Pool:
    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.freed: list[Task] = []

    def on_answer(self, *answer: Any) -> None:
        self.answers.append(answer)

    def on_free(self, task: Task) -> None:
        self.freed.append(task)


def make(app: Callable[..., Any], loop: Any, count: int = 2, log: Any = None) -> tuple[ThreadCrew, Pool]:
    pool = Pool()
    handover = Handover(loop.call_soon_threadsafe, lambda: None)
    crew = ThreadCrew("crew", count, handover, LogRelay(handover, log, "site"), pool)
    crew._app = app
    crew.start()
    return crew, pool


def end(crew: ThreadCrew, loop: Any) -> None:
    crew.stop()
    loop.until(lambda: not len(crew))


def test_many_calls_need_one_wake_up() -> None:
    wakes: list[Any] = []
    made: list[int] = []
    handover = Handover(wakes.append, lambda: None)
    for number in range(5):
        handover.post(made.append, (number,))
    assert len(wakes) == 1
    wakes.pop()()
    assert made == [0, 1, 2, 3, 4]
    handover.post(made.append, (5,))
    assert len(wakes) == 1


def test_what_comes_meanwhile_waits_for_the_next_turn() -> None:
    wakes: list[Any] = []
    made: list[str] = []
    handover = Handover(wakes.append, lambda: None)
    handover.post(lambda: (made.append("first"), handover.post(made.append, ("second",))))
    wakes.pop()()
    assert made == ["first"]
    wakes.pop()()
    assert made == ["first", "second"]


def test_one_broken_call_does_not_hold_up_the_others() -> None:
    wakes: list[Any] = []
    made: list[str] = []
    handover = Handover(wakes.append, lambda: made.append("error"))
    handover.post(lambda: 1 / 0)
    handover.post(made.append, ("second",))
    wakes.pop()()
    assert made == ["error", "second"]


def test_nothing_is_lost_between_threads(quiet_loop: Any) -> None:
    made: list[int] = []
    handover = Handover(quiet_loop.call_soon_threadsafe, lambda: None)

    def post() -> None:
        for number in range(2000):
            handover.post(made.append, (number,))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    quiet_loop.until(lambda: len(made) == 8000)
    for thread in threads:
        thread.join()
    assert sorted(made) == sorted(list(range(2000)) * 4)


def test_a_front_that_does_not_listen_any_more() -> None:
    wakes: list[Any] = []
    handover = Handover(wakes.append, lambda: None)
    handover.close()
    handover.post(print)
    assert wakes == []


def test_a_flood_of_words_has_a_bound(quiet_loop: Any, log: Any) -> None:
    relay = LogRelay(Handover(quiet_loop.call_soon_threadsafe, lambda: None), log.logger, "site")
    relay.report()
    for number in range(LOG_MAX + 5):
        relay.emit("e", "id", str(number))
    quiet_loop.until(lambda: len(log.lines) == LOG_MAX)
    relay.report()
    assert log.lines[-1] == "[site] 5 log records were dropped"
    relay.emit("i", "id", "again")
    quiet_loop.until(lambda: log.lines[-1] == f"[site] pid={os.getpid()} req=id again")


def test_what_an_app_prints_is_logged_with_its_request(
    quiet_loop: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        print("printed")
        print("trouble", file=sys.stderr)
        print("unfinished", end="")
        start_response("200 OK", [])
        return [b""]

    monkeypatch.setattr(voices, "_speakers", {})  # without the threads that other tests have left behind
    before = (sys.stdout, sys.stderr)
    crew, _ = make(app, quiet_loop, log=log.logger)
    exchange = FakeExchange()
    crew.run(Task(exchange, "", 0.0))
    where = f"[site] pid={os.getpid()} req={exchange.request_id}"
    quiet_loop.until(lambda: len(log.lines) == 3)
    assert log.lines == [f"{where} printed", f"{where} trouble", f"{where} unfinished"]
    assert log.levels == ["info", "error", "info"]
    end(crew, quiet_loop)
    assert (sys.stdout, sys.stderr) == before


def test_what_an_app_prints_at_import_is_logged(
    quiet_loop: Any, log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "talkative.py").write_text("print('hello', end='')\ndef application(environ, start_response): ...\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    handover = Handover(quiet_loop.call_soon_threadsafe, lambda: None)
    crew = ThreadCrew("crew", 1, handover, LogRelay(handover, log.logger, "site"), Pool())
    loaded: list[str] = []
    crew.load("talkative:application", [str(tmp_path)], loaded.append)
    quiet_loop.until(lambda: loaded)
    sys.modules.pop("talkative", None)
    assert loaded == [""]
    assert log.lines == [f"[site] pid={os.getpid()} req=- hello"]


def test_tasks_are_run_and_freed(quiet_loop: Any, log: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("X-Accel-Buffering", "no")])
        environ["wsgi.errors"].write("unfinished")
        return [b"whole"] if environ["PATH_INFO"] == "/" else iter([b"a", b"b"])

    crew, pool = make(app, quiet_loop, log=log.logger)
    whole = Task(FakeExchange(), "", 0.0)
    crew.run(whole)
    quiet_loop.until(lambda: pool.answers and log.lines)
    assert pool.answers[0][0] is whole
    assert pool.freed == []
    assert log.lines == [f"[site] pid={os.getpid()} req={whole.exchange.request_id} unfinished"]
    streamed = Task(FakeExchange(), "", 0.0)
    streamed.exchange.head.path = "/stream"
    crew.run(streamed)
    quiet_loop.until(lambda: pool.freed)
    assert pool.freed == [streamed]
    end(crew, quiet_loop)


def test_a_task_that_was_taken_back_does_not_run(quiet_loop: Any) -> None:
    ran: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        ran.append(environ["tinfront.request_id"])
        start_response("200 OK", [])
        return [b""]

    crew, pool = make(app, quiet_loop, 1)
    first, second = Task(FakeExchange(), "", 0.0), Task(FakeExchange(), "", 0.0)
    first.forget()
    crew.run(first)
    crew.run(second)
    quiet_loop.until(lambda: pool.answers)
    assert ran == [second.exchange.request_id]
    end(crew, quiet_loop)


def test_the_stuck_are_replaced_up_to_a_bound(quiet_loop: Any) -> None:
    go = threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        go.wait(20)
        start_response("200 OK", [])
        return [b""]

    crew, pool = make(app, quiet_loop, 1)
    for number in range(STUCK_MAX + 1):
        task = Task(FakeExchange(), "", 0.0)
        crew.run(task)
        quiet_loop.until(lambda task=task: task.thread is not None)
        assert crew.able == 1
        assert task.thread is not None
        crew.give_up(task.thread)
        crew.give_up(task.thread)
        assert len(crew.stuck) == number + 1
    assert crew.able == 0
    go.set()
    quiet_loop.until(lambda: not crew.stuck)
    assert len(pool.answers) == STUCK_MAX + 1
    end(crew, quiet_loop)
