"""The request target (RFC 9112 section 3.2): its four forms, and the one place where paths are normalised.

What is routed on is what the application sees: the path is percent-decoded once and its dot segments are removed
before anybody looks at it. Empty segments (``//``) are kept, as they mean something to some applications.
"""

from __future__ import annotations

import re
import socket
from urllib.parse import unquote_to_bytes

from tinfront.errors import ProtocolError

needs_care = re.compile(r"[%\\]|/\.").search
_bad_percent = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_encoded_slash = re.compile(r"%2f", re.IGNORECASE).search
_absolute = re.compile(r"https?://([^/?]++)([^?]*+)(?:\?(.*))?", re.IGNORECASE).fullmatch
_host = re.compile(
    r"(?:([A-Za-z0-9._~!$&'()*+,;=-]++)|\[([0-9A-Fa-f:.]++)\])(?::([0-9]{0,5}+))?"
).fullmatch  # RFC 3986 section 3.2.2; no userinfo, no IPvFuture, no escapes

_AUTHORITY_MAX = 262  # characters: the longest name that DNS knows, brackets or a final dot, a port


def parse(method: str, target: str) -> tuple[str | None, str, str]:
    """Take a target apart.

    A head parser may itself split a target that begins with ``/`` and whose path is free of what ``needs_care`` finds.

    :param target: characters 0x21 to 0x7E without ``#``.
    :returns: the authority (absolute form only, else None), the normalised path, the raw query.
    :raises ProtocolError: 400 for anything malformed.
    """
    authority = None
    if target[0] == "/":
        path, _, query = target.partition("?")
    elif target == "*":
        if method != "OPTIONS":
            raise ProtocolError(400, "bad-target", "the target * is for OPTIONS only")
        return None, "*", ""
    else:
        match = _absolute(target)
        if match is None:
            raise ProtocolError(400, "bad-target", "the target is neither a path nor an http URL")
        authority, path, query = match[1], match[2] or "/", match[3] or ""
    if needs_care(path):
        path = normalise(path)
    return authority, path, query


def normalise(path: str) -> str:
    """Decode percent escapes once and remove dot segments (RFC 3986 sections 2.1 and 5.2.4).

    :returns: latin-1 text that begins with ``/``, of the decoded bytes.
    :raises ProtocolError: 400 for a bad escape, a NUL, a raw backslash, a path that climbs above the root, or one with
        both a dot segment and an encoded slash: who does not decode it sees other segments, and ends elsewhere.
    """
    if "\\" in path:
        raise ProtocolError(400, "bad-target", "a backslash in the path must be sent as %5C")
    if _bad_percent(path):
        raise ProtocolError(400, "bad-target", "a % in the path is not followed by two hexadecimal digits")
    decoded = unquote_to_bytes(path).decode("latin-1")
    if "\0" in decoded:
        raise ProtocolError(400, "bad-target", "the path contains %00")
    if "/." not in decoded:
        return decoded
    segments: list[str] = []
    parts = decoded.split("/")[1:]
    for part in parts:
        if part in (".", "..") and _encoded_slash(path):
            raise ProtocolError(400, "bad-target", "the path has both a dot segment and an encoded slash")
        if part == "..":
            if not segments:
                raise ProtocolError(400, "bad-target", "the path climbs above the root")
            segments.pop()
        elif part != ".":
            segments.append(part)
    if parts[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def split_host(authority: str) -> tuple[str, str]:
    """The host, lower-case and without brackets or a final dot, and the port ("" if none) of a Host value.

    :raises ProtocolError: 400 if it is not ``uri-host [ ":" port ]`` (RFC 9110 section 7.2).
    """
    match = _host(authority)
    if match is None or len(authority) > _AUTHORITY_MAX or (match[3] and int(match[3]) > 65535):
        raise ProtocolError(400, "bad-host", "the Host field is malformed")
    if match[2]:
        try:
            socket.inet_pton(socket.AF_INET6, match[2])
        except OSError:
            raise ProtocolError(400, "bad-host", "what is in brackets in the Host field is no IPv6 address") from None
    host = match[2] or match[1]
    if host[0] == "." or ".." in host:
        raise ProtocolError(400, "bad-host", "the Host field has an empty label")
    return host.lower().removesuffix("."), match[3] or ""
