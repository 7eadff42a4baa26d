"""The status and headers that an app gives to ``start_response``, checked once and kept (PEP 3333, RFC 9110).

Most apps give the same few heads again and again, so a head that was found good is remembered by its text.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any, NoReturn

from tinfront.workers.frames import HEAD_MAX, SERVER_FIELDS, decode_head

_KNOWN_MAX = 512
_KNOWN_SIZE = 1024
_DIGITS = re.compile(r"[0-9]{1,18}")

known: dict[str, Fields] = {}
"""Heads that were found good, by their text: status and headers joined by NUL."""


class BadHeader(ValueError):
    """The app's status or headers break HTTP or PEP 3333."""


class Fields(list[tuple[str, str]]):
    """Checked headers without those that belong to the server.

    :ivar status: as the app gave it.
    :ivar raw: status and fields as the head of a reply frame.
    :ivar length: the app's Content-Length, or None.
    :ivar flush: every chunk is to leave at once: an event stream, or ``X-Accel-Buffering: no``.
    :ivar bodiless: the status allows no body (RFC 9110 section 6.4.1).
    :ivar known: status code, reason phrase and the fields' block, for answers that need no frame; made on demand.
    """

    __slots__ = ("bodiless", "flush", "known", "length", "raw", "status")

    def __init__(self, status: str) -> None:
        super().__init__()
        self.status = status
        self.raw = b""
        self.length: int | None = None
        self.flush = False
        self.bodiless = status[:3] in {"204", "304"}
        self.known: tuple[int, str | None, bytes] | None = None


def check_headers(status: str, headers: list[tuple[str, str]]) -> Fields:
    """The headers of an answer, ready to be sent.

    :raises BadHeader: and says which one is wrong and why.
    """
    if not isinstance(status, str) or not isinstance(headers, (list, tuple)):
        _explain(status, headers)
    fields = Fields(status)
    try:
        for name, value in headers:
            _sort(fields, name, value)
        fields.raw = "\0".join((status, *chain.from_iterable(fields))).encode("latin-1")
    except BadHeader:
        raise
    except (TypeError, ValueError, AttributeError):
        _explain(status, headers)
    if status.startswith("204"):
        fields.length = None  # RFC 9110 section 8.6 forbids it
    if len(fields.raw) > HEAD_MAX:
        raise BadHeader(f"the headers have {len(fields.raw)} bytes, more than {HEAD_MAX}")
    # A NUL inside a value would pass for the separator of two innocent headers.
    if fields.raw.count(0) != 2 * len(fields) or decode_head(fields.raw) is None:
        _explain(status, headers)
    return fields


def remember(text: str, fields: Fields) -> None:
    """Spare this head the next check."""
    if len(text) <= _KNOWN_SIZE:
        if len(known) >= _KNOWN_MAX:
            known.clear()
        known[text] = fields


def _sort(fields: Fields, name: str, value: str) -> None:
    lower = name.lower()
    if lower not in SERVER_FIELDS:
        fields.append((name, value))
        if lower == "content-type" and value[:17].lower() == "text/event-stream":
            fields.flush = True
    elif lower == "content-length":
        fields.length = _length(value, fields.length)
    elif lower == "x-accel-buffering":
        fields.flush = fields.flush or value.strip().lower() == "no"


def _length(value: str, before: int | None) -> int:
    if not _DIGITS.fullmatch(value) or before not in {None, int(value)}:
        raise BadHeader(f"Content-Length {value!r} is no length, or not the only one")
    return int(value)


_STATUS = re.compile(r"[2-5][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def _explain(status: Any, headers: Any) -> NoReturn:
    """Say what is wrong with a head that did not pass."""
    if not isinstance(status, str):
        raise BadHeader(f"the status must be str, not {type(status).__name__}")
    if not _STATUS.fullmatch(status):
        raise BadHeader(f"the status must be a final code and a phrase, such as '200 OK', not {status!r}")
    if not isinstance(headers, (list, tuple)):
        raise BadHeader(f"headers must be a list of (name, value), not {type(headers).__name__}")
    for pair in headers:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise BadHeader(f"a header must be (name, value), not {pair!r}")
        name, value = pair
        if not isinstance(name, str) or not isinstance(value, str):
            raise BadHeader(f"header names and values must be str: {name!r}: {value!r}")
        if not _NAME.fullmatch(name):
            raise BadHeader(f"header name {name!r} is not a token")
        if not _VALUE.fullmatch(value):
            raise BadHeader(f"the value of header {name} has control characters or is not latin-1: {value!r}")
    raise BadHeader("the status or a header breaks HTTP")
