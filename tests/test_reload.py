"""One reload at a time, and what comes of it. What it does to a server is tried in tests/e2e/test_reload.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tinfront import reload
from tinfront.config.model import Config
from tinfront.config.source import DISK, Source
from tinfront.errors import ConfigError
from tinfront.reload import Outcome, Reloads


class Change:
    """Notes what is done with it."""

    made: ClassVar[list[Change]] = []

    def __init__(self, site: Any, config: Any, outcome: Outcome) -> None:
        self.steps: list[str] = []
        self.booted: Deferred[bool] = Deferred()
        self.outcome = outcome
        if isinstance(config, Exception):
            raise config
        self.made.append(self)

    def prepare(self) -> None:
        self.steps.append("prepare")

    def boot(self) -> Deferred[bool]:
        self.steps.append("boot")
        return self.booted

    def take_over(self) -> None:
        self.steps.append("take over")
        self.outcome.done = True

    def undo(self) -> None:
        self.steps.append("undo")


class Notifier:
    """Notes what the service manager would hear."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def reloading(self) -> None:
        self.told.append("reloading")

    def ready(self, urls: list[str], more: str = "") -> None:
        self.told.append(f"ready{more}")


class Rig:
    """A server that can be asked to reload."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.config: Any = Config("/")
        self.notifier = Notifier()
        assembly = SimpleNamespace(reactor=self.clock, keeper=SimpleNamespace(configuration=lambda: DISK))
        site: Any = SimpleNamespace(assembly=assembly, urls=list)
        notifier: Any = self.notifier
        self.reloads = Reloads(site, self._read, notifier)
        self.outcomes: list[Outcome] = []

    def _read(self, source: Source) -> Config:
        assert source is DISK
        if isinstance(self.config, ConfigError):
            raise self.config
        config: Config = self.config
        return config

    def ask(self) -> None:
        self.reloads.ask().addCallback(self.outcomes.append)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(reload, "Change", Change)
    monkeypatch.setattr(Change, "made", [])
    return Rig()


def test_it_prepares_boots_and_takes_over(rig: Rig) -> None:
    rig.ask()
    rig.clock.advance(0)
    [change] = Change.made
    assert (change.steps, rig.outcomes) == (["prepare", "boot"], [])
    change.booted.callback(True)
    assert change.steps == ["prepare", "boot", "take over"]
    assert [outcome.answer() for outcome in rig.outcomes] == [{"done": True, "notes": []}]
    assert rig.notifier.told == ["reloading", "ready"]


def test_those_that_come_together_are_one_and_those_meanwhile_are_one_more(rig: Rig) -> None:
    for _ in range(3):
        rig.ask()
    rig.clock.advance(0)
    rig.clock.advance(0)
    [first] = Change.made
    for _ in range(3):
        rig.ask()
    rig.clock.advance(0)
    assert Change.made == [first]
    first.booted.callback(True)
    assert len(rig.outcomes) == 3
    rig.clock.advance(0)
    _, second = Change.made
    second.booted.callback(True)
    assert len(rig.outcomes) == 6
    assert not rig.clock.getDelayedCalls()
    rig.ask()
    rig.clock.advance(0)
    assert len(Change.made) == 3


def test_a_bad_file_is_told_with_all_that_is_wrong(rig: Rig) -> None:
    rig.config = ConfigError("one", "two")
    rig.ask()
    rig.clock.advance(0)
    assert Change.made == []
    assert rig.outcomes[0].answer() == {"done": False, "notes": [], "error": "one\ntwo"}
    assert rig.notifier.told[-1].startswith("ready; the last reload has failed")


def test_what_cannot_boot_is_undone(rig: Rig) -> None:
    rig.ask()
    rig.clock.advance(0)
    [change] = Change.made
    change.booted.callback(False)
    assert change.steps == ["prepare", "boot", "undo"]
    assert not rig.outcomes[0].done


@pytest.mark.parametrize("step", ["prepare", "take_over"])
@pytest.mark.parametrize("error", [OSError("no room"), ConfigError("no room")])
def test_what_fails_is_undone(rig: Rig, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception) -> None:
    def fail(_: Change) -> None:
        raise error

    monkeypatch.setattr(Change, step, fail)
    rig.ask()
    rig.clock.advance(0)
    [change] = Change.made
    change.booted.callback(True)
    assert change.steps[-1] == "undo"
    assert rig.outcomes[0].failures == ["no room"]


def test_a_server_that_stops_gives_it_up(rig: Rig) -> None:
    rig.ask()
    rig.clock.advance(0)
    [change] = Change.made
    rig.reloads.close()
    assert change.steps == ["prepare", "boot", "undo"]
    change.booted.callback(True)
    rig.ask()
    rig.clock.advance(0)
    assert [outcome.failures for outcome in rig.outcomes] == [["the server is stopping"]] * 2
    assert Change.made == [change]
