"""Accepting: from a listening socket to an accepted one in the hands of an opener.

It is done here and not by a loop's server, so that the bounds hold before any TLS, running out of descriptors closes
nobody, and a client that speaks plain HTTP to a TLS port gets an answer it can read. ``listener`` makes one
``Acceptor`` per listening socket; ``transport`` and ``bridge`` provide the openers.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.logger import Logger
from zope.interface import implementer

from tinfront.config.model import Limits
from tinfront.front.roll import Arrival, Roll
from tinfront.interfaces import IConnection

log = Logger(namespace="tinfront.listen")

BATCH = 64
"""Connections accepted before others get their turn."""

PAUSE = 0.5
"""Seconds after which accepting is tried again when descriptors or memory had run out, if nobody closed before."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_HANDSHAKE = b"\x16"  # the record type every TLS client begins with, RFC 8446 section 5.1

_TEXT = b"400 Bad Request: plain HTTP was sent to an HTTPS port. Use https:// in the address.\n"
PLAIN_TEXT_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_TEXT), _TEXT)
)


class Opener(Protocol):
    """Makes an accepted socket a transport that drives a connection."""

    def open(self, sock: socket.socket, connection: IConnection, roll: Roll, secure: bool) -> None:
        """Take the socket over. From here on it calls ``roll.leave``, whatever happens.

        :raises Exception: only if it has not taken the socket.
        """


@dataclass(slots=True)
class Entrance:
    """What all acceptors of one listener share.

    :ivar name: of the listener.
    :ivar build: makes the connection for an ``Arrival``.
    :ivar descriptors: ``IDescriptors``.
    :ivar call_later: seconds and a callable.
    """

    name: str
    build: Callable[[Arrival], IConnection]
    roll: Roll
    opener: Opener
    descriptors: Any
    call_later: Callable[[float, Callable[[], None]], Any]
    limits: Limits
    secure: bool


class Acceptor:
    """Accepts from one listening socket, which it owns. It must be non-blocking.

    :ivar local: (host, port) as arrivals show it.
    """

    def __init__(self, sock: socket.socket, entrance: Entrance) -> None:
        self.socket = sock
        self.entrance = entrance
        self.local = _local(sock)
        self._mapped = sock.family == socket.AF_INET6
        self._unix = sock.family == socket.AF_UNIX
        self._reading = False
        self._open = True

    def start(self) -> None:
        """Begin, or go on after a pause. Harmless twice."""
        if self._open and not self._reading:
            self._reading = True
            self.entrance.descriptors.add_reader(self.socket.fileno(), self._readable)

    def stop(self, backlog: int) -> None:
        """Take what the kernel has queued, at most ``backlog``, then close the socket. Harmless twice."""
        if not self._open:
            return
        self._pause()
        self._open = False
        for _ in range(0, backlog + 1, BATCH):
            if not self._accept_some():
                break
        self.socket.close()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self.entrance.descriptors.remove_reader(self.socket.fileno())

    def _resume(self) -> None:
        self.entrance.roll.capacity.keep_spares()
        self.start()

    def _readable(self) -> None:
        self._accept_some()

    def _accept_some(self) -> bool:
        """Accept up to ``BATCH``. Returns whether there may be more now."""
        capacity = self.entrance.roll.capacity
        accept = self.socket.accept
        for _ in range(BATCH):
            if capacity.used >= capacity.limit:
                self._pause()
                capacity.wait(self.start, f"the limit of {capacity.limit} connections is reached")
                return False
            try:
                sock, address = accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._exhausted(error)
                    return False
                log.debug("accept: {error}", error=error)  # that client has gone, or its network (accept(2))
                continue
            self._take(sock, address)
        return True

    def _exhausted(self, error: OSError) -> None:
        """Let who is being served have the spare descriptors, and come back when a socket is closed or soon."""
        capacity = self.entrance.roll.capacity
        self._pause()
        capacity.give_spares()
        capacity.wait(self._resume, str(error.strerror).lower())
        self.entrance.call_later(PAUSE, self._resume)

    def _take(self, sock: socket.socket, address: Any) -> None:
        entrance = self.entrance
        entrance.roll.enter()
        sock.setblocking(False)
        arrival = Arrival(entrance.name, self._peer(address), self.local, entrance.secure)
        if entrance.secure:
            FirstByte(self, sock, arrival).look()
        else:
            self.open(sock, arrival)

    def _peer(self, address: Any) -> tuple[str, int]:
        if self._unix:
            return "", 0
        host, port = address[:2]
        if self._mapped and host.startswith("::ffff:"):  # an inherited socket may serve both families
            host = host[7:]
        return host, port

    def open(self, sock: socket.socket, arrival: Arrival, plain_text: bool = False) -> None:
        """Build the connection and hand the socket over; ``plain_text``: it gets no connection but an answer."""
        entrance = self.entrance
        try:
            connection = PlainText(entrance.limits.linger_timeout) if plain_text else entrance.build(arrival)
            entrance.opener.open(sock, connection, entrance.roll, arrival.secure and not plain_text)
        except Exception as error:  # noqa: BLE001 - one client's trouble must not stop the accepting
            sock.close()
            entrance.roll.leave()
            if isinstance(error, OSError):
                log.debug("{peer} has gone: {error}", peer=arrival.peer, error=error)
            else:
                log.failure("a connection from {peer} could not be opened", peer=arrival.peer)


