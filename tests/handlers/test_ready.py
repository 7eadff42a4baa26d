"""The ready handler."""

from types import SimpleNamespace

import pytest
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, FakePool, make_head
from tinfront.config.option import settings
from tinfront.handlers.ready import OPTIONS, make
from tinfront.interfaces import IHandler


def ask(pools, method="GET", stopping=False):
    parts = SimpleNamespace(pools=pools, stopping=lambda: stopping)
    handler = make(settings(OPTIONS, {"ready": "yes"}), parts)
    assert verifyObject(IHandler, handler)
    exchange = FakeExchange(make_head(method))
    handler.handle(exchange)
    return exchange


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ready(method):
    for pools in ({}, {"a": FakePool(), "b": FakePool()}):
        exchange = ask(pools, method)
        assert exchange.status == 200
        assert exchange.answer[1] == b"ready\n"
        assert exchange.fields["cache-control"] == "no-store"


def test_not_ready():
    exchange = ask({"c": FakePool(False), "a": FakePool(), "b": FakePool(False)})
    assert exchange.status == 503
    assert exchange.answer[1] == b"not ready: b, c\n"
    assert exchange.answer[0].length == len(exchange.answer[1])
    assert exchange.fields["cache-control"] == "no-store"


def test_a_server_that_stops_is_not_ready():
    exchange = ask({"a": FakePool()}, stopping=True)
    assert (exchange.status, exchange.answer[1]) == (503, b"stopping\n")


def test_it_looks_each_time():
    pool = FakePool(False)
    handler = make({"ready": "yes"}, SimpleNamespace(pools={"a": pool}, stopping=bool))
    statuses = []
    for ready in (False, True, False):
        pool.ready = ready
        exchange = FakeExchange()
        handler.handle(exchange)
        statuses.append(exchange.status)
    assert statuses == [503, 200, 503]


def test_other_methods():
    exchange = ask({}, "POST")
    assert exchange.refusal[:2] == (405, "method-not-allowed")
    assert exchange.fields == {"allow": "GET, HEAD"}


def test_there_is_no_other_value():
    with pytest.raises(ValueError, match="yes"):
        settings(OPTIONS, {"ready": "no"})
