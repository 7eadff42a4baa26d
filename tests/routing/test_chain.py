from __future__ import annotations

from typing import Any

import pytest
from zope.interface import implementer

from tinfront.config.model import Place, Route
from tinfront.errors import ConfigError
from tinfront.interfaces import IHandler, IObserver, IRequestFilter, IResponseFilter
from tinfront.routing.chain import bind

ROUTE = Route("demo", "prefix", "/", "test", body_limit=7, place=Place("site.ini", 12))


@implementer(IHandler)
class Handler:
    streams = False

    def handle(self, exchange: Any) -> None:
        raise NotImplementedError


@implementer(IRequestFilter, IResponseFilter, IObserver)
class Everything:
    def on_request(self, exchange: Any) -> Any:
        raise NotImplementedError

    def on_response(self, exchange: Any, head: Any) -> Any:
        raise NotImplementedError

    def on_finish(self, exchange: Any) -> None:
        raise NotImplementedError


@implementer(IResponseFilter)
class Answering:
    def on_response(self, exchange: Any, head: Any) -> Any:
        raise NotImplementedError


@implementer(IObserver)
class Watching:
    def on_finish(self, exchange: Any) -> None:
        raise NotImplementedError


def test_requests_go_down_the_chain_and_responses_up() -> None:
    handler, first, second, log = Handler(), Everything(), Answering(), Watching()
    bound = bind(ROUTE, handler, [first, second], [log])
    assert bound.handle == handler.handle
    assert bound.streams is False
    assert bound.body_limit == 7
    assert bound.request_filters == (first.on_request,)
    assert bound.response_filters == (second.on_response, first.on_response)
    assert bound.observers == (log.on_finish, first.on_finish)


def test_no_filters_leave_nothing_to_ask() -> None:
    bound = bind(ROUTE, Handler(), [])
    assert (bound.request_filters, bound.response_filters, bound.observers) == ((), (), ())


def test_filters_may_come_from_a_generator() -> None:
    bound = bind(ROUTE, Handler(), (Everything() for _ in range(2)))
    assert len(bound.request_filters) == len(bound.response_filters) == len(bound.observers) == 2


def refused(handler: Any, *filters: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        bind(ROUTE, handler, filters)
    [finding] = caught.value.findings
    assert finding.startswith("site.ini:12: ")
    return finding


def test_a_handler_must_be_one() -> None:
    assert "IHandler" in refused(object())


def test_a_filter_must_do_something() -> None:
    assert "provides none of" in refused(Handler(), object())


def test_a_broken_promise_is_found_when_the_site_is_built() -> None:
    @implementer(IRequestFilter)
    class Empty:
        pass

    @implementer(IResponseFilter)
    class Narrow:
        def on_response(self, exchange: Any) -> None:
            raise NotImplementedError

    assert "on_request" in refused(Handler(), Empty())
    assert "on_response" in refused(Handler(), Narrow())
