from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from tinfront.errors import ProtocolError
from tinfront.http.message import RequestHead, ResponseHead
from tinfront.interfaces import ICodec
from tinfront.wire.codec import END, Preamble
from tinfront.wire.h1 import H1Codec
from tinfront.wire.h1_head import HeadLimits, HeadParser

GET = b"GET /%d HTTP/1.1\r\nHost: demo.test\r\n\r\n"
OK = ResponseHead(200, [("X", "y")], 2)


def codec(head_max: int = 32 * 1024) -> H1Codec:
    return H1Codec(HeadParser(HeadLimits()), Preamble(None, "now"), head_max)


def told(events: Any) -> list[tuple[int, Any]]:
    """Events in a form that can be compared."""
    shown: list[tuple[int, Any]] = []
    for stream, event in events:
        if isinstance(event, RequestHead):
            shown.append((stream, f"{event.method} {event.target}"))
        else:
            shown.append((stream, event.reason if isinstance(event, ProtocolError) else event))
    return shown


def post(body: bytes, *lines: bytes, method: bytes = b"POST") -> bytes:
    return b"\r\n".join((method + b" / HTTP/1.1", b"Host: demo.test", *lines, b"", body))


def test_it_is_a_codec() -> None:
    verifyObject(ICodec, codec())


# --- in


def test_one_request_at_a_time() -> None:
    h1 = codec()
    assert told(h1.receive(GET % 1 + GET % 2 + GET % 3)) == [(1, "GET /1")]
    assert h1.receive(b"") == ()
    assert h1.receive(GET % 4) == ()
    for number in range(2, 5):
        h1.send_response(number - 1, OK, b"ok")
        assert told(h1.receive(b"")) == [(number, f"GET /{number}")]
    h1.send_response(4, OK, b"ok")
    assert h1.receive(b"") == ()
    assert not h1.held
    assert not h1.unread


def test_a_body_of_known_length_and_what_is_behind_it() -> None:
    h1 = codec()
    assert told(h1.receive(post(b"hel", b"Content-Length: 5"))) == [(1, "POST /"), (1, b"hel")]
    assert h1.unread
    assert told(h1.receive(b"lo" + GET % 2)) == [(1, b"lo"), (1, END)]
    assert bytes(h1.held) == GET % 2
    h1.send_response(1, OK, b"ok")
    assert told(h1.receive(b"")) == [(2, "GET /2")]


def test_chunks_of_one_packet_are_one_piece() -> None:
    h1 = codec()
    data = post(b"1\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\n" + GET % 2, b"Transfer-Encoding: chunked")
    assert told(h1.receive(data)) == [(1, "POST /"), (1, b"abc"), (1, END)]
    assert bytes(h1.held) == GET % 2


def test_a_body_of_length_0_has_no_end() -> None:
    assert told(codec().receive(post(b"", b"Content-Length: 0"))) == [(1, "POST /")]


def test_empty_lines_before_a_request_are_ignored() -> None:
    h1 = codec()
    assert told(h1.receive(b"\r\n\r\n" + GET % 1)) == [(1, "GET /1")]
    h1 = codec()
    assert h1.receive(b"\r") == ()
    assert h1.receive(b"\n\r\n\r\n") == ()
    assert not h1.held
    assert told(h1.receive(GET % 1)) == [(1, "GET /1")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x16\x03\x01\x02", "tls-on-plain-port"),
        (b"\x00", "bad-request-line"),
        (b"get / HT", "bad-request-line"),
        (b"\rG", "bad-request-line"),
        (b" ", "bad-request-line"),
        (b"GET / HTTP/1.1\n", "bare-lf"),
        (b"GET / HTTP/1.1\r\nHost: a\n", "bare-lf"),
        (b"\n", "bad-request-line"),
    ],
)
def test_what_cannot_become_a_head_is_refused_at_once(data: bytes, reason: str) -> None:
    assert told(codec().receive(data)) == [(1, reason)]
    h1 = codec()
    events: list[Any] = []
    for at in range(len(data)):
        events += h1.receive(data[at : at + 1])
        if events:
            break
    assert told(events) == [(1, reason)]
    assert h1.closing
    assert h1.unread
    assert not h1.held


@pytest.mark.parametrize("split", [1, 7, 1000, 100_000])
def test_heads_have_a_bound(split: int) -> None:
    def refused(data: bytes) -> str:
        h1 = codec(1000)
        for at in range(0, len(data), split):
            events = told(h1.receive(data[at : at + split]))
            assert len(h1.held) <= 1000 + 3 + split
            if events:
                return str(events[0][1])
        return "nothing"

    assert refused(b"GET /" + b"a" * 5000) == "line-too-long"
    assert refused(b"GET / HTTP/1.1\r\nX: " + b"a" * 5000) == "head-too-large"
    whole = b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n"
    assert refused(whole % (b"a" * 2000)) == "head-too-large"
    fits = 1000 - len(whole % b"") + 4
    assert refused(whole % (b"a" * fits)) == "GET /"
    assert refused(whole % (b"a" * (fits + 1))) == "head-too-large"


