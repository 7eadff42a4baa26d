"""RFC 9112 sections 2.2 and 11: whatever comes, in whatever packets, nobody is hurt.

Streams of sound and damaged requests, and plain noise, go through a whole connection. It must never raise, hang, or
hold more than it may; what leaves must be answers; and packets must mean nothing.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transports import FAR, Client, Front, echo, read, replies
from tests.wire.test_differences import streams
from tinfront.config.model import Limits
from tinfront.front.connection import HELD_MAX
from tinfront.http.message import ResponseHead

SMALL = Limits(line=200, field=150, head=400, fields=6)
_anything = st.one_of(streams(), st.binary(max_size=300), st.tuples(streams(), st.binary(max_size=80)).map(b"".join))
_sizes = st.lists(st.integers(1, 80), min_size=1, max_size=12)


def packets(stream: bytes, sizes: list[int]) -> list[bytes]:
    found, at = [], 0
    while at < len(stream):
        size = sizes[len(found) % len(sizes)]
        found.append(stream[at : at + size])
        at += size
    return found


class Streamed:
    """A handler that takes the body as it comes and answers at its end."""

    def __init__(self, seen: list[tuple[str, bytes, str]]) -> None:
        self.seen = seen

    def __call__(self, exchange: Any) -> None:
        seen, body = self.seen, bytearray()

        class Receiver:
            def feed(self, data: bytes) -> None:
                assert data
                body.extend(data)

            def finish(self) -> None:
                seen.append((exchange.head.target, bytes(body), "whole"))
                exchange.respond(ResponseHead(200, [], 2), b"ok")

            def lost(self) -> None:
                seen.append((exchange.head.target, bytes(body), "lost"))

        if exchange.body is None:
            echo(exchange)
        else:
            exchange.body.read(Receiver())


def check_end(front: Front, client: Client) -> None:
    """All exchanges are over, each was logged once, and what left is their answers."""
    assert not client.connection.exchanges
    assert front.terms.budget.used == 0
    assert len({exchange.number for exchange in front.over}) == len(front.over)
    assert {exchange.number for exchange in front.opened} <= {exchange.number for exchange in front.over}
    assert not [exchange for exchange in front.over if exchange.reason == "internal-error"]
    answered = [exchange for exchange in front.over if exchange.status != 499]
    found = replies(bytes(client.transport.out), *(exchange.head.method for exchange in answered))
    found = [reply for reply in found if reply.status != 100]
    assert [reply.status for reply in found] == [exchange.status for exchange in answered]
    assert all(reply.fields.get("connection") != "close" for reply in found[:-1])


@given(_anything, _sizes, st.booleans(), st.sampled_from([Limits(), SMALL]))
@settings(max_examples=150)
def test_no_input_raises_or_hangs_or_is_held_without_bound(
    stream: bytes, sizes: list[int], streaming: bool, limits: Limits
) -> None:
    seen: list[tuple[str, bytes, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        front = Front(Streamed(seen) if streaming else echo, limits=limits).freeze(patch)
        front.route.streams = streaming
        client = front.connect()
        for packet in packets(stream, sizes):
            client.send(packet)  # it raises if the loop spins
            assert len(client.connection.codec.held) <= max(limits.head, 8192) + len(packet)
        front.pass_time(limits.keepalive_time)
        assert client.transport.lost, "it would hang for ever"
        check_end(front, client)


@given(streams(), _sizes, st.integers(1, 200))
@settings(max_examples=30)
def test_a_client_that_does_not_read_its_answers_is_not_read_either(stream: bytes, sizes: list[int], room: int) -> None:
    stream *= 200
    with pytest.MonkeyPatch.context() as patch:
        front = Front().freeze(patch)
        client = front.connect(room=room)
        most = 0
        for packet in packets(stream, [size * 200 for size in sizes]):
            client.send(packet)
            if client.transport.closing or not client.transport.reading:
                break
            most = max(most, len(client.connection.codec.held), len(client.transport.buffer))
        assert most <= 2 * HELD_MAX + 80 * 200
        front.pass_time(front.limits.keepalive_time)
        assert client.transport.lost


def story(stream: list[bytes], streaming: bool) -> tuple[bytes, list[Any], list[Any]]:
    """What came of it: the bytes that left, what handlers saw, the log."""
    bodies: list[Any] = []

    def seeing(exchange: Any) -> None:
        bodies.append((exchange.head.target, exchange.head.fields, exchange.body and read(exchange.body)))
        echo(exchange)

    front = Front(Streamed(bodies) if streaming else seeing)
    front.route.streams = streaming
    client = front.connect(room=FAR)
    client.send(*stream)
    client.leave()
    out = re.sub(rb"[0-9a-f]{8}-[0-9a-f]+", b"#", bytes(client.transport.out))
    out = re.sub(rb"Content-Length: \d+", b"Content-Length: n", out)
    log = [(exchange.head.method, exchange.head.target, exchange.status, exchange.reason) for exchange in front.over]
    if streaming:  # how much came before it broke off depends on packets
        bodies = [(target, how, body if how == "whole" else b"") for target, body, how in bodies]
    return out, bodies, log


@given(_anything, _sizes, st.booleans())
@settings(max_examples=150)
def test_packets_mean_nothing(stream: bytes, sizes: list[int], streaming: bool) -> None:
    whole = story([stream], streaming)
    assert story(packets(stream, sizes), streaming) == whole
    assert story(packets(stream, [1]), streaming) == whole


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"5\r\nhello\r\n", "client-gone"),
        (b"5\r\nhello\r\n0\r\n", "client-gone"),
        (b"5\r\nhello\r\n0\r\nX: y\r\n", "client-gone"),
        (b"5\r\nhel", "client-gone"),
        (b"5\r\nhello\r\nx\r\n", "bad-chunk"),
        (b"5\r\nhelloo\r\n0\r\n\r\n", "bad-chunk"),
        (b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n", "bad-trailer"),
        (b"5\r\nhello\r\n0\r\n bad\r\n\r\n", "bad-trailer"),
    ],
)
def test_a_chunked_body_that_breaks_off_reaches_no_handler_as_a_whole_one(
    body: bytes, reason: str, streaming: bool
) -> None:
    seen: list[tuple[str, bytes, str]] = []
    front = Front(Streamed(seen))
    front.route.streams = streaming
    client = front.connect()
    data = b"POST / HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    for packet in (data[:-3], data[-3:]):
        client.send(packet)
    if not client.closed:
        client.end()
    assert [exchange.reason for exchange in front.over] == [reason]
    assert [how for _, _, how in seen] == (["lost"] if streaming else [])
    assert b"200 OK" not in client.transport.out
    assert client.closed
