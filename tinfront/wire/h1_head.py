"""The head of an HTTP/1.x request: request line and field lines to a ``RequestHead`` (RFC 9112 sections 2 to 6).

Strict: what two servers could read differently is refused. Fast by memos, as what was once validated need not be
validated again: one knows request lines, one field lines, and one all the field lines of a head at once, without the
two that change with every page. Only harmless names are remembered, never a cookie or anything that frames, routes or
authorises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from tinfront.errors import ProtocolError
from tinfront.http.fields import SINGLE, TOKEN, VALUE, elements, is_value
from tinfront.http.message import RequestHead
from tinfront.http.target import needs_care, parse

_request_line = re.compile(r"(?!TRACE |CONNECT )([A-Z][A-Z0-9_-]{0,31}+) ([!-\"$-~]++) (HTTP/1\.[01])").fullmatch
_field_line = re.compile(rf"({TOKEN}++):[ \t]*+({VALUE}*+)").fullmatch
_other_version = re.compile(r"\S+ \S+ HTTP/\d(?:\.\d)?").fullmatch
_shown_method = re.compile(r"[A-Z][A-Za-z0-9_-]{0,31}").fullmatch
_shown_version = re.compile(r"HTTP/\d(?:\.\d)?").fullmatch
_SHOWN_MAX = 512

_DROPPED = ("", "")
"""Stands for a field that must not reach anybody: a name with ``_``, which an environ key could not tell from one
with ``-``, and ``Proxy``, which a CGI-like environ would turn into HTTP_PROXY."""

_MEMO_NAMES = frozenset(
    (
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "dnt",
        "host",
        "origin",
        "pragma",
        "priority",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "sec-gpc",
        "te",
        "upgrade-insecure-requests",
        "user-agent",
        "x-requested-with",
    )
)
_MEMO_LINE_MAX = 256
_MEMO_ENTRIES = 4096
_BLOCK_MAX = 2048
_BLOCK_ENTRIES = 1024


RequestLine = tuple[str, str, str, str | None, str]
"""Method, target, version, path (None: the target needs a closer look), query."""


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bytes of the request line (414), of one field line and of the whole head, and the number of fields (431)."""

    line: int = 8 * 1024
    field: int = 8 * 1024
    head: int = 32 * 1024
    fields: int = 100


class HeadParser:
    """Turns the bytes of a head into a ``RequestHead``. One serves all connections of a listener."""

    __slots__ = ("_blocks", "_limits", "_lines", "_lookup", "_memo", "_smallest")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._memo: dict[str, tuple[str, str]] = {}
        self._lookup = self._memo.get
        self._blocks: dict[str, dict[str, str]] = {}
        self._lines: dict[str, RequestLine] = {}
        self._smallest = min(limits.line, limits.field)

    def parse(self, data: bytes | bytearray) -> RequestHead:
        """Parse a head, given without its final empty line.

        :raises ProtocolError: with the status and reason that the client gets.
        """
        text = str(data, "latin-1")
        end = text.find("\r\n")
        block = text[end:]
        cookie = referer = None
        before, found, after = block.partition("\r\nCookie: ")
        if found:
            cookie, crlf, after = after.partition("\r\n")
            block = before + crlf + after
        before, found, after = block.partition("\r\nReferer: ")
        if found:
            referer, crlf, after = after.partition("\r\n")
            block = before + crlf + after
        known = self._blocks.get(block)
        if (
            known is None
            or len(text) > self._smallest
            or (cookie is not None and not is_value(cookie))
            or (referer is not None and not is_value(referer))
        ):
            return self._parse_lines(text, block, (cookie is not None) + (referer is not None))
        fields = known.copy()
        if cookie is not None:
            fields["cookie"] = cookie.strip(" \t")
        if referer is not None:
            fields["referer"] = referer.strip(" \t")
        line = text[:end]
        method, target, version, path, query = self._lines.get(line) or self._request_line(line)
        if path is None:
            return _route(RequestHead(method, target, version, fields, "", "", ""))
        return RequestHead(method, target, version, fields, fields["host"], path, query)

    def _request_line(self, line: str) -> RequestLine:
        """One request line, strictly; remembered if it is short and says nothing of its own behind the path."""
        match = _request_line(line)
        if match is None:
            _refuse_line(line)
        method, target, version = match.groups()
        path, mark, query = target.partition("?")
        if path[:1] != "/" or needs_care(path):
            return method, target, version, None, query
        parts = method, target, version, path, query
        if not mark and len(line) <= _MEMO_LINE_MAX:
            if len(self._lines) >= _MEMO_ENTRIES:
                self._lines.clear()
            self._lines[line] = parts
        return parts

    def _parse_lines(self, text: str, block: str, apart: int) -> RequestHead:
        """The same for what the memo of blocks does not know: ``block``, from which ``apart`` lines were left out."""
        line, *lines = text.split("\r\n")
        if len(text) > self._smallest or len(lines) > self._limits.fields:
            self._check_limits(line, lines)
        method, target, version, path, query = self._lines.get(line) or self._request_line(line)
        lookup = self._lookup
        fields: dict[str, str] = {}
        new = 0
        for line in lines:
            pair = lookup(line)
            if pair is None:
                pair = self._field(line)
                new += 1
            fields[pair[0]] = pair[1]
        if len(fields) != len(lines) or "" in fields:
            fields = _combine([self._field(line) for line in lines])
        elif new == apart:
            self._remember(block)
        if path is not None and fields.get("host"):
            head = RequestHead(method, target, version, fields, fields["host"], path, query)
        else:
            head = _route(RequestHead(method, target, version, fields, "", "", ""))
        if "content-length" in fields or "transfer-encoding" in fields:
            _frame(head)
        if "expect" in fields:
            _expect(head)
        return head

    def _remember(self, block: str) -> None:
        """Know these lines at once the next time; each of them is in the memo."""
        fields = dict(self._memo[line] for line in block.split("\r\n")[1:])
        if fields.get("host") and len(block) <= _BLOCK_MAX and len(fields) + 2 <= self._limits.fields:
            if len(self._blocks) >= _BLOCK_ENTRIES:
                self._blocks.clear()
            self._blocks[block] = fields

    def _field(self, line: str) -> tuple[str, str]:
        """One field line, strictly; remembered if it is harmless."""
        match = _field_line(line)
        if match is None:
            raise ProtocolError(400, "bad-header", "a header line is malformed")
        name, value = match.groups()
        name = name.lower()
        if "_" in name or name == "proxy":
            return _DROPPED
        pair = (name, value.rstrip(" \t"))
        if name in _MEMO_NAMES and len(line) <= _MEMO_LINE_MAX:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            self._memo[line] = pair
        return pair

    def _check_limits(self, line: str, lines: list[str]) -> None:
        limits = self._limits
        if len(line) > limits.line:
            raise ProtocolError(414, "line-too-long", f"the request line is longer than {limits.line} bytes")
        if len(lines) > limits.fields:
            raise ProtocolError(431, "too-many-headers", f"more than {limits.fields} header fields")
        if lines and len(max(lines, key=len)) > limits.field:
            raise ProtocolError(431, "header-too-long", f"a header line is longer than {limits.field} bytes")


