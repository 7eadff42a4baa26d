"""The other path: the same connections on Twisted's own transports.

It serves reactors that have no fast loop below them, and every Twisted endpoint string. For addresses of ours
``acceptor`` accepts and the reactor adopts the sockets (``ReactorOpener``). An endpoint string accepts by itself
(``endpoint``). What differs from the loop's transports: the marks of a TLS transport are Twisted's (over 64 KiB,
and empty), and ``eof_received`` is never called on TLS, which is closed at once.
"""

# ruff: noqa: N802 - Twisted's interfaces name their methods so

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IReadDescriptor,
    IWriteDescriptor,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from tinfront.front.bridge_tls import BridgeContexts
from tinfront.front.bridge_transport import BridgeTransport, SocketTransport
from tinfront.front.roll import Roll
from tinfront.front.tls import Certificates
from tinfront.interfaces import IConnection, IDescriptors

log = Logger(namespace="tinfront.listen")


@implementer(IHandshakeListener, IHalfCloseableProtocol)
class BridgeLink(Protocol):
    """A Twisted protocol in front of a connection.

    ``dataReceived`` is an attribute: the connection's own bound method.

    :ivar told: the connection has been asked to go.
    """

    def __init__(self, reactor: Any, connection: IConnection, roll: Roll, secure: bool) -> None:
        self.connection = connection
        self.told = False
        self._ended = False
        self._reactor = reactor
        self._roll = roll
        self._secure = secure
        self._bridge: BridgeTransport | None = None

    # --- IProtocol and its relatives

    def connectionMade(self) -> None:
        """See ``IProtocol``. On TLS the connection has to wait for the handshake."""
        if self._secure:
            self._roll.wait(self, self._roll.limits.handshake_timeout)
        else:
            self._begin()

    def handshakeCompleted(self) -> None:
        """See ``IHandshakeListener``."""
        if self._roll.pending.pop(self, None) is not None:
            self._begin()

    def _begin(self) -> None:
        connection, transport = self.connection, self.transport
        kind = SocketTransport if isinstance(transport, FileDescriptor) and not self._secure else BridgeTransport
        self._bridge = bridge = kind(self, transport, self._reactor)
        self.dataReceived = connection.data_received  # type: ignore[method-assign]
        self._roll.made(self)
        try:
            connection.connection_made(bridge)
        except Exception:  # noqa: BLE001 - logged; without us it would stay open, deaf
            log.failure("a connection failed as it began")
            bridge.abort()

    def readConnectionLost(self) -> None:
        """See ``IHalfCloseableProtocol``: the client has shut its side."""
        if self._bridge is None or self._ended:
            return  # a reactor that is told to read on comes to the same end again
        self._ended = True
        if not self.connection.eof_received():
            self._bridge.close()

    def writeConnectionLost(self) -> None:
        """See ``IHalfCloseableProtocol``: our side is shut."""

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008 - Twisted's signature
        """See ``IProtocol``."""
        bridge = self._bridge
        if bridge is None:
            self._roll.pending.pop(self, None)
            self._roll.fail(getattr(self.connection, "peer", "a client"), reason.value)
            self._roll.leave(self.connection)
            return
        # a client that does not answer our goodbye on TLS has not lost anything
        ordinary = bridge.is_closing() or reason.check(ConnectionDone, ConnectionAborted)
        error = None if ordinary or not isinstance(reason.value, Exception) else reason.value
        bridge.lose()
        try:
            self.connection.connection_lost(error)
        except Exception:  # noqa: BLE001 - logged; the socket is closed all the same
            log.failure("a connection failed as it ended")
        finally:
            self._roll.lost(self)

    # --- for the transport and the roll

    def hold(self, receive: Callable[[bytes], None] | None) -> None:
        """Deliver to ``receive`` what comes in; None: to the connection again."""
        self.dataReceived = receive or self.connection.data_received  # type: ignore[method-assign,assignment]

    def buffered(self) -> int:
        """See ``roll.Link``."""
        return self._bridge.get_write_buffer_size() if self._bridge is not None else 0

    def part(self) -> None:
        """A TLS transport begins to close."""
        self._roll.part(self)

    def abort(self) -> None:
        """Close now, be it in the middle of the handshake."""
        if self._bridge is not None:
            self._bridge.abort()
        elif self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]


