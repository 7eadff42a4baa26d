"""Other parsers as witnesses: what they frame differently from us, we must have refused, or it is explained here.

h11, llhttp and gunicorn's parser read the same streams: sound requests, then damaged at random places by what is
known to confuse. As long as we accept, each of them must have read the same methods, targets, fields and bodies, and
must see the end of each request where we see it. What only they accept is our strictness, and no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.witnesses import WITNESSES, Reading, gunicorns, h11s, ours

# --- sound requests, and damage

_HOST = b"Host: demo.test\r\n"
SEEDS = (
    b"GET / HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET /a/b?c=d HTTP/1.1\r\n" + _HOST + b"Accept: a, b\r\nCookie: x=y\r\nX-Empty:\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + _HOST + b"Accept: a\r\nReferer: /\r\nCookie: x=y\r\n\r\n",
    b"HEAD //x HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET http://demo.test/a HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"DELETE /%41 HTTP/1.1\r\n" + _HOST + b"Connection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + _HOST + b"Content-Length: 5\r\n\r\nhello",
    b"PUT / HTTP/1.1\r\n" + _HOST + b"Content-Length: 0\r\nTE: trailers\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + _HOST + b"Content-Length: 34\r\n\r\nGET /in HTTP/1.1\r\nHost: body.test\r\n",
    b"POST / HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n"
    + _HOST
    + b'Transfer-Encoding: chunked\r\n\r\na;x="y"\r\n0123456789\r\n1\r\n!\r\n0\r\nT: u\r\n\r\n',
    b"POST / HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\nTrailer: T\r\n\r\n0\r\n\r\n",
)
WORDS = (
    *(bytes((code,)) for code in b'\r\n\0 \t:,;+-_x05aG"\\/\x0b\x0c\x7f\x85\xa0\xff'),
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\n ",
    b"0x",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length : 5\r\n",
    b"Content_Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding\r\n",
    b"Host: other.test\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Cookie: b=c\r\n",
    b"Referer: /\r\n",
    b"\r\nCookie: ",
    b"identity",
    b"99999999999999999999",
    b"FFFFFFFFFFFFFFFFF",
    b"HTTP/1.0",
    b"GET /2 HTTP/1.1\r\n",
)
HOW = ("delete", "insert", "replace", "double", "swap", "cut")


def damaged(data: bytes, how: str, at: int, word: bytes) -> bytes:
    place = at % (len(data) + 1)
    before, after = data[:place], data[place:]
    if how == "delete":
        return before + after[1:]
    if how == "insert":
        return before + word + after
    if how == "replace":
        return before + word + after[len(word) :]
    if how == "double":  # a line, with what stands before it on it
        line = data.find(b"\n", place) + 1 or len(data)
        return data[:line] + data[data.rfind(b"\n", 0, place) + 1 : line] + data[line:]
    if how == "swap":
        return before + after[:2][::-1] + after[2:]
    return before + after[len(word) :]


@st.composite
def streams(draw: Any) -> bytes:
    data = b"".join(draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=3)))
    wound = st.tuples(st.sampled_from(HOW), st.integers(0, 500), st.sampled_from(WORDS))
    for how, at, word in draw(st.lists(wound, max_size=4)):
        data = damaged(data, how, at, word)
    return data


# --- the comparison

Explained = Callable[[bytes], bool]

EXPLAINED: dict[str, tuple[Any, Explained]] = {
    "h11 closes behind HTTP/1.0, whatever Connection says": (h11s, lambda data: b"HTTP/1.0" in data),
    "gunicorn keeps HTTP/1.0 alive only if the first Connection says nothing else": (
        gunicorns,
        lambda data: b"HTTP/1.0" in data,
    ),
}
"""Differences that stay: why, whose, and how to know them."""


def difference(data: bytes, witness: Callable[[bytes], Reading]) -> str:
    """What the witness reads otherwise than we do, as far as we accept; "" for nothing."""
    mine, theirs = ours(data), witness(data)
    shorter = min(len(mine.requests), len(theirs.requests))
    if mine.requests[:shorter] != theirs.requests[:shorter]:
        return f"{witness.__name__} reads {theirs.requests}, we {mine.requests}"
    if mine.end == theirs.end == "more" and len(mine.requests) != len(theirs.requests):
        return f"{witness.__name__} sees {len(theirs.requests)} requests, we {len(mine.requests)}"
    if mine.end == "more" and theirs.end == "closed" and len(theirs.requests) < len(mine.requests):
        return f"{witness.__name__} ends behind {len(theirs.requests)} requests, we go on"
    return ""


def check(data: bytes) -> None:
    for witness in WITNESSES:
        found = difference(data, witness)
        if found and not any(whose is witness and known(data) for whose, known in EXPLAINED.values()):
            raise AssertionError(f"{found}: {data!r}")


@given(streams())
@settings(max_examples=400)
def test_what_we_accept_is_read_alike_by_all(data: bytes) -> None:
    check(data)


def test_a_difference_is_seen() -> None:
    """What this file relies on: a parser that reads otherwise is found out."""

    def lenient(data: bytes) -> Reading:
        return ours(data.replace(b"hello", b"hallo"))

    def blind(data: bytes) -> Reading:
        return Reading([], "more")

    assert "reads" in difference(SEEDS[8] + SEEDS[0], lenient)
    assert "sees 0 requests, we 2" in difference(SEEDS[8] + SEEDS[0], blind)


@pytest.mark.parametrize("data", SEEDS)
@pytest.mark.parametrize("witness", WITNESSES)
def test_the_witnesses_can_read(data: bytes, witness: Callable[[bytes], Reading]) -> None:
    assert ours(data + SEEDS[0]).requests
    assert witness(data).requests == ours(data).requests


def with_host(start: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((start, b"Host: a", *lines, b"", body))


POST = b"POST / HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"

STRICTER = {
    # Each of these is read by a witness and refused by us, with the reason.
    "a bare LF hides a line from who looks for CRLF": b"GET / HTTP/1.1\nHost: a\n\n",
    "a folded line is two to some": with_host(b"GET / HTTP/1.1", b"X: a", b" b"),
    "what may stand there once stands there twice": b"GET / HTTP/1.0\r\nReferer: a\r\nReferer: b\r\n\r\n",
    "TRACE reflects cookies": with_host(b"TRACE / HTTP/1.1"),
    "a NUL ends the path for some": with_host(b"GET /%00 HTTP/1.1"),
    "a path above the root": with_host(b"GET /.. HTTP/1.1"),
    "a backslash is a slash for some": with_host(b"GET /a\\b HTTP/1.1"),
    "an encoded slash hides a dot segment": with_host(b"GET /a%2f../b HTTP/1.1"),
    "a URL and a Host that differ": with_host(b"GET http://b/ HTTP/1.1"),
    "an empty Host is nobody": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "a list is no number": with_host(POST, b"Content-Length: 5, 5", body=b"hello"),
    "twice the same": with_host(POST, b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "a trailer that frames": with_host(POST, CHUNKED, body=b"0\r\nContent-Length: 5\r\n\r\n"),
    "a trailer that routes": with_host(POST, CHUNKED, body=b"0\r\nX-Forwarded-Host: b\r\n\r\n"),
    "a space behind a size is part of it for some": with_host(POST, CHUNKED, body=b"1 \r\na\r\n0\r\n\r\n"),
    "an extension without a name": with_host(POST, CHUNKED, body=b"1;\r\na\r\n0\r\n\r\n"),
    "more digits than any size needs": with_host(POST, CHUNKED, body=b"0" * 16 + b"1\r\na\r\n0\r\n\r\n"),
    "chunked in HTTP/1.0": with_host(b"POST / HTTP/1.0", CHUNKED, body=b"0\r\n\r\n"),
}


@pytest.mark.parametrize("why", STRICTER)
def test_where_we_are_stricter(why: str) -> None:
    data = STRICTER[why]
    assert ours(data) == Reading([], "refused")
    assert any(witness(data).requests for witness in WITNESSES), "nobody reads it: it proves nothing"
