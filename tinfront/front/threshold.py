"""An accepted socket on the threshold: what it sends first is looked at before a transport takes it.

``acceptor`` puts sockets here: all of them where proxies announce their clients (``FirstLine``), then those of TLS
listeners (``FirstByte``). Not a byte is taken that belongs to what follows. While a socket waits it is pending on the
roll, whose sweep aborts it.
"""

from __future__ import annotations

import math
import socket
import time
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from tinfront.front.roll import Arrival
from tinfront.interfaces import IConnection
from tinfront.wire.proxy import V2_MAX, Announcement, NotAnnounced, read

if TYPE_CHECKING:
    from tinfront.front.acceptor import Acceptor

_HANDSHAKE = b"\x16"  # the record type every TLS client begins with, RFC 8446 section 5.1

_TEXT = b"400 Bad Request: plain HTTP was sent to an HTTPS port. Use https:// in the address.\n"
PLAIN_TEXT_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_TEXT), _TEXT)
)


class Threshold:
    """A socket that is waited for.

    :ivar silent: it has not sent a byte.
    """

    __slots__ = ("_acceptor", "_arrival", "_socket", "_watched", "silent")

    def __init__(self, acceptor: Acceptor, sock: socket.socket, arrival: Arrival) -> None:
        self._acceptor = acceptor
        self._socket = sock
        self._arrival = arrival
        self._watched = False
        self.silent = True

    def look(self) -> None:
        """See what has come."""
        raise NotImplementedError

    def _peek(self, count: int) -> bytes | None:
        """What has come, which stays where it is; None: nothing yet, and ``look`` will be called when it has."""
        try:
            return self._socket.recv(count, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _watch(self, patience: float) -> None:
        if not self._watched:
            self._watched = True
            entrance = self._acceptor.entrance
            entrance.roll.wait(self, patience)
            entrance.descriptors.add_reader(self._socket.fileno(), self.look)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            entrance = self._acceptor.entrance
            del entrance.roll.pending[self]
            entrance.descriptors.remove_reader(self._socket.fileno())

    def abort(self) -> None:
        """It has kept us waiting for too long, or we are leaving."""
        raise NotImplementedError


class FirstLine(Threshold):
    """A proxy that has to say whom it brings, by the PROXY protocol."""

    __slots__ = ("_held",)

    def __init__(self, acceptor: Acceptor, sock: socket.socket, arrival: Arrival) -> None:
        super().__init__(acceptor, sock, arrival)
        self._held = b""

    def look(self) -> None:
        """Read on. Until the header is whole all that comes belongs to it, so that is taken, and no byte after it."""
        data = self._peek(V2_MAX - len(self._held))
        if data is None:
            self._watch(self._acceptor.entrance.limits.head_timeout)
            return
        if not data:
            self.refuse("it left without one")
            return
        self.silent = False
        try:
            said = read(self._held + data)
            taken = self._socket.recv(len(data) if said is None else said.size - len(self._held))
        except (NotAnnounced, OSError) as error:
            self.refuse(str(error))
            return
        if said is None:
            self._held += taken
            self._watch(self._acceptor.entrance.limits.head_timeout)
        else:
            self._go_on(said)

    def _go_on(self, said: Announcement) -> None:
        """What the client itself says is believed only if the client is a trusted proxy in its turn."""
        self._unwatch()
        arrival = self._arrival
        arrival.trusted = False
        if said.source is not None:
            arrival.peer = said.source
            arrival.trusted = said.source[0] != "" and said.source[0] in self._acceptor.entrance.trust
        if said.destination is not None:
            arrival.local = said.destination
        arrival.https = arrival.secure or said.secure
        self._acceptor.admit(self._socket, arrival)

    def abort(self) -> None:
        """See ``Threshold``."""
        self.refuse("it did not come in time")

    def refuse(self, why: str) -> None:
        """Close it."""
        self._unwatch()
        self._socket.close()
        entrance = self._acceptor.entrance
        entrance.roll.unannounced += 1
        entrance.unannounced.say(peer=self._arrival.peer[0] or "unix:", why=why)
        entrance.roll.leave()


class FirstByte(Threshold):
    """A client of a TLS listener, looked at before TLS begins."""

    __slots__ = ()

    def look(self) -> None:
        """See whether TLS or plain text comes; wait for it if nothing is there yet."""
        first = self._peek(1)
        if first is None:
            self._watch(self._acceptor.entrance.limits.handshake_timeout)
            return
        self._unwatch()
        if first:
            self._acceptor.open(self._socket, self._arrival, plain_text=first != _HANDSHAKE)
        else:
            self._give_up("it left without a word")

    def abort(self) -> None:
        """See ``Threshold``."""
        self._unwatch()
        self._give_up("it sent nothing")

    def _give_up(self, why: str) -> None:
        roll = self._acceptor.entrance.roll
        self._socket.close()
        roll.fail(self._arrival.peer, why)
        roll.leave(self._arrival)


@implementer(IConnection)
class PlainText:
    """Tells a client that this port speaks TLS.

    Then it reads on for a while, or the kernel might reset the connection before the client has read that (RFC 9112
    section 9.6).
    """

    __slots__ = ("_patience", "_transport", "deadline", "peer")

    def __init__(self, arrival: Arrival, patience: float) -> None:
        self._patience = patience
        self.peer = arrival.peer
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

    def end(self, detail: str) -> None:
        """See ``IConnection``."""
        self._transport.abort()

    def idle_since(self) -> float:
        """See ``IConnection``."""
        return math.inf
