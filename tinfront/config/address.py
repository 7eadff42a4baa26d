"""Kinds that only listeners and sites have: addresses to listen on, proxies, host names. Used by ``schema.py``."""

from __future__ import annotations

import ipaddress
import os
import re

from tinfront.config.model import Address
from tinfront.config.option import Kind, resolve, split_lines, split_words

_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_UNIX_PATH_MAX = 107  # sockaddr_un.sun_path, less its NUL


def parse_address(text: str, directory: str) -> Address:
    """``host:port``, ``[v6]:port``, ``*:port``, ``:port``, ``unix:PATH``, ``systemd:NAME`` or ``fd:N``.

    :raises ValueError: it is none of these.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return _unix(text, rest, directory)
    if kind == "systemd":
        if not re.fullmatch(r"[^\s:]{1,255}", rest):
            raise ValueError(f'"{text}" is not of the form systemd:NAME')
        return Address("systemd", path=rest)
    if kind == "fd":
        if not _PORT.fullmatch(rest):
            raise ValueError(f'"{text}" is not of the form fd:N')
        return Address("fd", port=int(rest))
    return _tcp(text)


def _unix(text: str, rest: str, directory: str) -> Address:
    if not rest:
        raise ValueError(f'"{text}" is not of the form unix:PATH')
    return Address("unix", path=unix_path(rest, directory))


def unix_path(text: str, directory: str) -> str:
    """The absolute path of a unix socket.

    :raises ValueError: it is longer than the kernel takes.
    """
    path = resolve(text, directory)
    if len(os.fsencode(path)) > _UNIX_PATH_MAX:
        raise ValueError(f"{path} is longer than the {_UNIX_PATH_MAX} bytes that the path of a unix socket may have")
    return path


def _tcp(text: str) -> Address:
    if _PORT.fullmatch(text):
        raise ValueError(f'"{text}" is a port without an address, did you mean "127.0.0.1:{text}" or "*:{text}"?')
    if "/" in text:
        raise ValueError(f'"{text}" is not an address: write host:port, without a scheme or a path')
    if _is_ip(text, 6):
        raise ValueError(f'"{text}" has no port, or no brackets, did you mean "[{text}]:80"?')
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        raise ValueError(f'"{text}" has no port, did you mean "{text}:80"?')
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f'"{port}" is not a port, expected 0 to 65535')
    return Address("tcp", _host(host, port), int(port))


def _host(host: str, port: str) -> str:
    if host in {"", "*"}:
        return ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ip(host, 6):
            raise ValueError(f'"{host}" is not an IPv6 address')
    elif _is_ip(host, 6):
        raise ValueError(f'an IPv6 address stands in brackets, did you mean "[{host}]:{port}"?')
    elif re.fullmatch(r"[0-9.]+", host):
        if not _is_ip(host, 4):
            raise ValueError(f'"{host}" is not an IPv4 address')
    elif not _is_name(host.lower()):
        raise ValueError(f'"{host}" is neither an IP address nor a host name')
    return host


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _is_name(text: str) -> bool:
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def show_address(address: Address) -> str:
    """The text that parses to ``address``."""
    return f"*:{address.port}" if address.kind == "tcp" and not address.host else str(address)


def parse_host(text: str, directory: str) -> str:  # noqa: ARG001 - every parser is given the directory
    """A host that a site claims, as the Host field will show it: lower case, A-labels, no port, no final dot.

    An IPv6 address has no brackets, as ``http.target.split_host`` takes them off. A wildcard is ``*.`` and a name.

    :raises ValueError: it is no host, or has something beside it.
    """
    if "/" in text:
        bare = re.sub(r"^[a-z]+://", "", text.lower()).split("/")[0]
        raise ValueError(f'"{text}" is not a host name' + (f', did you mean "{bare}"?' if bare else ""))
    if text == "*":
        raise ValueError('"*" is not a host name; default = yes makes a site answer for all other hosts')
    if text.startswith("."):
        raise ValueError(f'"{text}" is not a host name, did you mean "{text[1:]}" and "*{text}"?')
    address = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _is_ip(address, 6):
        return ipaddress.IPv6Address(address).compressed
    if ":" in text:
        bare = text.rpartition(":")[0]
        raise ValueError(f'"{text}": a host has no port here, did you mean "{bare}"?')
    wildcard = "*." if text.startswith("*.") else ""
    name = text.removeprefix("*.").removesuffix(".").lower()
    if not name.isascii():
        name = _to_ascii(name)
    if "*" in name:
        raise ValueError(f'"{text}": a * may only stand for the first labels, as in *.demo.test')
    if not _is_name(name):
        raise ValueError(f'"{text}" is not a host name')
    return wildcard + name


def _to_ascii(name: str) -> str:
    try:
        import idna  # noqa: PLC0415 - optional: only names outside ASCII need it
    except ImportError:
        raise ValueError(f'"{name}" is not ASCII: write its xn-- form, or install the package idna') from None
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise ValueError(f'"{name}" is not a host name: {error}') from None


addresses = Kind(
    "addresses, one a line: host:port, [v6]:port, *:port, unix:PATH, systemd:NAME or fd:N",
    parse_address,
    lambda value: "\n".join(map(show_address, value)),
    split_lines,
)


def parse_proxy(text: str, directory: str) -> str:  # noqa: ARG001 - every parser is given the directory
    """An address, a network such as ``10.0.0.0/8``, or ``unix:``, in its shortest form.

    :raises ValueError: it is none of these.
    """
    if text == "unix:":
        return text
    if text == "*":
        raise ValueError('"*" would believe everybody; name the proxies, or write 0.0.0.0/0, ::/0 and unix:')
    if text.startswith("unix:"):
        raise ValueError(f'"{text}": unix: stands alone, for whoever connects to a unix socket')
    try:
        network = ipaddress.ip_network(text.replace("%", "x"), strict=False)  # no zones
    except ValueError:
        raise ValueError(f'"{text}" is neither an address, nor a network such as 10.0.0.0/8, nor unix:') from None
    address, slash, _ = text.partition("/")
    if slash and ipaddress.ip_address(address) != network.network_address:
        raise ValueError(f'"{text}" is an address within a network, did you mean "{network}"?')
    mapped = network.network_address.ipv4_mapped if network.version == 6 else None
    if mapped is not None:
        raise ValueError(f'"{text}" is an IPv4 address, did you mean "{mapped}"?')
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


hosts = Kind("host names, separated by commas or one a line", parse_host, ", ".join, split_words)
proxies = Kind(
    "addresses, networks such as 10.0.0.0/8, or unix:, separated by commas or one a line",
    parse_proxy,
    ", ".join,
    split_words,
)
