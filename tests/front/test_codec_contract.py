"""A codec with many streams and real windows, through the real connection, exchanges and outboxes.

The protocol is a toy: frames of ``TYPE STREAM LENGTH LF payload``. It has what HTTP/2 has and HTTP/1 lacks: answers
out of order, windows both ways, resets of one stream, acknowledgements of the codec's own, and a goodbye.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.transports import FAR, HIGH, Client, Front, Later, Producer, read
from tinfront.errors import ProtocolError
from tinfront.front.patience import _stuck
from tinfront.http.message import RequestHead, ResponseHead
from tinfront.interfaces import ICodec
from tinfront.wire.codec import END, RESET, WINDOW, Reply

STREAM_WINDOW = 1000
CREDIT = 2000
"""Body bytes that a client may send on one stream before they are consumed."""

OK = ResponseHead(200, [])


def frame(kind: str, stream: int, payload: bytes = b"") -> bytes:
    return b"%b %d %d\n%b" % (kind.encode(), stream, len(payload), payload)


@implementer(ICodec)
class ToyCodec:
    """See ``ICodec``."""

    multiplexed = True
    raw_bodies = until_close = unread = False

    def __init__(self) -> None:
        self.closing = False
        self.stream_id = 0
        self.held = bytearray()
        self.connection_window = 1 << 40
        self.windows: dict[int, int] = {}
        self.credit: dict[int, int] = {}
        self.bodiless: set[int] = set()

    @property
    def whole_max(self) -> int:
        return min(STREAM_WINDOW, self.connection_window)

    # --- in

    def receive(self, data: bytes) -> list[tuple[int, Any]]:
        self.held += data
        events: list[tuple[int, Any]] = []
        while b"\n" in self.held:
            line, _, rest = bytes(self.held).partition(b"\n")
            kind, number, length = line.split()
            if len(rest) < int(length):
                break
            self.held[:] = rest[int(length) :]
            events.append(self.understand(kind.decode(), int(number), rest[: int(length)]))
        return events

    def understand(self, kind: str, stream: int, payload: bytes) -> tuple[int, Any]:
        if kind == "OPEN":
            self.stream_id = stream
            self.windows[stream] = STREAM_WINDOW
            self.credit[stream] = CREDIT
            method, path, length = payload.decode().split()
            if path == "/malformed":
                return stream, ProtocolError(400, "bad-header")
            if method == "HEAD":
                self.bodiless.add(stream)
            known = None if length == "?" else int(length)
            return stream, RequestHead(method, path, "TOY/1", {"host": "a"}, "a", path, "", known)
        if kind == "DATA":
            if stream not in self.credit:
                return 0, Reply(b"")
            self.credit[stream] -= len(payload)
            if self.credit[stream] < 0:
                return 0, ProtocolError(400, "flow-control")
            return stream, payload
        if kind == "WINDOW":
            if stream:
                self.windows[stream] = self.windows.get(stream, 0) + int(payload)
            else:
                self.connection_window += int(payload)
            return stream, WINDOW
        if kind == "RESET":
            self.over(stream)
            return stream, RESET
        if kind == "PING":
            return 0, Reply(frame("PONG", 0, payload))
        return (stream, END) if kind == "END" else (0, ProtocolError(400, "bad-frame", kind))

    # --- out

    def over(self, stream: int) -> None:
        self.windows.pop(stream, None)
        self.credit.pop(stream, None)

    def send_response(self, stream_id: int, head: ResponseHead, body: bytes) -> bytes:
        data = self.send_head(stream_id, head, stream_id in self.bodiless)
        return data if stream_id in self.bodiless else data + self.send_body(stream_id, body, True)

    def send_head(self, stream_id: int, head: ResponseHead, end: bool) -> bytes:
        data = frame("HEAD", stream_id, b"%d" % head.status)
        if end:
            self.over(stream_id)
            data += frame("END", stream_id)
        return data

    def send_body(self, stream_id: int, data: bytes, end: bool) -> bytes:
        assert len(data) <= self.window(stream_id)
        out = frame("DATA", stream_id, data) if data else b""
        self.windows[stream_id] -= len(data)
        self.connection_window -= len(data)
        if end:
            self.over(stream_id)
            out += frame("END", stream_id)
        return out

    def window(self, stream_id: int) -> int:
        return min(self.windows[stream_id], self.connection_window)

    def consumed(self, stream_id: int, count: int) -> bytes:
        self.credit[stream_id] += count
        return frame("CREDIT", stream_id, b"%d" % count)

    def reset(self, stream_id: int, error: str) -> bytes:
        self.over(stream_id)
        return frame("RESET", stream_id)

    def close(self, error: str) -> bytes:
        return frame("BYE", 0, error.encode())


class ToyClient(Client):
    """Understands what comes back."""

    def __init__(self, front: Front, room: int = FAR, secure: bool = False) -> None:
        super().__init__(front, room, secure)
        front.clients.append(self)
        self.held = b""
        self.bodies: dict[int, bytes] = defaultdict(bytes)
        self.story: list[tuple[str, int]] = []
        self.credits: dict[int, int] = defaultdict(int)
        self.farewell: bytes | None = None

    def news(self) -> bytes:
        data = super().news()
        self.held += data
        while b"\n" in self.held:
            line, _, rest = self.held.partition(b"\n")
            kind, number, length = line.split()
            if len(rest) < int(length):
                break
            payload, self.held = rest[: int(length)], rest[int(length) :]
            self.take(kind.decode(), int(number), payload)
        return data

    def take(self, kind: str, stream: int, payload: bytes) -> None:
        assert self.farewell is None
        if kind == "DATA":
            self.bodies[stream] += payload
        elif kind == "CREDIT":
            self.credits[stream] += int(payload)
        elif kind == "BYE":
            self.farewell = payload
        else:
            self.story.append((kind + payload.decode() if kind == "HEAD" else kind, stream))

    def open(self, stream: int, path: str = "/", length: str = "0", method: str = "GET") -> None:
        self.send(frame("OPEN", stream, f"{method} {path} {length}".encode()))

    def grant(self, stream: int, count: int) -> None:
        self.send(frame("WINDOW", stream, b"%d" % count))


def toy(handle: Any = None, room: int = FAR, **terms: Any) -> tuple[Front, ToyClient]:
    front = Front(handle, codec_for=lambda transport: ToyCodec(), **terms)
    return front, ToyClient(front, room)


def test_it_is_a_codec() -> None:
    verifyObject(ICodec, ToyCodec())


def test_which_codec_is_the_handshakes_choice() -> None:
    front = Front(codec_for=lambda transport: ToyCodec() if transport.get_extra_info("socket") else None)
    assert type(front.connect().connection.codec) is not ToyCodec
    front = Front(codec_for=lambda transport: ToyCodec())
    assert type(front.connect().connection.codec) is ToyCodec


def test_two_streams_are_answered_out_of_order() -> None:
    later = Later()
    front, client = toy(later)
    client.send(frame("OPEN", 1, b"GET /1 0") + frame("OPEN", 3, b"GET /3 0"))
    assert [exchange.head.path for exchange in later.kept] == ["/1", "/3"]
    later.answer(1, b"three")
    later.answer(0, b"one")
    client.news()
    assert client.story == [("HEAD200", 3), ("END", 3), ("HEAD200", 1), ("END", 1)]
    assert client.bodies == {1: b"one", 3: b"three"}
    assert not client.closed
    assert len(front.over) == 2


def test_one_stream_waits_for_its_window_while_another_goes_on() -> None:
    later = Later()
    front, client = toy(later)
    client.open(1)
    client.open(3)
    big = bytes(range(250)) * 20
    later.answer(0, big)
    client.news()
    assert client.bodies[1] == big[:STREAM_WINDOW]
    later.answer(0, b"small")
    client.news()
    assert client.bodies[3] == b"small"
    assert client.story == [("HEAD200", 1), ("HEAD200", 3), ("END", 3)]
    for count in (1, 0, 1999):
        client.grant(1, count)
    assert client.bodies[1] == big[: STREAM_WINDOW + 2000]
    assert len(front.over) == 1
    client.grant(1, 1 << 20)
    assert client.bodies[1] == big
    assert client.story[-1] == ("END", 1)
    assert [exchange.sent for exchange in front.over] == [5, len(big)]


def test_an_empty_window_does_not_spin() -> None:
    later = Later()
    front, client = toy(later)
    client.connection.codec.connection_window = 0
    client.open(1)
    later.answer(body=b"abc")
    front.turn()
    client.news()
    assert client.story == [("HEAD200", 1)]  # the head needs no window
    assert client.bodies[1] == b""
    client.grant(0, 2)
    assert client.bodies[1] == b"ab"
    client.grant(0, 1)
    assert client.bodies[1] == b"abc"
    assert client.story == [("HEAD200", 1), ("END", 1)]


def test_the_connections_window_wakes_all_streams_in_turn() -> None:
    later = Later()
    front, client = toy(later)
    client.connection.codec.connection_window = 0
    for stream in (1, 3, 5):
        client.open(stream)
        later.answer(body=b"x" * 900)
    for _ in range(3):
        client.grant(0, 300)
    assert {stream: len(body) for stream, body in client.bodies.items() if body} == {1: 300, 3: 300, 5: 300}
    client.grant(0, FAR)
    assert all(len(client.bodies[stream]) == 900 for stream in (1, 3, 5))
    assert len(front.over) == 3


def test_a_producer_waits_for_the_window_as_for_the_transport() -> None:
    producer = Producer()
    front, client = toy(lambda exchange: exchange.respond(OK, producer), memory_max=500, file_max=2000)
    client.open(1)
    for _ in range(10):
        producer.outbox.write(b"x" * 400)
    assert producer.told == ["start", "pause"]
    assert front.terms.budget.used > 0
    client.news()
    assert len(client.bodies[1]) == STREAM_WINDOW
    assert _stuck(client.connection)
    client.grant(1, 10_000)
    assert producer.told == ["start", "pause", "resume"]
    assert front.terms.budget.used == 0
    producer.outbox.finish()
    client.news()
    assert client.bodies[1] == b"x" * 4000
    assert client.story[-1] == ("END", 1)


def test_a_filter_that_makes_more_than_the_window() -> None:
    class Doubling:
        def feed(self, data: bytes) -> bytes:
            return data * 2

        def finish(self) -> bytes:
            return b"!" * 2000

    producer = Producer(b"ab" * 600, finish=True)
    front, client = toy(lambda exchange: exchange.respond(OK, producer))
    front.route.response_filters = (lambda exchange, head: Doubling(),)
    client.open(1)
    assert len(client.bodies[1]) == STREAM_WINDOW
    for _ in range(40):
        client.grant(1, 100)
    assert client.bodies[1] == b"ab" * 1200 + b"!" * 2000
    assert client.story[-1] == ("END", 1)
    assert len(front.over) == 1


def test_a_stream_that_the_client_resets() -> None:
    later, gone = Later(), []
    producer = Producer(b"x" * 5000)
    front, client = toy(later)
    client.open(1)
    client.open(3)
    client.open(5)
    later.kept[0].when_gone = gone.append
    later.kept[1].respond(OK, producer)
    client.send(frame("RESET", 1) + frame("RESET", 3))
    assert gone == [later.kept[0]]
    assert producer.told == ["start", "stop"]
    assert [exchange.reason for exchange in front.over] == ["client-gone"] * 2
    later.kept[0].respond(OK, b"late")
    later.answer(2, b"five")
    client.news()
    assert client.bodies[5] == b"five"
    assert not client.closed
    assert not client.connection.outboxes


def test_a_stream_that_is_cut_leaves_the_others() -> None:
    producer, later = Producer(b"abc"), Later()
    front, client = toy(
        lambda exchange: exchange.respond(OK, producer) if exchange.head.path == "/cut" else later(exchange)
    )
    client.open(1, "/cut")
    client.open(3)
    producer.outbox.fail("app-failed")
    later.answer(body=b"fine")
    client.news()
    assert client.story == [("HEAD200", 1), ("RESET", 1), ("HEAD200", 3), ("END", 3)]
    assert not client.closed
    assert [exchange.reason for exchange in front.over] == ["app-failed", ""]


# --- request bodies


def test_a_body_is_credited_as_it_is_taken() -> None:
    bodies: list[bytes] = []
    _, client = toy(lambda exchange: (bodies.append(read(exchange.body)), exchange.respond(OK, b"")))
    client.open(1, length="6000", method="POST")
    client.open(3, length="?", method="POST")
    for _ in range(6):
        client.send(frame("DATA", 1, b"a" * 1000) + frame("DATA", 3, b"b" * 500))
    assert client.credits == {1: 6000, 3: 3000}
    client.send(frame("END", 3) + frame("END", 1))
    assert bodies == [b"b" * 3000, b"a" * 6000]


def test_a_body_that_nobody_takes_yet_holds_up_no_other_stream() -> None:
    waiting: Deferred[Any] = Deferred()
    front, client = toy()
    front.route.request_filters = (lambda exchange: waiting if exchange.head.path == "/slow" else None,)
    client.open(1, "/slow", "3000", "POST")
    client.send(frame("DATA", 1, b"a" * 2000))
    assert client.transport.reading
    assert client.credits[1] == 0
    client.open(3)
    assert client.bodies[3] == b"GET /? 0\n"
    waiting.callback(None)
    client.news()
    assert client.credits[1] == 2000
    client.send(frame("DATA", 1, b"a" * 1000) + frame("END", 1))
    assert client.bodies[1].startswith(b"POST /slow? 3000\n")


def test_a_client_that_sends_without_credit_is_told_goodbye() -> None:
    waiting: Deferred[Any] = Deferred()
    front, client = toy()
    front.route.request_filters = (lambda exchange: waiting,)
    client.open(1, length="9000", method="POST")
    client.send(frame("DATA", 1, b"a" * (CREDIT + 1)))
    assert client.farewell == b"flow-control"
    assert client.closed
    assert [exchange.reason for exchange in front.over] == ["client-gone"]


def test_a_refused_body_costs_the_connection_nothing() -> None:
    front, client = toy()
    front.route.body_limit = 1500
    client.open(1, length="?", method="POST")
    client.send(*[frame("DATA", 1, b"a" * 1000)] * 4)
    assert ("HEAD413", 1) in client.story
    client.open(3)
    assert ("END", 3) in client.story
    assert not client.closed


# --- errors, the codec's own words, and goodbyes


def test_a_malformed_head_is_the_error_of_its_stream() -> None:
    front, client = toy()
    client.open(1, "/malformed")
    client.open(3)
    assert [event for event in client.story if event[0].startswith("HEAD")] == [("HEAD400", 1), ("HEAD200", 3)]
    assert not client.closed
    assert len(front.over) == 2


def test_a_malformed_frame_is_the_end_of_all() -> None:
    later = Later()
    front, client = toy(later)
    client.open(1)
    client.send(frame("NONSENSE", 7))
    assert client.farewell == b"bad-frame"
    assert client.closed
    assert len(front.over) == 1
    later.answer()
    assert client.news() == b""


def test_acknowledgements_go_out_and_are_bounded() -> None:
    later = Later()
    _, client = toy(later, room=0)
    client.open(1)
    ping = frame("PING", 0, b"p" * 1000)
    for _ in range(1000):
        client.send(ping)
    assert client.transport.get_write_buffer_size() < HIGH + 2000
    assert not client.transport.reading
    for _ in range(1000):
        client.read(2000)
    client.transport.deliver()
    client.news()
    assert client.story.count(("PONG", 0)) == 1000
    later.answer(body=b"and one")
    client.news()
    assert client.bodies[1] == b"and one"


def test_draining_lets_all_streams_finish() -> None:
    later = Later()
    _, client = toy(later)
    client.open(1)
    client.open(3)
    client.connection.drain()
    later.answer(1)
    client.news()
    assert not client.closed
    later.answer(0)
    client.news()
    assert client.farewell == b""
    assert client.closed


def test_an_idle_connection_says_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    front, client = toy()
    front.freeze(monkeypatch)
    client.open(1)
    front.pass_time(front.limits.keepalive_timeout + 2)
    client.news()
    assert client.farewell == b""
    assert client.closed


def test_lost_with_many_streams() -> None:
    later, producer = Later(), Producer(b"x" * 5000)
    front, client = toy(
        lambda exchange: later(exchange) if exchange.stream_id % 4 == 1 else exchange.respond(OK, producer)
    )
    for stream in (1, 3, 5, 9):
        client.open(stream)
    client.leave()
    assert len(front.over) == 4
    assert not client.connection.exchanges
    assert not client.connection.outboxes


# --- the sweep


def test_each_stream_is_watched_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Later()
    front, client = toy(later)
    front.freeze(monkeypatch)
    for stream in (1, 3, 5):
        client.open(stream)
    later.answer(0, b"x" * 5000)  # 1 and 3 will be stuck; 5 is the server's to answer
    later.answer(0, b"x" * 5000)
    for _ in range(int(front.limits.send_timeout) + 5):
        front.pass_time(1)
        client.grant(3, 1)
    assert [(exchange.stream_id, exchange.reason) for exchange in front.over] == [(1, "send-timeout")]
    assert ("RESET", 1) in client.story
    client.grant(3, 1 << 20)
    later.answer(0, b"five")
    client.news()
    assert client.bodies[5] == b"five"
    assert len(client.bodies[3]) == 5000


def test_a_stream_that_ends_leaves_the_others_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Later()
    front, client = toy(later)
    front.freeze(monkeypatch)
    client.open(1, length="10", method="POST")
    client.open(3)
    front.pass_time(2)
    later.answer()
    front.pass_time(front.limits.body_rate_grace + 2)
    assert [(exchange.stream_id, exchange.reason) for exchange in front.over] == [(3, ""), (1, "body-too-slow")]


# --- whatever order


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 700)), max_size=60))
def test_any_order_of_answers_windows_and_resets(steps: list[tuple[int, int, int]]) -> None:
    later = Later()
    front, client = toy(later)
    client.connection.codec.connection_window = 2000
    opened = 0
    for what, stream, count in steps:
        if what == 0:
            opened += 1
            client.open(opened)
        elif what == 1 and later.kept:
            later.answer(count % len(later.kept), b"%d" % stream * (count * 5))
        elif what == 2:
            client.grant(min(stream, opened), count)
        elif stream and stream <= opened:
            client.send(frame("RESET", stream))
        front.turn()
    while later.kept:
        later.answer(body=b"last")
    for stream in (*range(1, opened + 1), 0):
        client.grant(stream, 1 << 30)
    assert not client.connection.exchanges
    assert not client.connection.outboxes
    assert len(front.over) == opened
    assert not client.closed