class FirstByte:
    """A client of a TLS listener, looked at before TLS begins."""

    __slots__ = ("_acceptor", "_arrival", "_socket", "_watched")

    silent = True

    def __init__(self, acceptor: Acceptor, sock: socket.socket, arrival: Arrival) -> None:
        self._acceptor = acceptor
        self._socket = sock
        self._arrival = arrival
        self._watched = False

    def look(self) -> None:
        """See whether TLS or plain text comes; wait for it if nothing is there yet."""
        try:
            first = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            self._watch()
            return
        except OSError:
            first = b""
        self._unwatch()
        if first:
            self._acceptor.open(self._socket, self._arrival, plain_text=first != _HANDSHAKE)
        else:
            self._give_up("it left without a word")

    def abort(self) -> None:
        """It has been silent for too long."""
        self._unwatch()
        self._give_up("it sent nothing")

    def _give_up(self, why: str) -> None:
        roll = self._acceptor.entrance.roll
        self._socket.close()
        roll.fail(self._arrival.peer, why)
        roll.leave()

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            entrance = self._acceptor.entrance
            entrance.roll.pending[self] = time.monotonic()
            entrance.descriptors.add_reader(self._socket.fileno(), self.look)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            entrance = self._acceptor.entrance
            del entrance.roll.pending[self]
            entrance.descriptors.remove_reader(self._socket.fileno())


@implementer(IConnection)
class PlainText:
    """Tells a client that this port speaks TLS.

    Then it reads on for a while, or the kernel might reset the connection before the client has read that (RFC 9112
    section 9.6).
    """

    __slots__ = ("_patience", "_transport", "deadline")

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.deadline = time.monotonic() + patience

    def connection_made(self, transport: Any) -> None:
        """See ``IConnection``."""
        self._transport = transport
        self.deadline = time.monotonic() + self._patience
        transport.write(PLAIN_TEXT_ANSWER)
        transport.write_eof()

    def data_received(self, data: bytes) -> None:
        """See ``IConnection``."""

    def eof_received(self) -> bool:
        """See ``IConnection``."""
        return False

    def pause_writing(self) -> None:
        """See ``IConnection``."""

    def resume_writing(self) -> None:
        """See ``IConnection``."""

    def connection_lost(self, error: Exception | None) -> None:
        """See ``IConnection``."""

    def expire(self, now: float) -> None:
        """See ``IConnection``."""
        self._transport.abort()

    def drain(self, farewell: float = 0.0) -> None:
        """See ``IConnection``. It is on its way out anyway."""


def _local(sock: socket.socket) -> tuple[str, int]:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return (name if isinstance(name, str) else name.decode("utf-8", "replace")), 0
    return name[0], name[1]
