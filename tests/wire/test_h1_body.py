from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.errors import ProtocolError
from tinfront.http.forwarded import FIELDS
from tinfront.wire.h1_body import CHUNK_LINE_MAX, OVERHEAD_MAX, TRAILER_MAX, ChunkedReader, LengthReader


def read(data: bytes, reader: ChunkedReader | None = None) -> tuple[bytes, int, bool]:
    """The body, the position after it, and whether it is complete."""
    out: list[bytes] = []
    position, complete = (reader or ChunkedReader()).feed(data, 0, out)
    return b"".join(out), position, complete


def trickle(data: bytes) -> tuple[bytes, bool]:
    """The same, byte by byte, with what was not taken held back as the codec does."""
    reader, out, held, complete = ChunkedReader(), [], bytearray(), False
    for at in range(len(data)):
        if complete:
            break
        held += data[at : at + 1]
        taken, complete = reader.feed(held, 0, out)
        del held[:taken]
    return b"".join(out), complete


def refused(data: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        read(data)
    assert caught.value.status == 400
    with pytest.raises(ProtocolError):
        trickle(data)
    return caught.value.reason


def test_a_body_of_known_length() -> None:
    reader, out = LengthReader(5), []
    assert reader.feed(b"xxab", 2, out) == (4, False)
    assert reader.feed(b"", 0, out) == (0, False)
    assert reader.feed(bytearray(b"cdeGET"), 0, out) == (3, True)
    assert out == [b"ab", b"cde"]
    assert all(type(piece) is bytes for piece in out)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", b"0123456789x"),
        (b"A\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
        (b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b'5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n', b"hello"),
        (b"5 \t;a\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b'5;a;b=c ; d = "e\\" ; f" \r\nhello\r\n0\r\n\r\n'.replace(b" \r", b"\r"), b"hello"),
        (b'5;sig="\xe9\t"\r\nhello\r\n0\r\n\r\n', b"hello"),
        (b"0\r\nX-Check: abc\r\nY:\r\n\r\n", b""),
    ],
)
def test_chunked_bodies(data: bytes, body: bytes) -> None:
    assert read(data + b"GET / HTTP/1.1") == (body, len(data), True)
    assert trickle(data) == (body, True)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n",
        b" 5\r\nhello",
        b"5 \r\nhello",
        b"5\t\r\nhello",
        b"+5\r\nhello",
        b"-5\r\nhello",
        b"0x5\r\nhello",
        b"5_0\r\nhello",
        b"5g\r\nhello",
        b"g\r\nhello",
        b";a\r\nhello",
        b"5;a\x00b\r\nhello",
        b"5;a\rb\r\nhello",
        b"5;a\nhello",
        b"5;\r\nhello",
        b"5;;a\r\nhello",
        b"5;a \r\nhello",
        b"5;a=\r\nhello",
        b"5;=a\r\nhello",
        b'5;a="b\r\nhello',
        b'5;a="b"c\r\nhello',
        b"5;a(b)\r\nhello",
        b"5,a\r\nhello",
        b"5;\xe9\r\nhello",
        b"0000000000000005\r\nhello",
        b"fffffffffffffffff\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\rx",
        b"5\r\nhello0\r\n\r\n",
        b"\xb2\r\nab",
        b"1" * (CHUNK_LINE_MAX + 2),
        b"5;" + b"a" * CHUNK_LINE_MAX + b"\r\nhello",
    ],
)
def test_malformed_chunks(data: bytes) -> None:
    assert refused(data) == "bad-chunk"


@pytest.mark.parametrize(
    "trailer",
    [
        b"X\r\n",
        b"X : a\r\n",
        b" X: a\r\n",
        b"X: a\n\n",
        b"X: a\r\n folded\r\n",
        b"X: \x00\r\n",
        b"\n",
        b"Content-Length: 5\r\n",
        b"content-length:\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: evil.test\r\n",
        b"Trailer: a\r\n",
        b"Cookie: a\r\n",
        b"AUTHORIZATION: a\r\n",
        b"Content_Length: 5\r\n",
        b"X-Forwarded-For: ::1\r\n",
        *(b"%b: 1\r\n" % name.upper().encode() for name in sorted(FIELDS)),
        b"X_Forwarded_Prefix: /admin\r\n",
        b"Max-Forwards: 1\r\n",
        b"X: " + b"a" * TRAILER_MAX + b"\r\n",
        b"X: a\r\n" * (TRAILER_MAX // 6 + 1),
    ],
)
def test_malformed_and_forbidden_trailers(trailer: bytes) -> None:
    assert refused(b"0\r\n" + trailer + b"\r\n") == "bad-trailer"


def test_extensions_must_not_outweigh_the_body() -> None:
    chunk = b"1;" + b"e" * 200 + b"\r\nx\r\n"
    reader, out = ChunkedReader(), []
    for _ in range(OVERHEAD_MAX // 200):  # some are nobody's business
        reader.feed(chunk, 0, out)
    with pytest.raises(ProtocolError, match="outweigh"):
        reader.feed(chunk * 20, 0, out)


def test_honest_small_chunks_are_no_overhead() -> None:
    reader, out = ChunkedReader(), []
    for _ in range(20_000):
        reader.feed(b"1\r\nx\r\n", 0, out)
    assert reader.feed(b"0\r\n\r\n", 0, out) == (5, True)
    assert len(out) == 20_000


def test_what_is_no_whole_line_is_not_taken() -> None:
    reader, out = ChunkedReader(), []
    assert reader.feed(b"5", 0, out) == (0, False)
    assert reader.feed(b"5\r", 0, out) == (0, False)
    assert reader.feed(b"5\r\nhel", 0, out) == (6, False)
    assert reader.feed(b"lo\r", 0, out) == (2, False)
    assert reader.feed(b"\r\n0\r\nX: ", 0, out) == (5, False)
    assert reader.feed(b"X: a\r\n", 0, out) == (6, False)
    assert reader.feed(b"\r\n", 0, out) == (2, True)
    assert out == [b"hel", b"lo"]


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=6), st.randoms(use_true_random=False))
def test_any_chunks_in_any_split(pieces: list[bytes], random: object) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    assert trickle(data) == (b"".join(pieces), True)
    assert read(data) == (b"".join(pieces), len(data), True)