def test_a_trickled_head_is_searched_once() -> None:
    class Counting(bytearray):
        seen = 0

        def find(self, what: Any, start: Any = 0, end: Any = None) -> int:
            Counting.seen += len(self) - start
            return super().find(what, start)

    h1 = codec()
    h1.held = Counting()
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000 + b"\r\n\r\n"
    events: list[Any] = []
    for at in range(len(data)):
        events += h1.receive(data[at : at + 1])
    assert told(events) == [(1, "GET /")]
    assert 0 < Counting.seen < 15 * len(data)


def test_nothing_behind_a_framing_error_is_understood() -> None:
    h1 = codec()
    events = h1.receive(post(b"5\r\nhello\r\nx\r\n" + GET % 2, b"Transfer-Encoding: chunked"))
    assert told(events)[0] == (1, "POST /")
    assert told(events)[-1] == (1, "bad-chunk")
    assert h1.closing
    assert h1.unread
    assert h1.receive(GET % 3) == ()


@pytest.mark.parametrize(
    "data", [b"BROKEN\r\n\r\n", b"GET / HTTP/1.1\n", post(b"x\r\n", b"Transfer-Encoding: chunked")]
)
def test_an_error_holds_nobody(data: bytes) -> None:
    """A traceback holds frames, and frames what they work for: the connection would wait for the collector."""
    events = codec().receive(data)
    [*_, (_, error)] = events
    assert isinstance(error, ProtocolError)
    assert error.__traceback__ is None
    assert error.__context__ is None


def test_an_error_stands_on_a_stream_of_its_own() -> None:
    h1 = codec()
    h1.receive(GET % 1)
    h1.send_response(1, OK, b"ok")
    assert told(h1.receive(b"GET / HTTP/1.1\n")) == [(2, "bare-lf")]


# --- whether the connection outlives the answer


@pytest.mark.parametrize(
    ("request_head", "line", "closing"),
    [
        (b"GET / HTTP/1.1\r\nHost: a", b"", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive", b"", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE", b"Connection: close\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close", b"Connection: close\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: disclose", b"", False),
        (b"GET / HTTP/1.0", b"Connection: close\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive", b"Connection: keep-alive\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close", b"Connection: close\r\n", True),
    ],
)
def test_persistence(request_head: bytes, line: bytes, closing: bool) -> None:
    for send in ("whole", "head"):
        h1 = codec()
        h1.receive(request_head + b"\r\n\r\n")
        if send == "whole":
            out = h1.send_response(1, OK, b"ok")
        else:
            out = h1.send_head(1, OK, False) + h1.send_body(1, b"ok", True)
        assert out == b"HTTP/1.1 200 OK\r\nDate: now\r\nX: y\r\nContent-Length: 2\r\n" + line + b"\r\nok"
        assert h1.closing is closing
        h1.receive(GET % 2)
        assert bool(h1.held) is closing


def test_an_answer_before_the_body_is_there_is_the_last() -> None:
    h1 = codec()
    h1.receive(post(b"he", b"Content-Length: 5"))
    assert b"Connection: close\r\n" in h1.send_response(1, OK, b"ok")
    assert h1.closing
    assert h1.unread


def test_an_answer_that_overtakes_the_body_closes_behind_itself() -> None:
    h1 = codec()
    h1.receive(post(b"he", b"Content-Length: 5"))
    assert b"Connection: close\r\n" in h1.send_head(1, ResponseHead(200, []), False)
    h1.send_body(1, b"a", True)
    assert h1.closing


def test_closing_may_be_asked_from_outside() -> None:
    h1 = codec()
    h1.receive(GET % 1)
    h1.closing = True
    assert b"Connection: close\r\n" in h1.send_response(1, OK, b"ok")


# --- out


def test_a_frozen_head_is_sent_as_it_is() -> None:
    h1 = codec()
    h1.receive(GET % 1)
    assert h1.send_response(1, OK.copy().freeze(), b"ok") == (
        b"HTTP/1.1 200 OK\r\nDate: now\r\nX: y\r\nContent-Length: 2\r\n\r\nok"
    )


def test_a_phrase_of_ones_own() -> None:
    h1 = codec()
    h1.receive(GET % 1)
    assert h1.send_response(1, ResponseHead(200, [], 0, "Fine"), b"").startswith(b"HTTP/1.1 200 Fine\r\n")


