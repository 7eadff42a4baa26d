from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from tests.transports import Front, replies, statuses
from tinfront.config.model import Limits
from tinfront.errors import BodyTooLarge
from tinfront.front.flow import Flow
from tinfront.http.message import ResponseHead
from tinfront.interfaces import IBodyFlow

HEAD = b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 6\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = ResponseHead(200, [])


class Receiver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def feed(self, data: bytes) -> None:
        self.told.append(data)

    def finish(self) -> None:
        self.told.append("finish")

    def lost(self) -> None:
        self.told.append("lost")


class Streaming:
    """A handler that is called on the head and reads at once."""

    def __init__(self, reads: bool = True) -> None:
        self.reads = reads
        self.receiver = Receiver()
        self.exchange: Any = None

    def __call__(self, exchange: Any) -> None:
        self.exchange = exchange
        if self.reads:
            exchange.body.read(self.receiver)


def start(handler: Any, **terms: Any) -> tuple[Front, Any]:
    front = Front(handler, **terms)
    front.route.streams = True
    return front, front.connect()


def test_pieces_pass_as_they_come() -> None:
    handler = Streaming()
    _front, client = start(handler)
    client.send(HEAD)
    assert handler.receiver.told == []
    client.send(b"abc")
    assert handler.receiver.told == [b"abc"]
    client.send(b"def")
    assert handler.receiver.told == [b"abc", b"def", "finish"]
    handler.exchange.respond(OK, b"ok")
    assert statuses(client.news()) == [200]


def test_an_answer_before_the_end_goes_on_reading() -> None:
    handler = Streaming()
    _front, client = start(handler)
    client.send(HEAD + b"abc")

    class Body:
        def start(self, outbox: Any) -> None:
            self.outbox = outbox

        def pause(self) -> None: ...
        def resume(self) -> None: ...
        def stop(self) -> None: ...

    body = Body()
    handler.exchange.respond(ResponseHead(200, []), body)
    said = client.send(b"def")
    assert handler.receiver.told == [b"abc", b"def", "finish"]
    body.outbox.write(b"all")
    body.outbox.finish()
    assert replies(said + client.news())[0].body == b"all"


def test_what_comes_before_the_handler_reads_waits_and_so_does_the_client() -> None:
    handler = Streaming(reads=False)
    _front, client = start(handler)
    client.send(HEAD + b"abcd")
    assert client.transport.reading is False
    handler.exchange.body.read(handler.receiver)
    assert handler.receiver.told == [b"abcd"]
    assert client.transport.reading is True


def test_pause_and_resume() -> None:
    handler = Streaming()
    _front, client = start(handler)
    client.send(HEAD)
    handler.exchange.body.pause()
    assert client.transport.reading is False
    handler.exchange.body.resume()
    assert client.transport.reading is True
    client.send(b"abcdef")
    assert handler.receiver.told == [b"abcdef", "finish"]


def test_a_client_that_leaves_is_told() -> None:
    handler = Streaming()
    front, client = start(handler)
    client.send(HEAD + b"abc")
    client.leave()
    assert handler.receiver.told == [b"abc", "lost"]
    assert [exchange.reason for exchange in front.over] == ["client-gone"]


def test_a_malformed_body_never_ends_well() -> None:
    handler = Streaming()
    _front, client = start(handler)
    said = client.send(CHUNKED + b"3\r\nabc\r\nnope\r\n")
    assert handler.receiver.told == [b"abc", "lost"]
    assert statuses(said) == [400]


def test_too_much_of_it() -> None:
    handler = Streaming()
    front, client = start(handler)
    front.route.body_limit = 4
    said = client.send(CHUNKED + b"6\r\nabcdef\r\n")
    assert handler.receiver.told == ["lost"]
    assert statuses(said) == [413]


def test_an_early_answer_leaves_no_100_continue_behind() -> None:
    def refuse(exchange: Any) -> None:
        exchange.refuse(403, "forbidden")

    _front, client = start(refuse)
    assert statuses(client.send(HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))) == [403]


def test_100_continue_once_the_handler_has_it() -> None:
    handler = Streaming()
    _front, client = start(handler)
    assert (
        client.send(HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"
    )


def test_a_filter_that_waits_first() -> None:
    handler = Streaming()
    front, client = start(handler)
    waiting: Deferred[None] = Deferred()
    front.route.request_filters = (lambda exchange: waiting,)
    client.send(HEAD + b"abcdef")
    assert handler.exchange is None
    waiting.callback(None)
    assert handler.receiver.told == [b"abcdef", "finish"]


@pytest.mark.parametrize("pauses", [False, True])
def test_a_body_that_stops_coming_unless_the_handler_wants_it_so(pauses: bool, monkeypatch: Any) -> None:
    handler = Streaming()
    front, client = start(handler, limits=Limits(body_timeout=10.0))
    front.freeze(monkeypatch)
    client.send(HEAD + b"abc")
    if pauses:
        handler.exchange.body.pause()
    front.pass_time(30.0)
    assert statuses(client.news()) == ([] if pauses else [408])


def test_the_interface() -> None:
    verifyObject(IBodyFlow, Flow(1, lambda hold: None))


def test_the_limit() -> None:
    flow = Flow(3, lambda hold: None)
    flow.feed(b"abc")
    with pytest.raises(BodyTooLarge):
        flow.feed(b"d")


def test_close_twice() -> None:
    receiver = Receiver()
    flow = Flow(3, lambda hold: None)
    flow.read(receiver)
    flow.close()
    flow.close()
    flow.resume()
    flow.pause()
    assert receiver.told == ["lost"]


def test_who_reads_too_late_is_told() -> None:
    receiver = Receiver()
    flow = Flow(3, lambda hold: None)
    flow.feed(b"abc")
    flow.close()
    flow.read(receiver)
    assert receiver.told == ["lost"]
