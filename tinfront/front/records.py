"""Out over TLS: records, made when the kernel has room for them.

So a slow client holds one record that OpenSSL has made and one that waits, and nothing of what comes behind them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import Protocol

RECORD = 16 * 1024
"""Bytes that a record holds at most (RFC 8446 section 5.1)."""

_WANT = (ssl.SSLWantWriteError, ssl.SSLWantReadError)  # OpenSSL has to wait for the kernel


class Owner(Protocol):
    """The transport."""

    def call(self, name: str) -> None:
        """Tell the connection that it should pause or resume writing."""

    def flushed(self) -> None:
        """Nothing is left."""

    def end(self, error: Exception | None) -> None:
        """The connection is broken."""


class Records:
    """What a transport has to send.

    :ivar open: more is taken.
    :ivar size: bytes that wait.
    :ivar high: bytes above which the connection has to pause, ``low``: at which it goes on. 0: whatever waits is much.
    """

    __slots__ = (
        "_buffer",
        "_corked",
        "_fd",
        "_loop",
        "_option",
        "_owner",
        "_paused",
        "_send",
        "_watching",
        "high",
        "low",
        "open",
        "size",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: ssl.SSLSocket, owner: Owner) -> None:
        self._loop = loop
        self._fd = sock.fileno()
        self._send = sock.write
        self._option = sock.setsockopt if sock.family != socket.AF_UNIX else None
        self._owner: Owner | None = owner
        self._buffer: deque[memoryview] = deque()
        self._corked = False
        self._paused = False
        self._watching = False
        self.open = True
        self.size = self.high = self.low = 0

    def write(self, data: bytes) -> None:
        """Send it all, sooner or later."""
        if not self.open or not data:
            return
        view = memoryview(data)
        if len(data) > RECORD:
            self.cork()
        taken = 0 if self._buffer else self.take(view)
        if taken < len(data):
            rest = view[taken:]
            self._keep(rest if len(rest) > len(data) // 2 else memoryview(bytes(rest)))  # the other half need not stay
        if self._corked:
            self.uncork()

    def cork(self) -> None:
        """What is sent from now on leaves in full packets: several records leave as one, and wake the client once."""
        if not self._corked and self._option is not None:
            self._corked = True
            self._option(socket.IPPROTO_TCP, socket.TCP_CORK, 1)

    def uncork(self) -> None:
        """No more comes for now, so what there is may leave, be the packet full or not. If something waits it comes."""
        if self._corked and not self._buffer and self._option is not None:
            self._corked = False
            self._option(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def take(self, data: memoryview) -> int:
        """Send what the kernel has room for; of what it has not, one record is kept. Nothing may wait already.

        :returns: how many bytes are taken care of.
        """
        rest = data
        try:
            while rest:
                rest = rest[self._send(rest[:RECORD]) :]
        except _WANT:
            self.watch()
            record = bytes(rest[:RECORD])  # made already: OpenSSL has to be asked for the same the next time
            self._keep(memoryview(record))
            return len(data) - len(rest) + len(record)
        except OSError as error:
            self._end(error)
        return len(data)

    @property
    def free(self) -> bool:
        """Nothing waits, and more is taken."""
        return self.open and not self._buffer

    def _keep(self, piece: memoryview) -> None:
        self._buffer.append(piece)
        self.size += len(piece)
        if self.size > self.high and not self._paused and self._owner is not None:
            self._paused = True
            self._owner.call("pause_writing")

    def watch(self) -> None:
        """``flushed`` is called when the kernel has room and nothing waits any more."""
        if not self._watching:
            self._watching = True
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        buffer = self._buffer
        try:
            while buffer:
                piece = buffer[0]
                sent = self._send(piece[:RECORD])
                self.size -= sent
                if sent < len(piece):
                    buffer[0] = piece[sent:]
                else:
                    buffer.popleft()
        except _WANT:
            pass
        except OSError as error:
            self._end(error)
            return
        if self._paused and self.size <= self.low and self._owner is not None:
            self._paused = False
            self._owner.call("resume_writing")
        if self._owner is not None and not buffer:
            self._watching = False
            self._loop.remove_writer(self._fd)
            self.uncork()
            self._owner.flushed()

    def _end(self, error: Exception) -> None:
        if self._owner is not None:
            self._owner.end(error)

    def close(self) -> None:
        """No more; what waits is lost."""
        self.open = False
        self._option = None  # the socket is closed next, and corks no more
        self._owner = None
        self._buffer.clear()
        self.size = 0
        if self._watching:
            self._watching = False
            self._loop.remove_writer(self._fd)
