from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, FakePool
from tinfront.config.model import Route, Server
from tinfront.handlers.app import OPTIONS, AppHandler, make
from tinfront.interfaces import IHandler
from tinfront.routing.chain import Parts

SETTINGS = {row.name: row.default for row in OPTIONS} | {"app": "demo"}


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
    handler = make(SETTINGS, parts)
    verifyObject(IHandler, handler)
    exchange = FakeExchange()
    handler.handle(exchange)
    assert pools["demo"].submitted == [(exchange, script_name)]
    assert pools["other"].submitted == []


def test_the_pool_hears_of_a_client_that_leaves() -> None:
    pool, exchange = FakePool(), FakeExchange()
    AppHandler(pool, "").handle(exchange)
    assert exchange.when_shut(exchange)
    exchange.when_gone(exchange)
    assert pool.cancelled == [("shut", exchange), exchange]


@pytest.mark.parametrize("request_buffering", [True, False])
@pytest.mark.parametrize("response_buffering", [True, False])
def test_buffering_is_the_routes_choice(request_buffering: bool, response_buffering: bool) -> None:
    pool = FakePool()
    parts = Parts(Route("site", "prefix", "/", "app"), Server(), {"demo": pool})
    chosen = {"request_buffering": request_buffering, "response_buffering": response_buffering}
    handler = make({**SETTINGS, **chosen}, parts)
    verifyObject(IHandler, handler)
    handler.handle(FakeExchange())
    assert handler.streams is not request_buffering
    assert pool.unbuffered == [not response_buffering]
