"""Accepting: from a listening socket to an accepted one in the hands of an opener.

It is done here and not by a loop's server, so that the bounds hold before any TLS, running out of descriptors closes
nobody, a proxy can say whom it brings before TLS begins, and a client that speaks plain HTTP to a TLS port gets an
answer it can read. ``listener`` makes one ``Acceptor`` per listening socket; ``threshold`` looks at what comes first;
``transport`` and ``bridge`` provide the openers.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.logger import Logger

from tinfront.config.model import Limits
from tinfront.front.addresses import Seldom
from tinfront.front.roll import Arrival, Roll
from tinfront.front.threshold import FirstByte, FirstLine, PlainText
from tinfront.http.forwarded import Trust
from tinfront.interfaces import IConnection

log = Logger(namespace="tinfront.listen")

BATCH = 64
"""Connections that are opened before others get their turn."""

AT_ONCE = 1024
"""Connections that are accepted before others get their turn. It costs a tenth of what opening and a first answer
do, and the kernel's queue is short: who finds it full is not told, and tries again after a second
(``net.core.somaxconn``, RFC 6298 2.1)."""

PAUSE = 0.5
"""Seconds after which accepting is tried again when descriptors or memory had run out, if nobody closed before."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


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
    :ivar trust: proxies that are believed.
    :ivar announced: every connection begins with a header of the PROXY protocol.
    :ivar unannounced: what is said of those that do not.
    """

    name: str
    build: Callable[[Arrival], IConnection]
    roll: Roll
    opener: Opener
    descriptors: Any
    call_later: Callable[[float, Callable[[], None]], Any]
    limits: Limits
    secure: bool
    trust: Trust = field(default_factory=Trust)
    announced: bool = False
    unannounced: Seldom = field(
        default_factory=lambda: Seldom(
            "{peer} is disconnected for lack of a PROXY header: {why}; {count} since the last such line"
        )
    )


class Acceptor:
    """Accepts from one listening socket, which it owns. It must be non-blocking.

    More than can be opened in a turn wait in a lobby, first come, first served. They count as open sockets, so the
    bound of those is its bound.

    :ivar local: (host, port) as arrivals show it.
    """

    def __init__(self, sock: socket.socket, entrance: Entrance) -> None:
        self.socket = sock
        self.entrance = entrance
        self.local = _local(sock)
        self._mapped = sock.family == socket.AF_INET6
        self._unix = sock.family == socket.AF_UNIX
        self._lobby: deque[tuple[socket.socket, Any]] = deque()
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
        self._accept(backlog)
        self.socket.close()
        while self._lobby:
            self._take(*self._lobby.popleft())

    def leave(self) -> None:
        """Close the socket, of which another acceptor has a duplicate: what the kernel has queued is left to it."""
        if self._open:
            self._pause()
            self._open = False
            self.socket.close()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self.entrance.descriptors.remove_reader(self.socket.fileno())

    def _resume(self) -> None:
        capacity = self.entrance.roll.capacity
        capacity.keep_spares()
        capacity.go_on(self._resume)
        self.start()

    def _readable(self) -> None:
        waiting = bool(self._lobby)  # then their turn is due already
        self._accept(AT_ONCE)
        if not waiting:
            self._let_in()

    def _accept(self, most: int) -> None:
        """Take so many from the kernel's queue into the lobby, if there are."""
        roll, lobby = self.entrance.roll, self._lobby
        capacity = roll.capacity
        accept = self.socket.accept
        for turn in range(most):
            if capacity.used >= capacity.limit:
                if not turn:  # later in a turn it is not certain that anybody comes for whom somebody has to go
                    self._pause()
                    capacity.wait(self.start, f"the limit of {capacity.limit} connections is reached")
                return
            try:
                lobby.append(accept())
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._exhausted(error)
                    return
                log.debug("accept: {error}", error=error)  # that client has gone, or its network (accept(2))
            else:
                roll.enter()

    def _let_in(self) -> None:
        """Open the first in the lobby; the others when everybody else has had a turn."""
        lobby = self._lobby
        try:
            for _ in range(min(len(lobby), BATCH)):
                self._take(*lobby.popleft())
        finally:
            if lobby:
                self.entrance.call_later(0, self._let_in)

    def _exhausted(self, error: OSError) -> None:
        """Let who is being served have the spare descriptors, and come back when a socket is closed or soon."""
        capacity = self.entrance.roll.capacity
        self._pause()
        capacity.give_spares()
        capacity.wait(self._resume, str(error.strerror).lower())
        self.entrance.call_later(PAUSE, self._resume)

    def _take(self, sock: socket.socket, address: Any) -> None:
        entrance = self.entrance
        sock.setblocking(False)
        peer = self._peer(address)
        arrival = Arrival(entrance.name, peer, self.local, entrance.secure, peer[0] in entrance.trust)
        if entrance.announced:
            first_line = FirstLine(self, sock, arrival)
            first_line.look() if arrival.trusted else first_line.refuse("it is not in trusted_proxies")
        else:
            self.admit(sock, arrival)

    def _peer(self, address: Any) -> tuple[str, int]:
        if self._unix:
            return "", 0
        host, port = address[:2]
        if self._mapped and host.startswith("::ffff:"):  # an inherited socket may serve both families
            host = host[7:]
        return host, port

    def admit(self, sock: socket.socket, arrival: Arrival) -> None:
        """It is known who comes: close the socket if they are too many, else go on."""
        if not self.entrance.roll.admit(arrival.peer[0]):
            sock.close()
            self.entrance.roll.leave()
        elif arrival.secure:
            FirstByte(self, sock, arrival).look()
        else:
            self.open(sock, arrival)

    def open(self, sock: socket.socket, arrival: Arrival, plain_text: bool = False) -> None:
        """Build the connection and hand the socket over; ``plain_text``: it gets no connection but an answer."""
        entrance = self.entrance
        try:
            connection = PlainText(arrival, entrance.limits.linger_timeout) if plain_text else entrance.build(arrival)
            entrance.opener.open(sock, connection, entrance.roll, arrival.secure and not plain_text)
        except Exception as error:  # noqa: BLE001 - one client's trouble must not stop the accepting
            sock.close()
            entrance.roll.unopened(arrival, error)


def _local(sock: socket.socket) -> tuple[str, int]:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return (name if isinstance(name, str) else name.decode("utf-8", "replace")), 0
    return name[0], name[1]
