"""Which nursery comes after which."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from tinfront.config.model import App
from tinfront.workers import frames, nurse
from tinfront.workers.nurse import Nurse
from tinfront.workers.pool import BackOff


class Nursery:
    made: list[Nursery]
    failure: OSError | None = None

    def __init__(self, app: Any, watcher: Any, log: Any, nurse: Any) -> None:
        self.imported = self.told = False
        self.started = self.deadline = self.asked = self.next_ping = 0.0
        self.pid = 4711
        self.calls: list[Any] = []
        self.ended = False
        self.made.append(self)

    def start(self, keeper: Any, queue: Any, preload: bool) -> None:
        if self.failure:
            raise self.failure
        self.preload = preload

    def order(self, *order: Any) -> bool:
        self.calls.append(order)
        return True

    def close(self) -> None:
        self.calls.append("close")

    def kill(self) -> None:
        self.calls.append("kill")

    def reap(self) -> bool:
        return self.ended


class Crew:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, log: Any) -> Any:
    monkeypatch.setattr(nurse, "NurseryProcess", Nursery)
    monkeypatch.setattr(Nursery, "made", [], raising=False)
    crew = Crew()
    minded = Nurse(App("site", "mod:app", startup_timeout=60.0), None, None, log.logger, BackOff())
    minded.begin("queue", crew)  # type: ignore[arg-type]
    return minded, crew, Nursery.made


def test_reports_go_to_the_crew(parts: Any) -> None:
    minded, crew, (nursery,) = parts
    assert not minded.imported
    minded.on_report(nursery, frames.IMPORTED, 0, 0, "", [])
    assert minded.imported
    minded.on_report(nursery, frames.BORN, 1, 42, "", [])
    minded.on_report(nursery, frames.DIED, 42, 9, "0 s", [])
    assert crew.told == [("fill",), ("on_born", 1, 42, "", []), ("on_died", 42, 9, "0 s")]
    assert minded.order(frames.KILL, 42, 9)
    assert nursery.calls == [(frames.KILL, 42, 9, ())]


def test_one_that_cannot_import_is_followed_later(parts: Any, log: Any) -> None:
    minded, crew, (nursery,) = parts
    minded.on_report(nursery, frames.FAILED, 0, 0, "Traceback:\n  x\nValueError: no", [])
    assert crew.told == [("on_unbootable", "ValueError: no")]
    assert log.lines == ["[site] cannot start: Traceback:\n  x\nValueError: no"]
    assert minded.back_off.until > monotonic()
    minded.on_end(nursery)
    assert crew.told[1:] == [("on_orphaned", False)]
    assert not minded.imported


def test_the_same_traceback_is_not_logged_again(parts: Any, log: Any) -> None:
    minded, _, made = parts
    for number, text in enumerate(("Traceback:\nValueError: no", "Traceback:\nValueError: no", "Traceback:\nKeyError")):
        minded.on_report(made[number], frames.FAILED, 0, 0, text, [])
        minded.on_end(made[number])
        minded.start()
    assert log.lines == [
        "[site] cannot start: Traceback:\nValueError: no",
        "[site] cannot start, try 2: ValueError: no",
        "[site] cannot start: Traceback:\nKeyError",
    ]
    assert minded.failure == "Traceback:\nKeyError"
    minded.recovered()
    assert minded.failure == ""


def test_one_that_dies_while_it_imports_is_followed_later(parts: Any) -> None:
    minded, crew, (nursery,) = parts
    minded.on_end(nursery)
    assert crew.told[0][0] == "on_unbootable"
    assert "died while it imported" in crew.told[0][1]
    assert minded.back_off.until > monotonic()


def test_one_that_dies_as_soon_as_it_has_imported_is_followed_later(parts: Any) -> None:
    minded, _, (nursery,) = parts
    minded.on_report(nursery, frames.IMPORTED, 0, 0, "", [])
    minded.on_end(nursery)
    assert minded.back_off.until > monotonic()


def test_one_that_does_not_answer_is_killed_and_its_workers_go_on(parts: Any, log: Any) -> None:
    minded, crew, (nursery,) = parts
    minded.on_report(nursery, frames.IMPORTED, 0, 0, "", [])
    now = monotonic()
    minded.tick(now)
    assert nursery.calls == [(frames.PING,)]
    minded.on_report(nursery, frames.PING, 0, 0, "", [])
    minded.tick(now + 1.0)  # not yet again
    minded.tick(now + nurse.PING_EVERY + 1.0)
    assert nursery.calls == [(frames.PING,)] * 2
    minded.tick(now + nurse.PING_EVERY + 1.0 + nurse.SILENCE)
    assert nursery.calls[2:] == ["kill", "close"]
    assert crew.told[-1] == ("on_orphaned", True)
    assert "does not answer, and is killed" in log.text
    assert minded.pid == 0


def test_one_with_threads_is_followed_by_one_that_imports_nothing(parts: Any, log: Any) -> None:
    minded, _, made = parts
    assert made[0].preload is True
    minded.on_report(made[0], frames.THREADED, 0, 0, "poller (17)", [])
    minded.on_end(made[0])
    minded.start()
    assert made[1].preload is False
    assert "poller (17)" in log.text


def test_a_death_is_told_once(parts: Any) -> None:
    minded, crew, (nursery,) = parts
    minded.on_report(nursery, frames.IMPORTED, 0, 0, "", [])
    minded.on_end(nursery)
    minded.on_end(nursery)
    assert crew.told[1:] == [("on_orphaned", True)]
    minded.on_report(nursery, frames.DIED, 42, 9, "", [])  # of one that is gone nothing is heard
    assert len(crew.told) == 2


def test_there_is_one_at_a_time(parts: Any) -> None:
    minded, _, made = parts
    minded.start()
    assert len(made) == 1


def test_one_that_imports_too_long_is_ended(parts: Any, log: Any) -> None:
    minded, crew, (nursery,) = parts
    minded.tick(nursery.deadline - 1)
    assert nursery.calls == []
    minded.tick(nursery.deadline)
    assert nursery.calls == ["kill", "close"]
    assert crew.told == [("on_unbootable", "the app was not imported within 60 s")]


def test_one_that_cannot_be_started(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    minded, crew, made = parts
    minded.on_end(made[0])
    monkeypatch.setattr(Nursery, "failure", OSError(2, "No such file"))
    minded.start()
    assert "nursery cannot be started" in crew.told[-1][1]
    assert not minded.order(frames.KILL, 1, 9)


def test_the_end(parts: Any) -> None:
    minded, _, (nursery,) = parts
    minded.hang_up()
    assert nursery.calls == ["close"]
    minded.tick(0.0)
    assert not minded.ended
    minded.hang_up(kill=True)
    assert nursery.calls == ["close", "kill"]
    nursery.ended = True
    minded.tick(0.0)
    assert minded.ended
