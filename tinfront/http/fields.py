"""The grammar of fields: tokens, values, comma lists (RFC 9110 section 5), and which names mean framing or hops.

Regexes work on text that was decoded as latin-1 and use possessive quantifiers, so that no input costs more than
one pass.
"""

from __future__ import annotations

import re

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"  # noqa: S105 - the grammar's word
VALUE = r"[ -~\t\x80-\U0010ffff]"

is_token = re.compile(rf"{TOKEN}++").fullmatch
is_value = re.compile(rf"{VALUE}*+").fullmatch

HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
"""Fields that speak of one connection only (RFC 9110 section 7.6.1)."""

SINGLE = frozenset(
    (
        "authorization",
        "content-length",
        "content-type",
        "expect",
        "from",
        "host",
        "if-modified-since",
        "if-range",
        "if-unmodified-since",
        "max-forwards",
        "proxy-authorization",
        "referer",
        "transfer-encoding",
        "user-agent",
    )
)
"""Request fields of which a second line makes the request ambiguous."""


def elements(value: str) -> list[str]:
    """The elements of a comma list, trimmed, empty ones dropped (RFC 9110 section 5.6.1). No quoted commas."""
    trimmed = (element.strip(" \t") for element in value.split(","))  # str.strip alone takes off more than OWS
    return [element for element in trimmed if element]
