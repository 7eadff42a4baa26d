"""Who is asked, and how the answer is told; with real workers it is in ``test_life``."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes import FakeExchange, make_head
from tinfront.config.model import App
from tinfront.workers.witness import NOTHING, Witness

TEXT = "Thread 0x000000000000000b (most recent call first):\n  File app.py"


class Stacks:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def ask(self, now: float, told: Any) -> None:
        self.told.append(told)


class Worker:
    def __init__(self, seat: int) -> None:
        self.seat, self.pid, self.state = seat, 100 + seat, "ready"
        self.threads = [(10, 0xA), (11, 0xB)]
        self.late: dict[int, str] = {}
        self.stacks: Any = Stacks()


@pytest.fixture
def parts(log: Any) -> Any:
    workers = [Worker(0), Worker(1)]
    now = monotonic()
    job = SimpleNamespace(exchange=FakeExchange(make_head("GET", "/a")), sent=now)
    queue: Any = SimpleNamespace(
        claims=lambda: {7: (1, now), 8: (0, now), 9: (3, now), 10: (99, now)}, pending={7: job}
    )
    workers[1].late[9] = "GET /late req=x, for 9.0 s"
    return workers, Witness(App("site", "mod:app", threads=2), queue, workers, log.logger)


def test_each_thread_is_called_by_its_request(parts: Any, log: Any) -> None:
    workers, witness = parts
    witness.log_stacks(workers[0])
    workers[0].stacks.told.pop()(f"Thread 0x0a (most recent call first):\n  File b.py\n\n{TEXT}")
    (line,) = log.lines
    assert line.startswith("[site] worker 100 is at this:\na request that is over:\n  File b.py\n\nGET /a req=")
    witness.log_stacks(workers[1])
    workers[1].stacks.told.pop()(TEXT)
    assert log.lines[1] == "[site] worker 101 is at this:\nGET /late req=x, for 9.0 s:\n  File app.py"


def test_all_are_asked_who_can_answer(parts: Any) -> None:
    workers, witness = parts
    told: list[Any] = []
    assert witness.ask_all(told.append) == 2
    workers[1].stacks.told.pop()("")
    assert told == [{"app": "site", "pid": 101, "state": "ready", "stacks": NOTHING}]
    workers[0].pid = 0
    workers[1].stacks = None
    assert witness.ask_all(told.append) == 0
    witness.log_stacks(workers[1])
