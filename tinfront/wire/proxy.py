"""The PROXY protocol, versions 1 and 2: what a proxy says of its client before the client's first byte.

The specification is haproxy's ``proxy-protocol.txt``. ``front/threshold`` reads it from a socket, before any TLS.
Strict: what is not exactly such a header is none. Of the type-length-values behind the addresses only the one that says
whether the client came by TLS is understood; the others are skipped, but all of them must be whole.
"""

from __future__ import annotations

import re
import socket
from typing import Final, NamedTuple

V1_MAX: Final = 107
"""Bytes of the longest header of version 1, its CRLF included."""

V2_MAX: Final = 4096
"""Bytes of the longest header of version 2 that is taken, with all that may follow the addresses."""

_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD: Final = 16

_line = re.compile(
    rb"PROXY (TCP[46]) ([0-9A-Fa-f:.]{2,45}+) ([0-9A-Fa-f:.]{2,45}+) (0|[1-9][0-9]{0,4}+) (0|[1-9][0-9]{0,4}+)"
).fullmatch
_unknown = re.compile(rb"PROXY UNKNOWN(?: [^\0\r\n]*+)?").fullmatch

_FAMILIES: Final = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16), 0x31: (socket.AF_UNIX, 108)}
"""Family and bytes of an address, by the byte that names family and transport. Streams only: this is no datagram."""

_UNSPECIFIED: Final = 0x00

_TYPE_SSL: Final = 0x20
_CLIENT_SSL: Final = 0x01
_SSL_HEAD: Final = 5
"""Bytes of what the client did, and of whether its certificate was good; values of their own kind follow."""


class NotAnnounced(ValueError):
    """What came is no header of the PROXY protocol; the text says why."""


class Announcement(NamedTuple):
    """A whole header.

    :ivar size: its bytes.
    :ivar source: (address, port) of the client; ``("", 0)`` if it came over a unix socket; None: not said (``LOCAL``,
        ``UNKNOWN``), the addresses of the connection itself hold.
    :ivar destination: what the client had connected to, likewise.
    :ivar secure: the proxy has ended the client's TLS. False: the client came without, or nobody says.
    """

    size: int
    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None
    secure: bool = False


def read(data: bytes) -> Announcement | None:
    """The header at the beginning of ``data``; None: so far it may become one, and all of ``data`` belongs to it.

    :raises NotAnnounced: it is none, whatever may follow.
    """
    if data.startswith(_V1):
        return _read_v1(data)
    if data.startswith(_V2):
        return _read_v2(data)
    if _V1.startswith(data) or _V2.startswith(data):
        return None
    raise NotAnnounced("it does not begin with a header of the PROXY protocol")


def _read_v1(data: bytes) -> Announcement | None:
    end = data.find(b"\r\n", 0, V1_MAX)
    if end < 0:
        if len(data) < V1_MAX:
            return None
        raise NotAnnounced(f"its line is longer than {V1_MAX} bytes")
    line = data[:end]
    if _unknown(line):
        return Announcement(end + 2)
    match = _line(line)
    if match is None:
        raise NotAnnounced("its line is malformed")
    family = socket.AF_INET if match[1] == b"TCP4" else socket.AF_INET6
    try:
        source, destination = (socket.inet_pton(family, match[part].decode("ascii")) for part in (2, 3))
    except OSError:
        raise NotAnnounced("an address in its line is malformed") from None
    ports = int(match[4]), int(match[5])
    if max(ports) > 65535:
        raise NotAnnounced("a port in its line is malformed")
    return Announcement(end + 2, (_text(family, source), ports[0]), (_text(family, destination), ports[1]))


def _read_v2(data: bytes) -> Announcement | None:
    if len(data) > 12 and data[12] not in (0x20, 0x21):
        raise NotAnnounced("its version or command is unknown")
    local = len(data) > 12 and data[12] == 0x20
    kind = data[13] if len(data) > 13 else _UNSPECIFIED
    if not local and kind != _UNSPECIFIED and kind not in _FAMILIES:
        raise NotAnnounced("its family or transport is unknown")
    if len(data) < _V2_HEAD:
        return None
    length = int.from_bytes(data[14:_V2_HEAD], "big")
    size = _V2_HEAD + length
    if size > V2_MAX:
        raise NotAnnounced(f"it is longer than {V2_MAX} bytes")
    family, width = (0, 0) if local or kind == _UNSPECIFIED else _FAMILIES[kind]
    if length < 2 * width + (4 if width in (4, 16) else 0):
        raise NotAnnounced("it is too short for its addresses")
    if len(data) < size:
        return None
    if not width:
        return Announcement(size)
    source, destination = data[_V2_HEAD : _V2_HEAD + width], data[_V2_HEAD + width : _V2_HEAD + 2 * width]
    at = _V2_HEAD + 2 * width
    if family == socket.AF_UNIX:
        return Announcement(size, ("", 0), (_path(destination), 0), _is_secure(data[at:size]))
    ports = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
    secure = _is_secure(data[at + 4 : size])
    return Announcement(size, (_text(family, source), ports[0]), (_text(family, destination), ports[1]), secure)


def _is_secure(block: bytes) -> bool:
    """What the proxy says of the client's TLS."""
    found = [value for kind, value in _values(block) if kind == _TYPE_SSL]
    if len(found) > 1:
        raise NotAnnounced("it speaks twice of the client's TLS")
    if not found:
        return False
    if len(found[0]) < _SSL_HEAD:
        raise NotAnnounced("what it says of the client's TLS is too short")
    _values(found[0][_SSL_HEAD:])
    return bool(found[0][0] & _CLIENT_SSL)


def _values(block: bytes) -> list[tuple[int, bytes]]:
    """Types and values."""
    values = []
    at = 0
    while at < len(block):
        end = at + 3 + int.from_bytes(block[at + 1 : at + 3], "big")
        if end > len(block) or at + 3 > len(block):
            raise NotAnnounced("one of its values is cut short")
        values.append((block[at], block[at + 3 : end]))
        at = end
    return values


def _text(family: int, address: bytes) -> str:
    """An address as the kernel would show it; IPv4 within IPv6 as what it is."""
    if len(address) == 16 and address.startswith(b"\0" * 10 + b"\xff\xff"):
        family, address = socket.AF_INET, address[12:]
    return socket.inet_ntop(family, address)


def _path(raw: bytes) -> str:
    """A path of a unix socket, without what might end a line or a text: it goes to logs and into environs."""
    text = raw.partition(b"\0")[0].decode("latin-1")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