class ReactorOpener(Factory):
    """Opens accepted sockets on a reactor that can adopt them. See ``acceptor.Opener``.

    :param certificates: needed for TLS only.
    """

    noisy = False

    def __init__(self, reactor: Any, certificates: Certificates | None) -> None:
        self._reactor = reactor
        self._next: BridgeLink | None = None
        self._tls = wrap_tls(self, reactor, certificates) if certificates else None
        self._accepted: list[tuple[socket.socket, IConnection, Roll, bool]] = []

    def open(self, sock: socket.socket, connection: IConnection, roll: Roll, secure: bool) -> None:
        """See ``acceptor.Opener``.

        The reactor may still hold an event for a descriptor that was closed earlier in this turn, and would take the
        newcomer with the same number for it. So newcomers have to wait for the next turn.
        """
        if not self._accepted:
            self._reactor.callLater(0, self._adopt_all)
        self._accepted.append((sock, connection, roll, secure))

    def _adopt_all(self) -> None:
        accepted, self._accepted = self._accepted, []
        for arrival in accepted:
            self._adopt(*arrival)

    def _adopt(self, sock: socket.socket, connection: IConnection, roll: Roll, secure: bool) -> None:
        self._next = BridgeLink(self._reactor, connection, roll, secure)
        try:
            self._reactor.adoptStreamConnection(sock.fileno(), sock.family, self._tls if secure else self)
        except Exception as error:  # noqa: BLE001 - one client's trouble is not the next one's
            roll.unopened(connection, error)
        finally:
            sock.close()  # the reactor has a duplicate

    def buildProtocol(self, addr: Any) -> BridgeLink | None:
        """See ``IProtocolFactory``: called by the reactor while ``open`` hands it a socket."""
        link, self._next = self._next, None
        return link


def wrap_tls(factory: Factory, reactor: Any, certificates: Certificates) -> TLSMemoryBIOFactory:
    """``factory`` behind our TLS."""
    return TLSMemoryBIOFactory(BridgeContexts(certificates), False, factory, reactor)


@implementer(IReadDescriptor, IWriteDescriptor)
class _Watched:
    """One descriptor, for a Twisted reactor. The same object for both directions: the epoll reactor wants it so."""

    def __init__(self, fd: int, reactor: Any) -> None:
        self._fd = fd
        self._reactor = reactor
        self.read: tuple[Callable[..., object], tuple[Any, ...]] | None = None
        self.written: tuple[Callable[..., object], tuple[Any, ...]] | None = None

    def fileno(self) -> int:
        """See ``IFileDescriptor``."""
        return self._fd

    def logPrefix(self) -> str:
        """See ``ILoggingContext``."""
        return "tinfront"

    def connectionLost(self, reason: Failure) -> None:
        """See ``IFileDescriptor``. The reactor has dropped it for an event without anything to read.

        That is how a pipe ends, which the owner has to see; or the event was meant for the descriptor that had this
        number before, and was closed earlier in this very turn. Either way the owner reads or writes and finds out,
        and who does not stop watching then is watched for again.
        """
        self.doRead()
        self.doWrite()
        if self.read is not None:
            self._reactor.addReader(self)
        if self.written is not None:
            self._reactor.addWriter(self)

    def doRead(self) -> None:
        """See ``IReadDescriptor``."""
        self._call(self.read)

    def doWrite(self) -> None:
        """See ``IWriteDescriptor``."""
        self._call(self.written)

    def _call(self, watch: tuple[Callable[..., object], tuple[Any, ...]] | None) -> None:
        if watch is None:
            return
        try:
            watch[0](*watch[1])
        except Exception:  # noqa: BLE001 - as a loop would: the reactor would silently drop the descriptor instead
            log.failure("a callback of a descriptor failed")


@implementer(IDescriptors)
class ReactorDescriptors:
    """``IDescriptors`` on any Twisted reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._watched: dict[int, _Watched] = {}

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """See ``IDescriptors``."""
        watched = self._watched.setdefault(fd, _Watched(fd, self._reactor))
        watched.read = callback, args
        self._reactor.addReader(watched)

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """See ``IDescriptors``."""
        watched = self._watched.setdefault(fd, _Watched(fd, self._reactor))
        watched.written = callback, args
        self._reactor.addWriter(watched)

    def remove_reader(self, fd: int) -> bool:
        """See ``IDescriptors``."""
        watched = self._watched.get(fd)
        if watched is None or watched.read is None:
            return False
        watched.read = None
        self._reactor.removeReader(watched)
        self._forget(watched)
        return True

    def remove_writer(self, fd: int) -> bool:
        """See ``IDescriptors``."""
        watched = self._watched.get(fd)
        if watched is None or watched.written is None:
            return False
        watched.written = None
        self._reactor.removeWriter(watched)
        self._forget(watched)
        return True

    def _forget(self, watched: _Watched) -> None:
        if watched.read is None and watched.written is None:
            del self._watched[watched.fileno()]
