"""What proxies say of the client they speak for: X-Forwarded-* and Forwarded (RFC 7239). Pure.

Lists grow to the right, each proxy adding the peer it has seen, so they are read from the right: as long as a hop is
trusted, what it says of the hop before it is believed. Called by ``front/proxies``.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Container, Iterable, Mapping
from typing import Final, NamedTuple

from tinfront.errors import ProtocolError
from tinfront.http.fields import TOKEN
from tinfront.http.target import split_host

FIELDS: Final = frozenset(
    (
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-forwarded-protocol",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-real-ip",
        "x-scheme",
    )
)
"""Request fields with which a proxy speaks for its client; from a client itself they are lies."""

HOPS_MAX: Final = 32
"""Elements of a list that are looked at, from the right."""

_REMEMBERED: Final = 1024

_SCHEMES: Final = {"http": False, "https": True, "ws": False, "wss": True}

_node = re.compile(r"(?:([0-9.]++)|\[([0-9A-Fa-f:.]++)\])(?::([0-9]{1,5}+))?").fullmatch
_pair = re.compile(rf'({TOKEN}++)=(?:({TOKEN}++)|"((?:[^"\\]|\\.)*+)")').match
_escape = re.compile(r"\\(.)")
_space = re.compile(r"[ \t]*+").match


class Origin(NamedTuple):
    """What is known of a client; None: nothing that could be understood was said.

    :ivar node: (address, port); port 0 if it was not said.
    :ivar secure: whether the client spoke TLS.
    :ivar host: the host that the client asked for.
    :ivar port: the port that the client connected to.
    """

    node: tuple[str, int] | None = None
    secure: bool | None = None
    host: str | None = None
    port: int | None = None


class Trust:
    """Addresses that are trusted: ``address in trust``. Unix peers have the address ``""``.

    :param members: addresses, networks such as ``10.0.0.0/8``, and ``unix:``.
    """

    __slots__ = ("_known", "_networks", "_unix")

    def __init__(self, members: Iterable[str] = ()) -> None:
        """:raises ValueError: a member is none of these."""
        members = tuple(members)
        self._unix = "unix:" in members
        self._networks = [_network(member) for member in members if member != "unix:"]
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, address: object) -> bool:
        assert isinstance(address, str)
        if not address:
            return self._unix
        if not self._networks:
            return False
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._find(address)
        return known

    def _find(self, address: str) -> bool:
        raw = packed(address)
        if raw is None:
            return False
        number = int.from_bytes(raw, "big")
        return any(len(raw) == width and number & mask == base for width, base, mask in self._networks)


def _network(text: str) -> tuple[int, int, int]:
    """Bytes of an address, the network's number, its mask."""
    address, slash, prefix = text.partition("/")
    raw = packed(address)
    bits = int(prefix) if slash else 8 * len(raw or b"")
    if raw is None or not 0 <= bits <= 8 * len(raw):
        raise ValueError(f'"{text}" is neither an address nor a network')
    mask = (1 << 8 * len(raw)) - (1 << 8 * len(raw) - bits)
    return len(raw), int.from_bytes(raw, "big") & mask, mask


def packed(address: str) -> bytes | None:
    """An IP address as 4 or 16 bytes, or None. IPv4 within IPv6 is IPv4."""
    try:
        if ":" not in address:
            return socket.inet_pton(socket.AF_INET, address)
        raw = socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return None
    return raw[12:] if raw.startswith(b"\0" * 10 + b"\xff\xff") else raw


def parse_node(text: str) -> tuple[str, int] | None:
    """(address, port) of ``1.2.3.4``, ``1.2.3.4:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``; None: it is no such."""
    port = "0"
    if text.count(":") > 1 and text[0] != "[":
        address = text
    else:
        match = _node(text)
        if match is None:
            return None
        address, port = match[1] or match[2], match[3] or "0"
        if match[2] and ":" not in address:
            return None
    raw = packed(address)
    if raw is None or int(port) > 65535:
        return None
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw), int(port)


def from_x_forwarded(said: Mapping[str, str], trust: Container[str]) -> Origin:
    """The client by X-Forwarded-For, -Proto, -Host and -Port. What is malformed counts as not said.

    The others are lists, too, if several proxies add to them: their element for the same hop is taken, or the only one.
    """
    node, hop = _walk(_last(said.get("x-forwarded-for", "")), trust)

    def of_hop(name: str) -> str:
        elements = _last(said.get(name, ""))
        return elements[max(len(elements) - 1 - hop, 0)]

    return Origin(
        node, scheme(of_hop("x-forwarded-proto")), _host(of_hop("x-forwarded-host")), _port(of_hop("x-forwarded-port"))
    )


def from_forwarded(value: str, trust: Container[str]) -> Origin:
    """The client by a Forwarded field.

    :raises ProtocolError: 400 if it is malformed. A quote that a client has left open would swallow what the proxy
        says behind it, so no part of it may be believed.
    """
    elements = _elements(value)[-HOPS_MAX:]
    node, hop = _walk([element.get("for", "") for element in elements], trust)
    if not elements:
        return Origin()
    element = elements[max(len(elements) - 1 - hop, 0)]
    return Origin(node, scheme(element.get("proto", "")), _host(element.get("host", "")))


def scheme(text: str) -> bool | None:
    """Whether a scheme's name stands for TLS; None: it is none that is known."""
    return _SCHEMES.get(text.lower())


def _last(value: str) -> list[str]:
    """The last elements of a comma list, empty ones kept; at least one."""
    return [element.strip(" \t") for element in value.rsplit(",", HOPS_MAX)[-HOPS_MAX:]]


def _walk(nodes: list[str], trust: Container[str]) -> tuple[tuple[str, int] | None, int]:
    """The first node from the right that is not trusted, or the last that can be understood; and how far it was."""
    found, hop = None, 0
    for index, text in enumerate(reversed(nodes)):
        node = parse_node(text)
        if node is None:
            break
        found, hop = node, index
        if node[0] not in trust:
            break
    return found, hop


def _host(text: str) -> str | None:
    try:
        split_host(text)
    except ProtocolError:
        return None
    return text


def _port(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    return number if 0 < number <= 65535 else None


def _elements(value: str) -> list[dict[str, str]]:
    """The elements of a Forwarded field, each with its parameters by lower-case name (RFC 7239 section 4)."""
    elements: list[dict[str, str]] = [{}]
    at, end = 0, len(value)
    while True:
        at = _skip(value, at)
        match = _pair(value, at)
        if match is not None:
            name, token, quoted = match.groups()
            if name.lower() in elements[-1]:
                raise _malformed()
            elements[-1][name.lower()] = token if quoted is None else _escape.sub(r"\1", quoted)
            at = _skip(value, match.end())
        if at >= end:
            return [element for element in elements if element]
        if value[at] == ",":
            elements.append({})
        elif value[at] != ";":
            raise _malformed()
        at += 1


def _skip(value: str, at: int) -> int:
    match = _space(value, at)
    assert match is not None
    return match.end()


def _malformed() -> ProtocolError:
    return ProtocolError(400, "bad-forwarded", "the Forwarded field is malformed")
