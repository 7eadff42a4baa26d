"""Readers of HTTP/1.1 request bodies (RFC 9112 sections 6 and 7), sans-IO. ``h1`` picks one by the head's framing.

A reader is fed whatever has arrived, from a position on, and appends body bytes to a list; it says where it stopped.
"""

from __future__ import annotations

import re

from tinfront.errors import ProtocolError
from tinfront.http.fields import TOKEN, VALUE
from tinfront.http.forwarded import FIELDS as PROXY_FIELDS

_token = TOKEN.encode("ascii")
_quoted = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_extension = rb"[ \t]*+;[ \t]*+%b++(?:[ \t]*+=[ \t]*+(?:%b++|%b))?+" % (_token, _token, _quoted)
_chunk_size = re.compile(rb"([0-9A-Fa-f]{1,15}+)(?:%b)*+" % _extension).fullmatch
_trailer = re.compile(rf"({TOKEN}++):[ \t]*+{VALUE}*+").fullmatch

CHUNK_LINE_MAX = 256
"""Bytes of a chunk's size line with its extensions: more can only be an attack."""

OVERHEAD_MAX = 16 * 1024
"""Bytes of size lines beyond what honest chunks need: extensions that outweigh the body are an attack as well."""

TRAILER_MAX = 8 * 1024
"""Bytes of the whole trailer section, which is read and dropped."""

FORBIDDEN_TRAILERS = PROXY_FIELDS.union(
    (
        "authorization",
        "connection",
        "content-disposition",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "max-forwards",
        "proxy",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Fields that frame, route or authorise a message, or speak for its client as proxies do: in a trailer they are an
attack (RFC 9110 section 6.5.1)."""


class LengthReader:
    """A body of known length (RFC 9112 section 6.2)."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def feed(self, data: bytes | bytearray, start: int, out: list[bytes]) -> tuple[int, bool]:
        """Append what there is to ``out``.

        :returns: the position after the last byte taken, and whether the body is complete.
        """
        piece = bytes(data[start : start + self._left])
        if piece:
            out.append(piece)
            self._left -= len(piece)
        return start + len(piece), self._left == 0


class ChunkedReader:
    """The chunked coding (RFC 9112 section 7.1), with no leniency: CRLF only, sizes of at most 15 digits."""

    __slots__ = ("_complete", "_left", "_overhead", "_state", "_trailer_bytes")

    def __init__(self) -> None:
        self._complete = False
        self._left = 0
        self._overhead = 0
        self._state = self._size
        self._trailer_bytes = 0

    def feed(self, data: bytes | bytearray, start: int, out: list[bytes]) -> tuple[int, bool]:
        """Append the decoded bytes of what there is to ``out``.

        :returns: the position after the last byte taken (a line is taken whole or not at all), and whether the body
            is complete.
        :raises ProtocolError: 400 ``bad-chunk`` or ``bad-trailer``; nothing after it can be understood.
        """
        while not self._complete:
            taken = self._state(data, start, out)
            if taken < 0:
                return start, False
            start = taken
        return start, True

    # Each state takes one element at ``start`` and returns the position after it, or -1 if more must come.

    def _size(self, data: bytes | bytearray, start: int, out: list[bytes]) -> int:
        end = _line_end(data, start, CHUNK_LINE_MAX, "bad-chunk")
        if end < 0:
            return -1
        match = _chunk_size(data, start, end)
        if match is None:
            raise ProtocolError(400, "bad-chunk", "a chunk size line is malformed")
        self._left = int(match[1], 16)
        # An honest chunk may cost 16 bytes and as much as it carries.
        self._overhead = max(0, self._overhead + end - start - 16 - self._left)
        if self._overhead > OVERHEAD_MAX:
            raise ProtocolError(400, "bad-chunk", "the size lines of the chunks outweigh the body")
        self._state = self._data if self._left else self._trailers
        return end + 2

    def _data(self, data: bytes | bytearray, start: int, out: list[bytes]) -> int:
        piece = bytes(data[start : start + self._left])
        if not piece:
            return -1
        out.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._state = self._data_end
        return start + len(piece)

    def _data_end(self, data: bytes | bytearray, start: int, out: list[bytes]) -> int:
        mark = data[start : start + 2]
        if mark == b"\r\n":
            self._state = self._size
            return start + 2
        if mark not in (b"", b"\r"):
            raise ProtocolError(400, "bad-chunk", "a chunk is longer than its size")
        return -1

    def _trailers(self, data: bytes | bytearray, start: int, out: list[bytes]) -> int:
        end = _line_end(data, start, TRAILER_MAX - self._trailer_bytes, "bad-trailer")
        if end < 0:
            return -1
        if end == start:
            self._complete = True
            return end + 2
        self._trailer_bytes += end + 2 - start
        match = _trailer(str(data[start:end], "latin-1"))
        if match is None or match[1].lower().replace("_", "-") in FORBIDDEN_TRAILERS:
            raise ProtocolError(400, "bad-trailer", "a trailer field is malformed or not allowed in a trailer")
        return end + 2


def _line_end(data: bytes | bytearray, start: int, limit: int, reason: str) -> int:
    """Where the line at ``start`` ends, or -1 if more must come; a bare LF or an endless line is an error."""
    end = data.find(b"\n", start, start + limit + 2)
    if end < 0:
        if len(data) - start > limit:
            raise ProtocolError(400, reason, "a line of the chunked coding is too long")
        return -1
    if end == start or data[end - 1] != 13:
        raise ProtocolError(400, reason, "a line of the chunked coding ends with a bare LF")
    return end - 1
