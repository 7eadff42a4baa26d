"""Range requests (RFC 9110 section 14): which bytes a client asks for, and the parts of a multipart/byteranges body.

Called for a GET whose answer would be a 200, after its preconditions. A request that would cost more than the whole
is answered with the whole, as section 14.2 allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from tinfront.http.dates import parse_date
from tinfront.http.preconditions import strong_match

Ranges: TypeAlias = "tuple[tuple[int, int], ...]"
"""(offset, length) pairs in the order they were asked for."""

UNSATISFIABLE: Final[Ranges] = ()
"""None of the ranges touches the representation: 416."""

RANGES_MAX = 16
"""More ranges than this in one request are answered with the whole representation."""

_specifier = re.compile(r"bytes=(.*)", re.IGNORECASE).fullmatch
_range_spec = re.compile(r"([0-9]*+)-([0-9]*+)").fullmatch


def select(fields: Mapping[str, str], length: int, etag: str | None, modified: float | None) -> Ranges | None:
    """Choose the parts of a representation that a GET asks for.

    Overlapping and adjacent ranges are merged into the first of them. The whole is the answer to: no Range, another
    unit, bad syntax, an If-Range that does not hold, more than ``RANGES_MAX`` ranges, or ranges that add up to more
    bytes than there are.

    :param fields: of the request, names in lower case.
    :param length: bytes of the whole representation.
    :param etag: its entity tag, ``modified``: its date; what If-Range is compared with.
    :returns: None for the whole, ``UNSATISFIABLE``, or the ranges.
    """
    value = fields.get("range")
    if value is None or ("if-range" in fields and not _if_range(fields["if-range"], etag, modified)):
        return None
    match = _specifier(value)
    if match is None:
        return None
    ranges = _parse(match[1], length)
    if ranges is None or sum(count for _, count in ranges) > length:
        return None
    return tuple(_merge(ranges)) if len(ranges) > 1 else tuple(ranges)


def content_range(offset: int, count: int, length: int) -> str:
    """The value of Content-Range for ``count`` bytes at ``offset`` of ``length`` (RFC 9110 section 14.4)."""
    return f"bytes {offset}-{offset + count - 1}/{length}"


def part_head(boundary: str, media_type: str, where: str) -> bytes:
    """What stands before each part of a multipart/byteranges body; ``where`` is its Content-Range value."""
    return f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {where}\r\n\r\n".encode("latin-1")


def closing(boundary: str) -> bytes:
    """What stands behind the last part."""
    return f"\r\n--{boundary}--\r\n".encode("latin-1")


def _if_range(value: str, etag: str | None, modified: float | None) -> bool:
    """Whether the client's part is of the same representation: by strong tag, or by the very same date."""
    if value.startswith(('"', "W/")):
        return etag is not None and strong_match(etag, value)
    return modified is not None and parse_date(value) == modified // 1


def _parse(specs: str, length: int) -> list[tuple[int, int]] | None:
    """The satisfiable ranges of a range set; None where the whole is to be sent."""
    found = []
    for number, spec in enumerate(specs.split(",")):
        text = spec.strip(" \t")
        if number >= RANGES_MAX:
            return None
        if not text:
            continue  # RFC 9110 section 5.6.1.2: empty list elements are ignored
        match = _range_spec(text)
        if match is None or text == "-":
            return None
        first, last = match.groups()
        if not first:
            count = min(_number(last), length)
            if count:
                found.append((length - count, count))
            elif not length:
                return None  # a suffix of nothing is satisfiable, but Content-Range cannot say so
            continue
        start = _number(first)
        if last and _number(last) < start:
            return None
        if start < length:
            end = min(_number(last) + 1, length) if last else length
            found.append((start, end - start))
    return found if specs.strip(" \t,") else None


def _number(digits: str) -> int:
    """A number of any size; the huge ones are all the same to us, and ``int`` would be slow on them."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= 18 else 10**18


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that overlap or touch, each group where its first member stood (RFC 9110 section 15.3.7.2)."""
    groups: list[tuple[int, int, int]] = []  # place, start, end
    for start, end, place in sorted((offset, offset + count, place) for place, (offset, count) in enumerate(ranges)):
        if groups and start <= groups[-1][2]:
            before = groups.pop()
            groups.append((min(before[0], place), before[1], max(before[2], end)))
        else:
            groups.append((place, start, end))
    return [(start, end - start) for _, start, end in sorted(groups)]
