"""What is told of a pool; with real workers it is in ``test_life``."""

from __future__ import annotations

import os
import threading
from time import monotonic
from types import SimpleNamespace
from typing import Any

from tests.fakes import FakeExchange, make_head
from tinfront.config.model import App
from tinfront.workers.census import census, describe, stack_of, thread_census, thread_stacks


class Worker:
    def __init__(self, seat: int, state: str, why: str = "", worn: str = "") -> None:
        self.seat, self.state, self.why, self.worn = seat, state, why, worn
        self.pid = os.getpid()
        self.ready = monotonic() - 10.0
        self.served = 3


class Crew(list[Any]):
    target = 3
    ends: Any = {"died": 1}  # noqa: RUF012
    recent: Any = ((1.0, 41, "killed by SIGKILL"),)


def test_workers_and_their_requests() -> None:
    now = monotonic()
    slow = SimpleNamespace(exchange=FakeExchange(make_head("GET", "/slow")), sent=now - 5.0, answering=None)
    quick = SimpleNamespace(exchange=FakeExchange(make_head("POST", "/quick")), sent=now - 1.0, answering=object())
    queue: Any = SimpleNamespace(
        claims=lambda: {7: (0, now - 1.0), 8: (1, now - 5.0), 9: (2, now)}, pending={7: quick, 8: slow}
    )
    crew: Any = Crew([Worker(0, "ready"), Worker(1, "ready"), Worker(2, "stopping", worn="max_rss: much")])
    nurse: Any = SimpleNamespace(pid=40, failure="")
    told = census(App("site", "mod:app", threads=2), queue, crew, nurse)
    assert [worker["state"] for worker in told["workers"]] == ["busy", "idle", "stopping"]
    first, second, third = told["workers"]
    assert [(request["path"], request["answering"]) for request in first["requests"]] == [
        ("/slow", False),
        ("/quick", True),
    ]
    assert 4.9 < first["requests"][0]["age"] < 60.0
    assert first["served"] == 3
    assert first["rss"] > 0
    assert second["requests"] == []
    assert third["why"] == "max_rss: much"
    assert (told["target"], told["nursery"], told["ends"]) == (3, 40, {"died": 1})
    assert told["recent"] == [{"at": 1.0, "pid": 41, "reason": "killed by SIGKILL"}]


def test_threads_of_the_front() -> None:
    go = threading.Event()

    def work() -> None:
        go.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    task = SimpleNamespace(exchange=FakeExchange(), claimed=monotonic() - 2.0, answered=False, thread=thread)
    told = thread_census("busy", os.getpid(), [task], "")
    assert told["workers"][0]["requests"][0]["age"] >= 2.0
    text = thread_stacks([task])
    assert text.startswith("GET / req=")
    assert "in work" in text
    go.set()
    thread.join()
    assert stack_of(thread) == ""


def test_a_path_cannot_forge_a_line() -> None:
    exchange = FakeExchange(make_head("GET", "/a\nb\x1b[31m"))
    assert describe(exchange, 1.25) == f"GET /a?b?[31m req={exchange.request_id}, for 1.2 s"
