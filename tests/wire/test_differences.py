"""Other strict parsers as witnesses: what they frame differently from us, we must have refused.

h11 and httptools (llhttp) read the same heads and bodies, made by a grammar and then damaged. What we accept they must
accept with the same method, target and body; what only they accept is our strictness, and no harm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinfront.errors import ProtocolError
from tinfront.http.message import RequestHead
from tinfront.wire.codec import END, Preamble
from tinfront.wire.h1 import H1Codec
from tinfront.wire.h1_head import HeadLimits, HeadParser


class Read(NamedTuple):
    """One request as a parser understood it."""

    method: str
    target: str
    body: bytes


def ours(data: bytes) -> list[Read] | None:
    """All complete requests, or None if anything was refused."""
    codec = H1Codec(HeadParser(HeadLimits()), Preamble(None, "now"), 32 * 1024)
    found: list[Read] = []
    head, body = None, b""
    events: Any = codec.receive(data)
    while events:
        for _, event in events:
            if isinstance(event, ProtocolError):
                return None
            if isinstance(event, RequestHead):
                head, body = event, b""
                if event.length != 0:
                    continue
            elif isinstance(event, bytes):
                body += event
                continue
            else:
                assert event is END
            assert head is not None
            found.append(Read(head.method, head.target, body))
            codec.closing = False
            codec._awaiting = False
        events = codec.receive(b"")
    return found


def h11s(data: bytes) -> list[Read] | None:
    connection = h11.Connection(h11.SERVER)
    found: list[Read] = []
    request: Any = None
    body = b""
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                return found
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                found.append(Read(request.method.decode(), request.target.decode(), body))
                if connection.their_state is h11.MUST_CLOSE:
                    return found
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
    except h11.RemoteProtocolError:
        return None


def llhttps(data: bytes) -> list[Read] | None:
    found: list[Read] = []

    class Witness:
        def on_message_begin(self) -> None:
            self.target, self.body = b"", b""

        def on_url(self, url: bytes) -> None:
            self.target += url

        def on_body(self, body: bytes) -> None:
            self.body += body

        def on_message_complete(self) -> None:
            found.append(Read(parser.get_method().decode(), self.target.decode(), self.body))

    parser = httptools.HttpRequestParser(Witness())
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return found
    except httptools.HttpParserError:
        return None
    return found


# --- a grammar, and damage

_method = st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE"])
_target = st.sampled_from(["/", "/a/b?c=d", "/a%20b", "//x", "/?", "http://demo.test/a", "*", "/a:80", "/%41"])
_version = st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2"])
_space = st.sampled_from(["", " ", "\t", " \t "])
_harmless = st.tuples(
    st.sampled_from(["X-A", "Accept", "Cookie", "X_B", "Transfer_Encoding", "TE", "Trailer"]),
    st.sampled_from(["", "a", "a, b", "caf\xe9", "trailers", "chunked", '"x"']),
)
_line = st.one_of(
    _harmless,
    st.tuples(
        st.sampled_from(["Content-Length", "content-length"]),
        st.sampled_from(["0", "3", "5", "05", "+5", "-1", "5, 5", "", "0x5", "5 5", "99999999999999999999"]),
    ),
    st.tuples(
        st.sampled_from(["Transfer-Encoding", "transfer-encoding"]),
        st.sampled_from(
            ["chunked", "Chunked", "gzip", "gzip, chunked", "chunked, chunked", "identity", "", "xchunked"]
        ),
    ),
    st.tuples(st.just("Connection"), st.sampled_from(["keep-alive", "close", "upgrade", "x"])),
    st.tuples(st.just("Host"), st.sampled_from(["demo.test", "demo.test:80", "", "a b"])),
)
_body = st.sampled_from(
    [
        b"",
        b"abc",
        b"hello",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n",
        b"0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"05\r\nhello\r\n000\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"G\r\n",
        b"\r\n",
    ]
)
_sound = st.sampled_from(
    [
        ([], b""),
        ([("Content-Length", "5")], b"hello"),
        ([("Content-Length", "0")], b""),
        ([("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\n\r\n"),
        ([("Transfer-Encoding", "chunked")], b"a;x=y\r\n0123456789\r\n1\r\n!\r\n0\r\nT: u\r\n\r\n"),
        ([("Transfer-Encoding", "chunked")], b"0\r\n\r\n"),
    ]
)
_damage = st.tuples(
    st.sampled_from(["none", "none", "delete", "insert", "replace", "swap"]),
    st.integers(0, 400),
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b",", b"\x0b", b"\x7f", b"\xa0", b"0", b"a", b";"]
    ),
)


@st.composite
def streams(draw: Any) -> bytes:
    data = b""
    for _ in range(draw(st.integers(1, 3))):
        framing, body = draw(_sound) if draw(st.integers(0, 3)) else ([], draw(_body))
        more = draw(st.lists(_harmless if framing or not body else _line, max_size=3))
        version = draw(_version) if draw(st.integers(0, 5)) == 0 else "HTTP/1.1"
        lines = [f"{draw(_method)} {draw(_target)} {version}", "Host: demo.test"]
        lines += [f"{name}:{draw(_space)}{value}{draw(_space)}" for name, value in [*framing, *more]]
        data += "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    for what, at, byte in draw(st.lists(_damage, max_size=2)):
        place = at % (len(data) + 1)
        if what == "delete":
            data = data[:place] + data[place + 1 :]
        elif what == "insert":
            data = data[:place] + byte + data[place:]
        elif what == "replace":
            data = data[:place] + byte + data[place + 1 :]
        elif what == "swap":
            data = data[:place] + data[place : place + 2][::-1] + data[place + 2 :]
    return data


def check(data: bytes) -> None:
    """What we accept, all who accept it must have read alike."""
    mine = ours(data)
    if mine is None:
        return
    for witness in (h11s, llhttps):
        theirs = witness(data)
        if theirs is not None:
            shorter = min(len(mine), len(theirs))
            assert theirs[:shorter] == mine[:shorter], witness.__name__
            assert len(theirs) >= len(mine) or _closes(data), witness.__name__


def _closes(data: bytes) -> bool:
    """Whether a witness may have stopped behind a message that closes the connection, which we leave to the answer."""
    return b"HTTP/1.0" in data or b"close" in data.lower() or b"upgrade" in data.lower()


@given(streams())
@settings(max_examples=400)
def test_what_we_accept_is_read_alike_by_all(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    ],
)
def test_the_witnesses_can_read(data: bytes) -> None:
    assert ours(data)
    assert ours(data) == h11s(data) == llhttps(data)


def with_host(start: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((start, b"Host: a", *lines, b"", body))


@pytest.mark.parametrize(
    "data",
    [
        # Each of these is read by a witness and refused by us, with the reason.
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="a bare LF hides a line from who looks for CRLF"),
        pytest.param(with_host(b"GET / HTTP/1.1", b"X: a", b" b"), id="a folded line is two to some"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", id="two hosts route to two places"),
        pytest.param(with_host(b"TRACE / HTTP/1.1"), id="TRACE reflects cookies"),
        pytest.param(with_host(b"GET /%00 HTTP/1.1"), id="a NUL ends the path for some"),
        pytest.param(with_host(b"GET /.. HTTP/1.1"), id="a path above the root"),
        pytest.param(with_host(b"GET /a\\b HTTP/1.1"), id="a backslash is a slash for some"),
        pytest.param(with_host(b"GET http://b/ HTTP/1.1"), id="two hosts again"),
        pytest.param(with_host(b"POST / HTTP/1.1", b"Content-Length: 5, 5", body=b"hello"), id="a list is no number"),
        pytest.param(
            with_host(b"POST / HTTP/1.1", b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
            id="twice the same",
        ),
        pytest.param(
            with_host(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"0\r\nContent-Length: 5\r\n\r\n"),
            id="a trailer that frames",
        ),
        pytest.param(
            with_host(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"1 \r\na\r\n0\r\n\r\n"),
            id="a space behind a chunk's size is part of it for some",
        ),
        pytest.param(
            with_host(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), id="chunked in HTTP/1.0"
        ),
    ],
)
def test_where_we_are_stricter(data: bytes) -> None:
    assert ours(data) is None
    assert h11s(data) or llhttps(data)
