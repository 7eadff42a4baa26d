"""What drips in is gathered by the kernel: a slow upload then costs an event for many of its pieces, not for each.

``SO_RCVLOWAT`` (socket(7)): a socket counts as readable only with so many bytes, or at its end; also earlier if the
kernel is short of room for more. It is for bodies of a known length that are awaited as a whole, so that nobody waits
for their parts, and begins with the first look at them (``patience``), so that short ones never get to it.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinfront.front.connection import Connection
    from tinfront.front.exchange import Exchange

GATHERED = 32 * 1024
"""Bytes at most that lie in the kernel so."""

BEHIND = 16 * 1024
"""What of a body may be with OpenSSL while the rest of its record is to come (RFC 8446 section 5.1)."""

_COUNT = struct.Struct("i")


class Gathering:
    """A socket that gathers.

    :ivar size: it is readable with so many bytes.
    """

    __slots__ = ("_socket", "_tls", "size")

    def __init__(self, transport: Any) -> None:
        self._tls = transport if transport.get_extra_info("records") is not None else None
        self._socket = transport.get_extra_info("ssl_object" if self._tls else "socket")
        self.size = 1

    @property
    def able(self) -> bool:
        """Whether it can: it is TCP, and no TLS of Twisted's hides it."""
        return self._socket is not None and self._socket.family in {socket.AF_INET, socket.AF_INET6}

    def adapt(self, left: int) -> None:
        """So much of a body is to come. More must not be waited for, or its end would never be seen."""
        size = max(1, min(GATHERED, left - BEHIND))
        if size != self.size:
            self.size = size
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            if self._tls is not None:
                self._tls.eager = size > 1

    def unread(self) -> int:
        """Bytes that have come and are not told of; over TLS as they travel."""
        try:
            answer = fcntl.ioctl(self._socket.fileno(), termios.FIONREAD, bytes(_COUNT.size))
        except (OSError, ValueError):
            return 0  # it has just been closed
        count: int = _COUNT.unpack(answer)[0]
        return count


def look(connection: Connection, exchange: Exchange) -> int:
    """A body is on its way; let it be gathered from now on. Returns how many bytes of it have come."""
    assert exchange.body is not None
    length, whole = exchange.body.length, exchange.head.length
    gathering = connection.gathering
    if gathering is not None:
        return length + gathering.unread()
    if whole is not None and whole - length > 2 * BEHIND and not (exchange.body.live or connection.codec.multiplexed):
        gathering = Gathering(connection.transport)
        if gathering.able and not connection.transport.is_closing():
            connection.gathering = gathering
            gathering.adapt(whole - length)
    return length


def go_on(connection: Connection, exchange: Exchange | None) -> None:
    """A piece has come while ``connection`` gathers: adapt that to the rest, or end it."""
    gathering = connection.gathering
    assert gathering is not None
    left = 0
    if exchange is not None and exchange.body is not None and exchange.incomplete:
        left = (exchange.head.length or 0) - exchange.body.length
    gathering.adapt(left)
    if gathering.size == 1:
        connection.gathering = None