def test_unknown_length_is_chunked() -> None:
    h1 = codec()
    h1.receive(GET % 1)
    out = h1.send_head(1, ResponseHead(200, []), False)
    assert out == b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert not h1.raw_bodies
    assert h1.send_body(1, b"a" * 20, False) == b"14\r\n" + b"a" * 20 + b"\r\n"
    assert h1.send_body(1, b"", False) == b""  # an empty chunk would be the end
    assert h1.send_body(1, b"b", True) == b"1\r\nb\r\n0\r\n\r\n"
    assert told(h1.receive(GET % 2)) == [(2, "GET /2")]


def test_unknown_length_ends_with_the_connection_in_1_0() -> None:
    h1 = codec()
    h1.receive(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert h1.send_head(1, ResponseHead(200, []), False) == b"HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\n"
    assert h1.until_close
    assert h1.raw_bodies
    assert h1.send_body(1, b"a", False) == b"a"
    assert h1.send_body(1, b"", True) == b""
    assert not h1.until_close
    assert h1.closing


def test_raw_bodies_only_while_one_of_known_length_goes_out() -> None:
    h1 = codec()
    h1.receive(GET % 1)
    assert not h1.raw_bodies
    h1.send_head(1, OK, False)
    assert h1.raw_bodies
    assert h1.send_body(1, b"", True) == b""
    assert not h1.raw_bodies


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    h1 = codec()
    h1.receive(GET % 1)
    assert h1.send_response(1, ResponseHead(status, []), b"x").endswith(b"\r\n\r\n")


def test_head_is_answered_without_body_and_forgotten() -> None:
    h1 = codec()
    h1.receive(post(b"", method=b"HEAD"))
    out = h1.send_response(1, OK, b"ok")
    assert out.endswith(b"Content-Length: 2\r\n\r\n")
    h1.receive(GET % 2)
    assert h1.send_response(2, OK, b"ok").endswith(b"\r\n\r\nok")


def test_head_is_forgotten_even_if_what_follows_is_no_request() -> None:
    h1 = codec()
    h1.receive(post(b"", method=b"HEAD"))
    h1.send_head(1, OK, True)
    h1.receive(b"GET / HTTP/1.1\n")
    assert h1.send_response(2, OK, b"ok").endswith(b"\r\n\r\nok")


def test_interim_responses() -> None:
    h1 = codec()
    h1.receive(post(b"", b"Content-Length: 5", b"Expect: 100-continue"))
    assert h1.send_head(1, ResponseHead(100, []), False) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert told(h1.receive(b"hello")) == [(1, b"hello"), (1, END)]
    assert b"Connection" not in h1.send_response(1, OK, b"ok")


def test_a_head_that_cannot_be_sent_leaves_no_trace() -> None:
    h1 = codec()
    h1.receive(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    with pytest.raises(UnicodeEncodeError):
        h1.send_head(1, ResponseHead(200, [("X", "\u20ac")]), False)
    assert (h1.until_close, h1.closing, h1.raw_bodies) == (False, False, False)
    assert h1.send_response(1, OK, b"ok").endswith(b"Connection: keep-alive\r\n\r\nok")


def test_what_http_1_does_not_have() -> None:
    h1 = codec()
    assert h1.window(1) > 1 << 60
    assert h1.consumed(1, 5) == b""
    assert h1.reset(1, "") is None
    assert h1.close("") == b""


# --- any split

_streams = st.lists(
    st.sampled_from(
        [
            GET % 7,
            b"\r\n" + GET % 8,
            post(b"hello", b"Content-Length: 5"),
            post(b"5;x\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n", b"Transfer-Encoding: chunked"),
            post(b"", method=b"HEAD"),
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            b"BROKEN\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"get / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: \n\r\n\r\n",
            post(b"x\r\n", b"Transfer-Encoding: chunked"),
            b"GET / HTT",
        ]
    ),
    max_size=5,
)


def play(packets: list[bytes]) -> list[Any]:
    """All that a codec understands of some packets, each request being answered when it is complete."""
    h1, story, due, failed = codec(), [], False, False
    for packet in packets:
        events = h1.receive(packet)
        while events and not failed:
            for stream, event in told(events):
                if isinstance(event, bytes) and story and isinstance(story[-1][1], bytes):
                    story[-1] = (stream, story[-1][1] + event)
                else:
                    story.append((stream, event))
                failed = isinstance(event, str) and " " not in event
            due = h1._reader is None
            if due and not failed:
                h1.send_response(stream, OK, b"ok")
            events = h1.receive(b"")
        if failed:
            break
    return story


@given(_streams, st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_packets_mean_nothing(requests: list[bytes], sizes: list[int]) -> None:
    stream, packets, at = b"".join(requests), [], 0
    while at < len(stream):
        size = sizes[len(packets) % len(sizes)]
        packets.append(stream[at : at + size])
        at += size
    assert play(packets) == play([stream]) == play([stream[i : i + 1] for i in range(len(stream))])