def request_line(data: bytes | bytearray) -> tuple[str, str, str]:
    """What can be told of the request line of a head that was refused: method, target and version, for the logs.

    A target that is too long, or not there as a whole, ends with dots.
    """
    line, whole, _ = str(data[:_SHOWN_MAX], "latin-1").partition("\n")
    method, _, rest = line.rstrip("\r").partition(" ")
    if not rest or not _shown_method(method):
        return ProtocolError.line
    target, _, version = rest.rpartition(" ")
    if not _shown_version(version):
        target, version = rest, "-"
    return method, target if whole else target + "...", version


def _refuse_line(line: str) -> NoReturn:
    if line == "PRI * HTTP/2.0":
        raise ProtocolError(505, "http2-on-plain-port", "the client speaks HTTP/2, which was not agreed on here")
    if line.startswith(("TRACE ", "CONNECT ")):  # no resource here has them (RFC 9110 sections 9.3.6 and 9.3.8)
        raise ProtocolError(405, "method-not-allowed", "neither TRACE nor CONNECT is served here")
    if _other_version(line) and not line.startswith(("HTTP/1.0", "HTTP/1.1"), line.rindex(" ") + 1):
        raise ProtocolError(505, "bad-version", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    raise ProtocolError(400, "bad-request-line", "the request line is malformed")


def _route(head: RequestHead) -> RequestHead:
    """What the target and the Host field say of where the request is to go."""
    fields = head.fields
    authority, head.path, head.query = parse(head.method, head.target)
    if authority is not None:
        _check_host(authority, head.version, fields)
    else:
        authority = fields.get("host") or _no_host(head.version, fields)
    head.authority = authority
    return head


def _combine(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Join repeated fields (RFC 9110 section 5.3) and leave out the dropped ones."""
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif name in SINGLE:
            raise ProtocolError(400, "duplicate-header", f"the field {name} stands there twice")
        else:
            fields[name] += ("; " if name == "cookie" else ", ") + value
    fields.pop("", None)
    return fields


def _no_host(version: str, fields: dict[str, str]) -> str:
    """Only HTTP/1.0 may say nothing about the host (RFC 9112 section 3.2); an empty one names nobody."""
    if "host" in fields:
        raise ProtocolError(400, "bad-host", "the Host field is empty")
    if version == "HTTP/1.1":
        raise ProtocolError(400, "no-host", "the Host field is missing")
    return ""


def _check_host(authority: str, version: str, fields: dict[str, str]) -> None:
    """An absolute-form target wins over Host (RFC 9112 section 3.2.2), so a Host that differs is an attack."""
    host = fields.get("host")
    if not host:
        _no_host(version, fields)
        fields["host"] = authority
    elif host.lower() != authority.lower():
        raise ProtocolError(400, "host-mismatch", "the Host field and the target name different hosts")


def _frame(head: RequestHead) -> None:
    """How long the body is (RFC 9112 section 6.3), with no leniency at all."""
    fields = head.fields
    coding = fields.get("transfer-encoding")
    length = fields.get("content-length")
    if coding is not None:
        if length is not None:
            raise ProtocolError(400, "length-and-chunked", "both Content-Length and Transfer-Encoding are there")
        if head.version == "HTTP/1.0":
            raise ProtocolError(400, "chunked-in-1.0", "HTTP/1.0 knows no Transfer-Encoding")
        if coding.lower() != "chunked":
            if elements(coding.lower())[-1:] != ["chunked"]:
                raise ProtocolError(400, "bad-transfer-encoding", "Transfer-Encoding does not end with chunked")
            raise ProtocolError(501, "unknown-transfer-encoding", "no transfer coding but chunked is known")
        head.length = None
    elif length is not None:
        if not (length.isascii() and length.isdigit()) or len(length) > 18:
            raise ProtocolError(400, "bad-length", "the Content-Length is not a number")
        head.length = int(length)


def _expect(head: RequestHead) -> None:
    if head.fields["expect"].lower() != "100-continue":
        raise ProtocolError(417, "unknown-expectation", "no expectation but 100-continue is known")
    head.expects_continue = head.version == "HTTP/1.1" and head.length != 0
