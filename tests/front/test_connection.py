from __future__ import annotations

import socket
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from tests.transports import HIGH, Client, Front, Later, MemoryTransport, Producer, replies, statuses
from tinfront.config.model import Limits
from tinfront.front.connection import HELD_MAX
from tinfront.http.message import ResponseHead
from tinfront.interfaces import IConnection, ITransport

GET = b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 5\r\n\r\n"


def test_the_interfaces() -> None:
    client = Front().connect()
    verifyObject(IConnection, client.connection)
    for name in ITransport.names():
        assert callable(getattr(client.transport, name, None)) or name == "set_write_buffer_limits"


def test_a_connection_that_was_never_made_can_be_closed() -> None:
    front = Front()
    connection = Client(front, 0, False).connection
    connection.transport = None
    connection.drain()
    connection.expire(front.now + 1e9)
    connection.connection_lost(None)


# --- many requests at once


def test_thousands_of_pipelined_requests_do_not_recurse() -> None:
    client = Front(limits=Limits(keepalive_requests=1 << 30)).connect()
    assert len(replies(client.send(GET * 5000))) == 5000
    assert sys.getrecursionlimit() < 5000


def test_nor_if_each_is_answered_later() -> None:
    later = Later()
    front = Front(later, Limits(keepalive_requests=1 << 30))
    client = front.connect()
    client.send(GET * 3000)
    for _ in range(3000):
        assert len(later.kept) == 1
        later.answer()
    assert len(replies(client.news())) == 3000
    assert len(front.over) == 3000


def test_nor_if_each_is_a_large_body_that_the_client_takes_at_once() -> None:
    body = b"x" * (2 * HIGH)
    front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), body), Limits(keepalive_requests=1 << 30))
    client = front.connect(room=0)
    client.send(GET * 300)
    client.read()
    for _ in range(300):
        client.read()
    assert len(front.over) == 300
    assert client.transport.reading
    assert len(client.transport.out) > 300 * len(body)


# --- reading stops where it must


def test_reading_pauses_while_too_much_is_pipelined() -> None:
    later = Later()
    front = Front(later, Limits(keepalive_requests=1 << 30))
    client = front.connect()
    client.send(*[GET] * 4000)
    assert not client.transport.reading
    assert len(client.connection.codec.held) <= HELD_MAX + len(GET)
    for _ in range(4000):
        later.answer()
        client.transport.deliver()
    assert client.transport.reading
    assert len(replies(client.news())) == 4000


def test_nothing_is_parsed_while_answers_are_stuck() -> None:
    front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), b"x" * 50_000))
    client = front.connect(room=0)
    client.send(GET * 100)
    assert len(front.over) == 2
    assert client.transport.get_write_buffer_size() < HIGH + 51_000
    assert not client.transport.reading
    client.send(GET * 100)
    assert len(front.over) == 2
    for _ in range(200):
        client.read(100_000)
    assert len(front.over) == 200
    assert client.transport.reading


def test_an_answer_that_comes_while_others_are_stuck_lets_nothing_in() -> None:
    later = Later()
    front = Front(later)
    client = front.connect(room=0)
    client.send(GET)
    client.connection.pause_writing()
    later.answer()
    assert not client.transport.reading
    client.send(GET)
    assert not later.kept
    client.connection.resume_writing()
    client.transport.deliver()
    assert len(later.kept) == 1


def test_pausing_and_resuming_are_balanced() -> None:
    waiting: list[Deferred[Any]] = []

    def ask(exchange: Any) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[-1]

    front = Front()
    front.route.request_filters = (ask,)
    client = front.connect()
    for answer in (None, (ResponseHead(200, [], 2), b"no"), None):
        client.send(POST + b"hel")
        assert not client.transport.reading
        client.transport.waiting.append(b"lo")
        waiting.pop().callback(answer)
        client.transport.deliver()
        if answer is None:
            assert client.transport.reading
            assert statuses(client.news()) == [200]
        else:
            assert client.transport.reading
            break
    assert client.transport.calls.count("pause_reading") == client.transport.calls.count("resume_reading")
    assert client.lingering  # it answered before the body was there


