"""What may stand in a Location field (RFC 9110 section 10.2.2): references built from what a client sent.

Called by everything that redirects. No byte that came off the wire can end the field line, and a path is never left
to look like ``//host``, which would send the visitor to another site.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from tinfront.http.message import ResponseHead
from tinfront.http.status import reason

_PATH_SAFE: Final = "/:@!$&'()*+,;=-._~"  # RFC 3986 section 3.3: pchar and the slash
_RAW_SAFE: Final = _PATH_SAFE + "?%[]"  # what comes undecoded keeps its escapes
_origin = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+://[^/?]*+").match


def encode_path(path: str) -> str:
    """Percent-encode a decoded path (latin-1 text)."""
    return quote(path, safe=_PATH_SAFE, encoding="latin-1")


def encode_query(query: str) -> str:
    """A raw query with ``?`` before it, or "" for none; what must not stand in a URL is percent-encoded."""
    return "?" + quote(query, safe=_RAW_SAFE, encoding="latin-1") if query else ""


def sent_uri(target: str) -> str:
    """Path and query of a request target as they were sent; begins with a slash, perhaps with several."""
    match = _origin(target)
    uri = target[match.end() :] if match else target
    if not uri.startswith("/"):  # http://host?query, or the asterisk form
        uri = "/" + uri.removeprefix("*")
    return quote(uri, safe=_RAW_SAFE, encoding="latin-1")


def local(reference: str) -> str:
    """The same path and query on this very site: it begins with exactly one slash."""
    return "/" + reference.lstrip("/")


def redirection(status: int, location: str) -> tuple[ResponseHead, bytes]:
    """A whole redirecting response: Location, and one line of text for whoever sees it."""
    body = f"{reason(status)}\n".encode("ascii")
    fields = [("Location", location), ("Content-Type", "text/plain; charset=utf-8")]
    return ResponseHead(status, fields, len(body)), body
