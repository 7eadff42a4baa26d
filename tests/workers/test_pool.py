"""What both kinds of pools share."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from tinfront.config.model import App
from tinfront.workers import pool as room
from tinfront.workers.pool import BackOff, Pool


class Simple(Pool):
    """A pool that is ready and ended when the test says so."""

    is_ready = False
    ended = False
    broken = 0
    begun = 0
    sweeps = 0

    @property
    def ready(self) -> bool:
        return self.is_ready

    def _begin(self) -> None:
        self.begun += 1

    def _sweep(self, now: float) -> None:
        self.sweeps += 1
        if self.broken:
            self.broken -= 1
            raise RuntimeError("on purpose")

    def _advance_stop(self, now: float) -> bool:
        return self.ended


@pytest.fixture
def pool(quiet_loop: Any, log: Any) -> Simple:
    return Simple(App("site", "mod:app"), quiet_loop, log.logger, quiet_loop.call_soon_threadsafe)


def test_waits_double_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "monotonic", lambda: 100.0)
    back_off = BackOff()
    assert back_off.until == 0.0
    waits = []
    for _ in range(12):
        back_off.failed()
        waits.append(back_off.until - 100.0)
    assert waits[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert waits[-2:] == [30.0, 30.0]
    assert back_off.retry_after == 30
    back_off.succeeded()
    back_off.failed()
    assert back_off.until == pytest.approx(100.1)
    assert back_off.retry_after == 1


def test_it_refuses_until_it_is_started(pool: Simple) -> None:
    assert pool._refusal == (503, "app-not-ready", "the pool is not running")


def test_it_ticks_until_it_has_ended(pool: Simple, quiet_loop: Any, log: Any) -> None:
    pool.broken = 2
    pool.startService()
    assert (pool.begun, pool._refusal) == (1, None)
    quiet_loop.until(lambda: pool.sweeps >= 3)  # a bug in one does not end them
    assert log.text.count("a bug in the pool") == 2
    stopped: list[Any] = []
    pool.stopService().addCallback(stopped.append)
    assert pool._refusal is not None
    assert pool._refusal[1] == "stopping"
    before = pool.sweeps
    quiet_loop.until(lambda: pool.sweeps > before + 2)
    assert not stopped
    pool.ended = True
    quiet_loop.until(lambda: stopped)
    assert not [call for _, _, call in quiet_loop._calls if call.function is not None]


def test_stopping_twice_is_stopping_once(pool: Simple, quiet_loop: Any) -> None:
    pool.startService()
    first = pool.stopService()
    pool.ended = True
    assert pool.stopService() is first
    quiet_loop.until(lambda: first.called)


def test_who_waits_for_readiness_is_told(pool: Simple, quiet_loop: Any) -> None:
    told: list[bool] = []
    pool.when_ready().addCallback(told.append)
    assert pool._shut("ValueError: no") == (503, "app-not-ready", "site cannot be started: ValueError: no")
    assert (told, pool.trouble) == ([False], "ValueError: no")
    pool.when_ready().addCallback(told.append)
    assert told == [False, False]
    pool.is_ready = True
    pool._open()
    assert (pool.trouble, pool._refusal) == ("", None)
    pool.when_ready().addCallback(told.append)
    assert told == [False, False, True]


def test_who_waits_when_it_stops_is_told_too(pool: Simple, quiet_loop: Any) -> None:
    told: list[bool] = []
    pool.startService()
    pool.when_ready().addCallback(told.append)
    pool.ended = True
    stopped = pool.stopService()
    assert told == [False]
    quiet_loop.until(lambda: stopped.called)
    pool._open()
    assert pool._refusal is not None  # what was about to start does not open it again


def test_deadlines_are_numbers(pool: Simple) -> None:
    pool.ended = True
    before = monotonic()
    pool.stopService()
    assert before <= pool._stop_began <= monotonic()
