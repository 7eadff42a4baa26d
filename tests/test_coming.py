"""A new generation, from its start to its taking over."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger

from tests.workers.test_generations import APP, Pool
from tinfront.coming import SAID_MAX, Coming, Witness
from tinfront.workers.generations import Generations


def coming(pools: Generations | None = None) -> tuple[Coming, Any, Witness]:
    pool, witness = Pool(), Witness()
    return Coming(APP, pool, pools, witness), pool, witness


def test_it_boots() -> None:
    clock = Clock()
    new, pool, _ = coming(Generations(APP, Pool()))
    told: list[bool] = []
    new.boot(clock).addCallback(told.append)
    assert (pool.started, told) == (True, [])
    pool.booted.callback(True)
    assert told == [True]
    assert not clock.getDelayedCalls()


def test_it_does_not_come_in_time() -> None:
    clock = Clock()
    new, pool, _ = coming(Generations(APP, Pool()))
    told: list[bool] = []
    new.boot(clock).addCallback(told.append)
    clock.advance(2 * APP.startup_timeout + 5)
    assert told == [False]
    pool.booted.callback(True)  # too late
    assert told == [False]
    assert "it was not ready in time" in new.explain()


def test_why_it_cannot_be_started() -> None:
    new, pool, witness = coming(Generations(APP, Pool()))
    log = Logger(namespace="test", observer=witness)
    log.info("it begins")
    log.error("a traceback\nof two lines")
    for _ in range(SAID_MAX):
        log.error("again")
    pool.trouble = "no module"
    said = new.explain().splitlines()
    assert said[:3] == ["[app:demo] the new one cannot be started: no module", "a traceback", "of two lines"]
    assert len(said) == 2 + SAID_MAX


def test_an_app_that_does_not_run_has_nothing_to_lose() -> None:
    old: Any = Pool()
    new, _, _ = coming(Generations(APP, old))
    assert not new.is_no_loss
    old.ready, old.trouble = False, "broken"
    assert new.is_no_loss
    assert "cannot be started, as before" in new.explain()


def test_it_takes_over_and_is_not_listened_to_any_more() -> None:
    pools = Generations(APP, Pool())
    new, pool, witness = coming(pools)
    new.boot(Clock())
    new.take_over(3.0)
    Logger(namespace="test", observer=witness).error("later")
    assert (pools.current, witness.lines) == (pool, None)


def test_it_is_given_up() -> None:
    pools = Generations(APP, Pool())
    new, pool, _ = coming(pools)
    assert new.give_up({}) is None  # it was never started
    assert pool.ended is None
    new.boot(Clock())
    assert new.give_up({}) is None
    assert pool.ended is not None


def test_the_first_of_its_app_is_given_up() -> None:
    new, pool, _ = coming()
    added = Generations(APP, pool)
    new.boot(Clock())
    assert pool.started
    assert new.give_up({"demo": added}) is added