def test_a_body_that_is_whole_while_a_filter_waits_costs_no_connection() -> None:
    waiting: Deferred[Any] = Deferred()
    front = Front()
    front.route.request_filters = (lambda exchange: waiting,)
    client = front.connect()
    client.send(POST + b"hello" + GET)
    waiting.callback((ResponseHead(403, [], 2), b"no"))
    assert statuses(client.news()) == [403, 200]
    assert client.transport.reading


# --- transports that call back at once


class Hasty(MemoryTransport):
    """Tells the connection something in the middle of a write."""

    def __init__(self, front: Front, what: str) -> None:
        super().__init__(front)
        self.what = what

    def write(self, data: bytes) -> None:
        super().write(data)
        what, self.what = self.what, ""
        if what == "lost":
            self.lost = self.closing = True
            self.connection.connection_lost(None)
        elif what == "pause and resume":
            self.connection.pause_writing()
            self.connection.resume_writing()
            self.what = what
        elif what == "pause":
            self.connection.pause_writing()


def hasty(front: Front, what: str) -> Client:
    client = front.connect()
    client.transport = Hasty(front, what)
    client.transport.connection = client.connection
    client.connection.connection_made(client.transport)
    return client


@pytest.mark.parametrize(
    "body", [b"small", b"x" * 200_000, [b"a", b"b"], "producer"], ids=["small", "large", "list", "producer"]
)
def test_the_connection_is_lost_in_the_middle_of_a_write(body: Any) -> None:
    producers = [Producer(b"a", b"b", finish=True) for _ in range(3)]

    def handle(exchange: Any) -> None:
        exchange.respond(ResponseHead(200, []), producers.pop() if body == "producer" else body)

    front = Front(handle)
    client = hasty(front, "lost")
    client.send(GET * 3)
    assert len(front.over) == 1
    assert not client.connection.exchanges
    assert not client.connection.outboxes


def test_a_transport_that_pauses_and_resumes_within_a_write() -> None:
    front = Front(limits=Limits(keepalive_requests=1 << 30))
    client = hasty(front, "pause and resume")
    assert len(replies(client.send(GET * 2000))) == 2000
    assert client.transport.reading


def test_a_transport_that_pauses_within_a_write() -> None:
    front = Front()
    client = hasty(front, "pause")
    assert len(replies(client.send(GET * 3))) == 1
    assert not client.transport.reading
    client.connection.resume_writing()
    assert len(replies(client.news())) == 2
    assert client.transport.reading


# --- the end of the stream


def test_a_client_that_shuts_its_side_still_gets_all_its_answers() -> None:
    later = Later()
    front = Front(later)
    client = front.connect()
    client.send(GET + GET + GET[:20])
    assert client.end() == b""
    assert not client.closed
    later.answer()
    assert not client.closed
    later.answer()
    assert statuses(client.news()) == [200, 200]
    assert client.transport.calls == ["close"]  # no lingering for one who said that nothing more comes
    assert [exchange.status for exchange in front.over] == [200, 200]


def test_an_idle_client_that_ends_is_closed() -> None:
    client = Front().connect()
    client.send(GET)
    client.end()
    assert client.closed


def test_the_end_in_the_middle_of_a_head() -> None:
    front = Front()
    client = front.connect()
    client.send(GET[:20])
    assert client.end() == b""
    assert client.closed
    assert not front.over


def test_the_end_while_a_filter_waits() -> None:
    for data, gone in ((POST, True), (POST + b"hello", False), (GET, False)):
        waiting: Deferred[Any] = Deferred()
        front = Front()
        front.route.request_filters = (lambda exchange, waiting=waiting: waiting,)
        client = front.connect()
        client.send(data)
        if not client.transport.reading:
            client.transport.reading = True  # a transport may find the end without reading
        client.end()
        assert client.closed is gone
        waiting.callback(None)
        assert statuses(client.news()) == ([] if gone else [200])
        assert client.closed
        assert len(front.over) == 1


