"""Content negotiation (RFC 9110 section 12.5.1), as much as an error page needs: JSON, or HTML?"""

from __future__ import annotations

import re

_quoted = re.compile(r'"(?:[^"\\]|\\.)*+"')
_weight = re.compile(r";[ \t]*+q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*+(?:;|\Z)", re.IGNORECASE).search
_bad_weight = re.compile(r";[ \t]*+q=", re.IGNORECASE).search


def prefers_json(accept: str | None) -> bool:
    """Whether a client with this Accept value would rather have JSON than HTML.

    At equal weight the one that is named more exactly wins, so ``application/json, */*`` means JSON; otherwise HTML,
    which is also the answer to ``*/*`` and to no Accept at all. ``application/…+json`` counts as JSON.
    """
    if accept is None or ("json" not in accept.lower() and "application/*" not in accept.lower()):
        return False
    json = html = (0.0, 0)  # weight, exactness
    json_by = html_by = -1
    for element in _quoted.sub("", accept).split(","):
        name, semicolon, _ = element.partition(";")
        name = name.strip(" \t").lower()
        weight = _read_weight(element) if semicolon else 1.0
        if weight is None:
            continue
        for_json, for_html = _exactness(name)
        if for_json > json_by or (for_json == json_by >= 0 and weight > json[0]):
            json, json_by = (weight, for_json), for_json
        if for_html > html_by or (for_html == html_by >= 0 and weight > html[0]):
            html, html_by = (weight, for_html), for_html
    return json > html and json[0] > 0


def _read_weight(element: str) -> float | None:
    """The weight of an element; None if it is malformed and the element is to be ignored."""
    match = _weight(element)
    if match is not None:
        return float(match[1])
    return None if _bad_weight(element) else 1.0


def _exactness(name: str) -> tuple[int, int]:
    """How exactly a media range names JSON, and HTML: -1 not at all, 0 ``*/*``, 1 ``type/*``, 2 by name."""
    if name == "*/*":
        return 0, 0
    if name == "application/json" or (name.startswith("application/") and name.endswith("+json")):
        return 2, -1
    if name == "text/html":
        return -1, 2
    return (1 if name == "application/*" else -1), (1 if name == "text/*" else -1)
