from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, FakePool
from tinfront.config.model import Route, Server
from tinfront.handlers.app import AppHandler, make
from tinfront.interfaces import IHandler
from tinfront.routing.chain import Parts


@pytest.mark.parametrize(
    ("kind", "pattern", "script_name"),
    [
        ("prefix", "/", ""),
        ("prefix", "/app/", "/app"),
        ("prefix", "/app", "/app"),
        ("exact", "/a", ""),
        ("regex", "^/", ""),
    ],
)
def test_the_pool_gets_the_exchange_and_its_mount(kind: str, pattern: str, script_name: str) -> None:
    pools = {"demo": FakePool(), "other": FakePool()}
    parts = Parts(Route("site", kind, pattern, "app"), Server(), pools)
    handler = make({"app": "demo"}, parts)
    verifyObject(IHandler, handler)
    exchange = FakeExchange()
    handler.handle(exchange)
    assert pools["demo"].submitted == [(exchange, script_name)]
    assert pools["other"].submitted == []


def test_the_pool_hears_of_a_client_that_leaves() -> None:
    pool, exchange = FakePool(), FakeExchange()
    AppHandler(pool, "").handle(exchange)
    exchange.when_gone(exchange)
    assert pool.cancelled == [exchange]
