"""One app's pools, one after the other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, FakePool
from tinfront.config.model import App
from tinfront.handlers.app import AppHandler
from tinfront.interfaces import IWorkerPool
from tinfront.workers.generations import LEAVING_MAX, Generations

APP = App("demo", "demo:app")


class Pool(FakePool):
    """Starts and stops when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.grace = 30.0
        self.trouble = ""
        self.started = False
        self.booted: Deferred[bool] = Deferred()
        self.ended: Deferred[None] | None = None

    def startService(self) -> None:
        self.started = True

    def when_ready(self) -> Deferred[bool]:
        return self.booted

    def stopService(self) -> Deferred[None]:
        self.ended = self.ended or Deferred()
        return self.ended


def succeed(generations: Generations, grace: float = 10.0) -> Any:
    pool = Pool()
    generations.boot(pool)
    generations.take_over(APP, grace)
    return pool


def test_it_is_a_pool() -> None:
    verifyObject(IWorkerPool, Generations(APP, Pool()))


def test_the_old_one_takes_exchanges_until_the_new_one_takes_over() -> None:
    first, second = Pool(), Pool()
    generations = Generations(APP, first)
    generations.start()
    handler = AppHandler(generations, "/app")
    one, two = FakeExchange(), FakeExchange()
    told: list[bool] = []
    generations.boot(second).addCallback(told.append)
    handler.handle(one)
    assert (first.started, second.started, told) == (True, True, [])
    second.booted.callback(True)
    generations.take_over(APP, 7.0)
    handler.handle(two)
    assert (first.submitted, second.submitted) == ([(one, "/app")], [(two, "/app")])
    assert (first.grace, first.ended is not None) == (7.0, True)
    assert told == [True]


def test_who_took_an_exchange_hears_that_its_client_has_left() -> None:
    first = Pool()
    generations = Generations(APP, first)
    exchange = FakeExchange()
    AppHandler(generations, "").handle(exchange)
    second = succeed(generations)
    exchange.when_gone(exchange)
    assert (first.cancelled, second.cancelled) == ([exchange], [])


def test_an_old_one_is_counted_until_it_has_ended() -> None:
    first = Pool()
    generations = Generations(APP, first)
    second = succeed(generations)
    assert generations.all() == [(2, second), (1, first)]
    assert first.ended
    first.ended.callback(None)
    assert generations.all() == [(2, second)]


def test_who_never_takes_over_ends_at_once() -> None:
    first, second = Pool(), Pool()
    generations = Generations(APP, first)
    generations.boot(second)
    generations.give_up()
    generations.give_up()
    assert (second.grace, second.ended is not None) == (0.0, True)
    assert (generations.current, generations.number, first.ended) == (first, 1, None)
    succeed(generations)
    assert generations.number == 2


def test_not_too_many_finish_at_once() -> None:
    generations = Generations(APP, Pool())
    pools = [generations.current] + [succeed(generations) for _ in range(LEAVING_MAX + 1)]
    assert [pool.grace for pool in pools[:3]] == [0.0, 10.0, 10.0]


def test_all_are_waited_for() -> None:
    first, coming = Pool(), Pool()
    generations = Generations(APP, first)
    second = succeed(generations)
    generations.boot(coming)
    ended: list[object] = []
    generations.stop(3.0).addCallback(ended.append)
    assert [pool.grace for pool in (first, second, coming)] == [3.0, 3.0, 0.0]
    for pool in (first, second, coming):
        assert not ended
        assert pool.ended
        pool.ended.callback(None)
    assert ended


def test_the_current_one_knows_its_files_and_its_size() -> None:
    pool: Any = Pool()
    generations = Generations(APP, pool)
    changed: list[str] = []
    pool.sources = lambda: None
    assert generations.touched()
    pool.sources = lambda: SimpleNamespace(changed=lambda: changed)
    assert not generations.touched()
    changed.append("a.py")
    assert generations.touched()
    pool.workers, pool.resize = 3, lambda count: count
    assert (generations.resize(1), generations.resize(-1)) == (4, 2)
