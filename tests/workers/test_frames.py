"""Jobs, replies and orders as bytes: whole, cut anywhere, and broken."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeExchange, make_head
from tinfront.workers import frames
from tinfront.workers.frames import (
    Decoder,
    decode_failure,
    decode_head,
    decode_order,
    encode_job,
    encode_order,
    encode_reply,
)

FRAMES = [
    encode_reply(frames.READY, 0, 0.0, None, b"", b""),
    encode_reply(frames.WHOLE, 1, 1.5, 5, b"200 OK\0A\0b", b"hello"),
    encode_reply(frames.START, 2, 2.5, None, b"200 OK", b""),
    encode_reply(frames.DATA, 2, 2.5, None, b"", b"x" * frames.PIECE_MAX),
    encode_reply(frames.END, 2, 2.5, None, b"", b""),
]
PARSED = [
    (frames.READY, 0, 0.0, -1, b"", b""),
    (frames.WHOLE, 1, 1.5, 5, b"200 OK\0A\0b", b"hello"),
    (frames.START, 2, 2.5, -1, b"200 OK", b""),
    (frames.DATA, 2, 2.5, -1, b"", b"x" * frames.PIECE_MAX),
    (frames.END, 2, 2.5, -1, b"", b""),
]
WIRE = b"".join(FRAMES)


# --- jobs


def parts(message: bytes) -> tuple[tuple[Any, ...], list[str], bytes]:
    header = frames.JOB.unpack_from(message)
    end = frames.JOB.size + header[1]
    return header, message[frames.JOB.size : end].decode("latin-1").split("\0"), message[end:]


def test_a_job_has_its_parts_in_order() -> None:
    exchange = FakeExchange(make_head("POST", "/a/\xe9", {"x-a": "1"}, query="q=1", target="/a/%E9?q=1"), secure=True)
    header, text, body = parts(encode_job(7, exchange, "/a", 4, b"body"))
    assert header == (7, len("\0".join(text)), 4, frames.SECURE)
    assert text[: frames.FIXED] == [
        *("POST", "/a", "/a/\xe9", "q=1", "/a/%E9?q=1", "HTTP/1.1", "demo.test"),
        *("127.0.0.1", "50000", "127.0.0.1", "443", exchange.request_id),
    ]
    assert text[frames.FIXED :] == ["host", "x-a", "demo.test", "1"]
    assert body == b"body"


def test_a_body_beside_the_job_is_announced() -> None:
    header, _, body = parts(encode_job(7, FakeExchange(), "", 100_000, None))
    assert (header[2:], body) == ((100_000, frames.PASSED), b"")


def test_fields_that_no_app_may_see_stay_away() -> None:
    exchange = FakeExchange(make_head(fields={"proxy": "evil", "transfer-encoding": "chunked", "te": "trailers"}))
    assert parts(encode_job(1, exchange, "", -1, b""))[1][frames.FIXED :] == ["host", "te", "demo.test", "trailers"]
    assert "proxy" in exchange.head.fields  # the request itself is not changed


def test_a_request_without_fields() -> None:
    exchange = FakeExchange(make_head())
    exchange.head.fields = {}
    assert len(parts(encode_job(1, exchange, "", -1, b""))[1]) == frames.FIXED


@pytest.mark.parametrize("place", ["path", "target", "query", "authority", "method", "field", "peer", "script"])
def test_a_nul_anywhere_is_refused(place: str) -> None:
    exchange = FakeExchange(make_head())
    if place == "field":
        exchange.head.fields["x-a"] = "a\0b"
    elif place == "peer":
        exchange.peer = ("1.2.3.4\0", 1)
    elif place != "script":
        setattr(exchange.head, place, "/a\0b")
    with pytest.raises(ValueError, match="NUL"):
        encode_job(1, exchange, "/\0" if place == "script" else "", -1, b"")


def test_a_job_has_a_bound() -> None:
    exchange = FakeExchange(make_head(fields={"cookie": "x" * frames.JOB_MAX}))
    with pytest.raises(frames.JobTooLarge):
        encode_job(1, exchange, "", -1, b"")


# --- replies


@given(st.lists(st.integers(1, len(WIRE) - 1), max_size=40))
def test_any_cut_gives_the_same_frames(cuts: list[int]) -> None:
    decoder = Decoder()
    edges = [0, *sorted(set(cuts)), len(WIRE)]
    found = [frame for start, end in pairwise(edges) for frame in decoder.feed(WIRE[start:end])]
    assert found == PARSED
    assert decoder.error is None


def test_byte_by_byte() -> None:
    decoder = Decoder()
    assert [frame for at in range(len(WIRE)) for frame in decoder.feed(WIRE[at : at + 1])] == PARSED


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_garbage_is_an_error_or_frames_and_never_escapes(first: bytes, second: bytes) -> None:
    decoder = Decoder()
    for data in (first, second):
        for kind, *_, head, body in decoder.feed(data):
            assert kind in range(frames.READY, frames.DROPPED + 1)
            assert len(head) + len(body) <= frames.HEAD_MAX + frames.WHOLE_MAX


@pytest.mark.parametrize(
    "header",
    [
        frames.REPLY.pack(frames.HEAD_MAX + frames.WHOLE_MAX + 1, 0, 1, 0.0, -1, frames.WHOLE),
        frames.REPLY.pack(5, 6, 1, 0.0, -1, frames.WHOLE),
        frames.REPLY.pack(5, 5, 1, 0.0, -1, 0),
        frames.REPLY.pack(5, 5, 1, 0.0, -1, frames.DROPPED + 1),
    ],
)
def test_broken_headers_are_errors_for_good(header: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(FRAMES[1] + header) == PARSED[1:2]
    assert decoder.error == "a frame with a broken header"


def test_a_decoder_holds_no_more_than_a_frame() -> None:
    decoder = Decoder()
    largest = encode_reply(frames.WHOLE, 1, 0.0, None, b"", b"x" * (frames.HEAD_MAX + frames.WHOLE_MAX))
    for _ in range(3):
        assert decoder.feed(largest[:-1]) == []
        assert decoder._held <= len(largest)
        assert len(decoder.feed(largest[-1:])) == 1
        assert decoder._pieces == []


# --- heads


def test_a_head() -> None:
    assert decode_head(b"404 Not Found\0A\0b\0X-C\0\0Set-Cookie\0d=\xe9; e") == (
        404,
        "Not Found",
        [("A", "b"), ("X-C", ""), ("Set-Cookie", "d=\xe9; e")],
    )
    assert decode_head(b"200") == (200, None, [])
    assert decode_head(b"200 ") == (200, None, [])


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"20", b"2000", b"100 Continue", b"199 No", b"600 No", b"abc", b"200OK", b"200 O\rK", b"200 O\nK"),
        b"200 OK\0A",
        *(b"200 OK\0\0b", b"200 OK\0A b\0c", b"200 OK\0A:\0c", b"200 OK\0A\0b\0", b"200 OK\0A\xe9\0c"),
        *(b"200 OK\0A\0b\r\nX: y", b"200 OK\0A\0b\nc", b"200 OK\0A\0b\x7f", b"200 OK\0A\0\x01", b"200 OK\0A\r\0b"),
        *(b"200 OK\0Content-Length\0" + b"5", b"200 OK\0TRANSFER-ENCODING\0chunked", b"200 OK\0connection\0close"),
        *(b"200 OK\0Date\0x", b"200 OK\0Server\0x", b"200 OK\0A\0b\0Keep-Alive\0x", b"200 OK\0Upgrade\0h2c"),
    ],
)
def test_heads_that_break_a_rule(raw: bytes) -> None:
    assert decode_head(raw) is None


def test_names_that_only_begin_like_the_servers_pass() -> None:
    assert decode_head(b"200 OK\0Server-Timing\0a\0Dated\0b\0Content-Length-X\0c\0Te-X\0d") is not None


@given(st.binary(max_size=100))
def test_no_head_lets_a_line_end_through(raw: bytes) -> None:
    head = decode_head(raw)
    if head is not None:
        assert not {"\r", "\n", "\0"} & set("".join(name + value for name, value in head[2]) + (head[1] or ""))


def test_failures() -> None:
    assert decode_failure(b"bad-length\0too short") == ("bad-length", "too short")
    assert decode_failure(b"made-up\0text") == ("app-error", "text")
    assert decode_failure(b"\xff") == ("app-error", "")


# --- orders


def test_orders() -> None:
    assert decode_order(encode_order(frames.BORN, 3, 4711)) == (frames.BORN, 3, 4711, "")
    assert decode_order(encode_order(frames.DIED, 4711, -1, "t\xe9xt\ud800")) == (
        frames.DIED,
        4711,
        -1,
        "t\xe9xt\\ud800",
    )
    assert len(encode_order(frames.FAILED, text="\xe9" * frames.ORDER_MAX)) == frames.ORDER_MAX
    assert decode_order(b"short") is None
    assert decode_order(b"") is None


@given(st.binary(max_size=100))
def test_no_order_raises(data: bytes) -> None:
    decode_order(data)


def test_a_claim_that_is_no_number_is_only_a_float() -> None:
    ((_, _, claimed, *_),) = Decoder().feed(encode_reply(frames.WHOLE, 1, math.nan, None, b"", b""))
    assert math.isnan(claimed)