def test_the_end_while_an_answer_is_stuck() -> None:
    body = b"x" * 200_000
    front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), [body, body]))
    client = front.connect(room=10)
    client.send(GET)
    client.end()
    assert not client.closed
    client.read()
    client.read()
    [reply] = replies(bytes(client.transport.out))
    assert reply.complete
    assert client.closed


def test_the_end_on_tls_is_the_end() -> None:
    later = Later()
    front = Front(later)
    client = front.connect(secure=True)
    client.send(GET)
    client.end()
    assert client.transport.closing
    assert [exchange.reason for exchange in front.over] == ["client-gone"]


@pytest.mark.parametrize("data", [b"", GET[:9], GET, POST, POST + b"hel", POST + b"hello", GET + GET])
def test_the_client_breaks_off(data: bytes) -> None:
    later = Later()
    front = Front(later)
    gone: list[Any] = []
    client = front.connect()
    client.send(data)
    for exchange in later.kept:
        exchange.when_gone = gone.append
    due = len(client.connection.exchanges)
    client.leave()
    assert [(exchange.status, exchange.reason) for exchange in front.over] == [(499, "client-gone")] * due
    assert gone == later.kept
    for exchange in later.kept:
        exchange.respond(ResponseHead(200, []), b"too late")
    assert len(front.over) == due
    assert client.news() == b""


# --- closing


def test_drain_closes_what_is_idle_and_lets_the_rest_finish() -> None:
    later = Later()
    front = Front(later)
    idle, busy, receiving = front.connect(), front.connect(), front.connect()
    busy.send(GET)
    receiving.send(POST)
    for client in front.clients:
        client.connection.drain()
        front.turn()
    assert (idle.closed, busy.closed, receiving.closed) == (True, False, False)
    later.answer()
    [reply] = replies(busy.news())
    assert reply.fields["connection"] == "close"
    assert busy.closed
    receiving.send(b"hello")
    later.answer()
    [reply] = replies(receiving.news())
    assert reply.fields["connection"] == "close"
    assert receiving.closed


def test_what_is_idle_may_ask_once_more_when_the_server_stops() -> None:
    front = Front()
    fresh, asks, silent = front.connect(), front.connect(), front.connect()
    for client in (asks, silent):
        client.send(GET)
    for client in front.clients:
        client.connection.drain(farewell=2.0)
    for client in (fresh, asks):  # their requests were on the way
        [reply] = replies(client.send(GET))
        assert (reply.status, reply.fields["connection"]) == (200, "close")
        assert client.closed
    assert not silent.closed
    assert silent.connection.deadline == front.now + 2.0
    front.now += 2.1
    silent.connection.expire(front.now)
    assert silent.closed


def test_a_cut_answer_is_the_last_thing_sent() -> None:
    producer = Producer(b"abc")
    front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), producer))
    client = front.connect()
    client.send(GET + GET + b"BROKEN")
    producer.outbox.fail("app-failed")
    client.news()
    assert client.transport.out.endswith(b"3\r\nabc\r\n")
    assert len(front.over) == 1
    client.connection.expire(front.now + 1e6)
    assert client.transport.out.endswith(b"3\r\nabc\r\n")


def test_a_cut_answer_to_a_stuck_client_does_not_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    body = [b"x" * 100_000] * 2
    front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), body)).freeze(monkeypatch)
    client = front.connect(room=0)
    client.send(GET + b"GET")
    front.pass_time(2 * front.limits.send_timeout + 5)
    assert client.transport.lost
    assert [exchange.reason for exchange in front.over] == ["send-timeout"]


def test_a_body_that_the_connection_ends_is_cut_by_a_reset() -> None:
    producer = Producer(b"abc")
    front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), producer))
    client = front.connect()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client.transport.socket = ours
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        producer.outbox.fail("app-failed")
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\1\0\0\0\0\0\0\0"
    assert client.transport.calls == ["abort"]


# --- handlers, filters and observers that fail


def test_an_observer_that_fails_costs_nobody_anything() -> None:
    front = Front()

    def fail(exchange: Any) -> None:
        raise RuntimeError("an observer's")

    front.route.observers = (fail, *front.route.observers)
    client = front.connect()
    assert statuses(client.send(GET + GET)) == [200, 200]
    assert len(front.over) == 2


