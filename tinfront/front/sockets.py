"""Listening sockets: from the addresses of a ``[listen:…]`` section, by way of the keeper. Called by ``listener``."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import replace
from typing import Any

from twisted.logger import Logger

from tinfront.config.model import Address

log = Logger(namespace="tinfront.listen")

_NOT_HERE = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
_SYSTEMD_MAX = 64

TCP_NOTSENT_LOWAT = 25
"""Of linux/tcp.h; the socket module names it from Python 3.12 on."""

UNSENT = 256 * 1024
"""Bytes of an answer that the kernel takes ahead of what it has sent.

Left alone it takes up to 4 MiB from each slow reader's answer, and a few hundred of them use up the memory that it has
for all connections together (``net.ipv4.tcp_mem``).
"""


class CannotListen(OSError):
    """An address cannot be listened on. Its text names the address and the cause; exit code 71 is due."""

    def __str__(self) -> str:
        return str(self.strerror)


class Door:
    """A listening socket.

    :ivar address: of the configuration; several doors may come of one.
    """

    __slots__ = ("_identity", "address", "socket")

    def __init__(self, address: Address, sock: socket.socket) -> None:
        self.address = address
        self.socket = sock
        self._identity = _identity(address.path) if address.kind == "unix" else None
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            # Accepted sockets have both from here.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)

    def __str__(self) -> str:
        """``host:port`` or ``unix:path``, as it is bound."""
        name = self.socket.getsockname()
        if self.socket.family == socket.AF_UNIX:
            return f"unix:{name if isinstance(name, str) else os.fsdecode(name)}"
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    def successor(self) -> Door:
        """A second door on the same socket, for the listener of a new configuration. The path stays this one's."""
        door = Door(self.address, self.socket.dup())
        door._identity = None
        return door

    def hand_over(self, successor: Door) -> None:
        """Before closing this one: the path is the successor's to remove."""
        successor._identity, self._identity = self._identity, None

    def remove_path(self) -> None:
        """Remove a unix socket's path, unless somebody else has put another there."""
        if self._identity is not None and _identity(self.address.path) == self._identity:
            try:
                os.unlink(self.address.path)
            except OSError as error:
                log.info("{path} is left behind: {error}", path=self.address.path, error=error.strerror)
        self._identity = None


def open_doors(address: Address, backlog: int, keeper: Any) -> list[Door]:
    """All sockets of one address: both families for ``*``, each address of a name, each socket of a systemd name.

    What this machine lacks, such as IPv6, is left out if something remains.

    :raises CannotListen: naming the address and the cause.
    """
    doors: list[Door] = []
    missing: OSError | None = None
    try:
        for one in _expand(address):
            if address.port == 0 and doors and address.kind == "tcp":
                one = replace(one, port=doors[0].socket.getsockname()[1])  # noqa: PLW2901 - the same for both families
            try:
                doors.append(Door(address, keeper.bind(one, backlog)))
            except OSError as error:
                if address.kind == "systemd" and doors:
                    break
                if address.kind != "tcp" or error.errno not in _NOT_HERE:
                    raise
                missing = error
        if not doors:
            raise missing or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    except OSError as error:
        for door in doors:
            door.socket.close()
            door.remove_path()
        raise CannotListen(error.errno, f"cannot listen on {show(address)}: {_cause(address, error)}") from error
    return doors


def show(address: Address) -> str:
    """An address as the configuration has it."""
    return f"*:{address.port}" if address.kind == "tcp" and not address.host else str(address)


def _expand(address: Address) -> list[Address]:
    if address.kind == "systemd":
        return [replace(address, port=index) for index in range(_SYSTEMD_MAX)]
    if address.kind != "tcp":
        return [address]
    if not address.host:
        return [replace(address, host=host) for host in ("0.0.0.0", "::")]  # noqa: S104 - asked for
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    hosts = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
    return [replace(address, host=host) for host in hosts] if len(hosts) > 1 else [address]


def _cause(address: Address, error: OSError) -> str:
    text = error.strerror or str(error)
    text = text[:1].lower() + text[1:]
    if error.errno == errno.EACCES and address.kind == "tcp" and 0 < address.port < 1024:
        text += " (ports below 1024 need root, CAP_NET_BIND_SERVICE or a socket from systemd)"
    return text


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
