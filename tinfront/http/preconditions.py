"""Entity tags and conditional requests (RFC 9110 sections 8.8.3 and 13).

Called by whoever knows the validators of what it serves, before it sends a body. What was not understood matches
nothing: a client that sent nonsense gets the whole answer to a GET, and never has its If-Match taken for a yes.
``If-Range`` is in ``ranges``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tinfront.http.dates import parse_date

CONDITIONAL = frozenset(("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))
"""The request fields that ``evaluate`` looks at; without any of them its answer is 200."""

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"'
_tag_list = re.compile(rf"[ \t,]*+(?:{_TAG}[ \t]*+(?:,[ \t,]*+|\Z))++").fullmatch
_find_tags = re.compile(_TAG).findall


def parse_tags(value: str) -> list[str] | None:
    """The entity tags of an If-Match or If-None-Match value, as written; None if the list is malformed.

    ``*`` is no tag and thus malformed here.
    """
    return _find_tags(value) if _tag_list(value) else None


def strong_match(one: str, other: str) -> bool:
    """Whether two entity tags are the same and both strong (RFC 9110 section 8.8.3.2)."""
    return one == other and not one.startswith("W/")


def weak_match(one: str, other: str) -> bool:
    """Whether two entity tags are the same, be they weak or not (RFC 9110 section 8.8.3.2)."""
    return one.removeprefix("W/") == other.removeprefix("W/")


def evaluate(method: str, fields: Mapping[str, str], etag: str | None, modified: float | None) -> int:
    """Decide a conditional request for something that exists, in the order of RFC 9110 section 13.2.2.

    :param fields: of the request, names in lower case.
    :param etag: the entity tag with its quotes, or None.
    :param modified: seconds since the epoch, or None; compared in whole seconds, as Last-Modified is sent.
    :returns: 200 to go on (Range comes next), 304, or 412.
    """
    value = fields.get("if-match")
    if value is not None:
        if not _if_match(value, etag):
            return 412
    elif modified is not None and (value := fields.get("if-unmodified-since")) is not None:
        date = parse_date(value)
        if date is not None and modified // 1 > date:
            return 412
    reading = method in ("GET", "HEAD")
    value = fields.get("if-none-match")
    if value is not None:
        if not _if_none_match(value, etag):
            return 304 if reading else 412
    elif reading and modified is not None and (value := fields.get("if-modified-since")) is not None:
        date = parse_date(value)
        if date is not None and modified // 1 <= date:
            return 304
    return 200


def _if_match(value: str, etag: str | None) -> bool:
    if value == "*":
        return True
    return etag is not None and any(strong_match(etag, tag) for tag in parse_tags(value) or ())


def _if_none_match(value: str, etag: str | None) -> bool:
    """True if nothing matches, so that the request goes on."""
    if value == "*":
        return False
    return etag is None or not any(weak_match(etag, tag) for tag in parse_tags(value) or ())