def test_a_handler_that_fails_costs_nobody_else_anything() -> None:
    def fail(exchange: Any) -> None:
        if exchange.head.path == "/fail":
            raise RuntimeError("a handler's")
        exchange.respond(ResponseHead(200, []), b"fine")

    front = Front(fail)
    data = GET + b"GET /fail HTTP/1.1\r\nHost: demo.test\r\n\r\n" + GET
    assert statuses(front.exchange(data)) == [200, 500, 200]
    assert len(front.over) == 3


# --- whatever comes


_noise = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            GET,
            GET * 3,
            POST,
            b"hello",
            b"\r\n\r\n",
            b"\n",
            b"\0",
            b"GET / HTTP/1.1\r\n",
            b"Host: demo.test\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
            b"Content-Length: 3\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"x" * 5000,
        ]
    ),
)


@given(st.lists(_noise, max_size=12), st.integers(0, 3), st.booleans())
def test_no_input_makes_a_connection_raise_hang_or_grow(packets: list[bytes], mode: int, secure: bool) -> None:
    later = Later()
    front = Front(later if mode & 1 else None)
    client = front.connect(room=0 if mode & 2 else 1 << 40, secure=secure)
    for packet in packets:
        client.send(packet)
        assert len(client.connection.codec.held) <= HELD_MAX + 40_000
    opened = len(front.opened)
    while later.kept:
        later.answer()
        opened = max(opened, len(front.opened))
    client.read()
    assert all(exchange.incomplete for exchange in client.connection.exchanges.values())
    if not client.transport.closing and client.transport.reading:
        client.end()
    client.leave()
    assert not client.connection.exchanges
    assert len(front.over) == len({exchange.number for exchange in front.over})
    assert len(front.over) >= len(front.opened)
    assert front.terms.budget.used == 0


_requests = st.lists(
    st.sampled_from(
        [
            GET,
            b"\r\n" + GET,
            b"HEAD /a HTTP/1.1\r\nHost: demo.test\r\n\r\n",
            POST + b"hello",
            CHUNKED + b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\n",
            CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET /%00 HTTP/1.1\r\nHost: demo.test\r\n\r\n",
            b"GET / HTTP/1.1\nHost: demo.test\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: demo.test\r\nConnection: close\r\n\r\n",
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            b"TRACE / HTTP/1.1\r\nHost: demo.test\r\n\r\n",
            b"POST /big HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 3000000\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        ]
    ),
    max_size=6,
)


def story(packets: list[bytes]) -> tuple[list[Any], list[Any], list[Any]]:
    """What came of a stream of requests: answers, what handlers saw, the log."""
    import re

    front = Front()
    client = front.connect()
    for packet in packets:
        client.send(packet)
    out = re.sub(rb"[0-9a-f]{8}-[0-9a-f]+", lambda match: b"#" * 12, bytes(client.transport.out))
    out = re.sub(rb"Content-Length: \d+", b"Content-Length: n", out) if b"#" in out else out
    log = [(exchange.head.target, exchange.status, exchange.reason, exchange.sent > 0) for exchange in front.over]
    return [out], [exchange.head.path for exchange in front.opened], log


@given(_requests, st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_how_requests_are_cut_into_packets_changes_nothing(requests: list[bytes], sizes: list[int]) -> None:
    stream, packets, at = b"".join(requests), [], 0
    while at < len(stream):
        size = sizes[len(packets) % len(sizes)]
        packets.append(stream[at : at + size])
        at += size
    assert story(packets) == story([stream]) == story([stream[at : at + 1] for at in range(len(stream))])


@pytest.mark.parametrize("taken", [True, False])
def test_a_handler_may_take_one_that_shuts_its_side_for_gone(taken: bool) -> None:
    later = Later()
    front = Front(later)
    client = front.connect()
    client.send(GET)
    later.kept[0].when_shut = lambda exchange: taken
    client.connection.eof_received()
    assert [exchange.reason for exchange in front.over] == (["client-gone"] if taken else [])
