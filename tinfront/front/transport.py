"""The fast path: accepted sockets become the own transports of an asyncio or uvloop loop, which drive our connections.

``acceptor`` hands the sockets over. It is not an ``IStreamServerEndpoint``: such an endpoint promises Twisted
transports to Twisted protocols, and doing without both is where the speed comes from. ``bridge`` is the other path.

Where TLS is spoken ``tls_transport`` takes the place of the loop's own transport, and ``connection_made`` comes after
the handshake.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from tinfront.config.model import Limits
from tinfront.front.report import Pace
from tinfront.front.roll import Roll
from tinfront.front.tls import Certificates
from tinfront.front.tls_transport import Handshake, TlsTransport, wrap
from tinfront.interfaces import IConnection

log = Logger(namespace="tinfront.listen")


class LoopLink:
    """An ``asyncio.Protocol`` in front of a connection, so that the roll knows how it fares.

    What is hot, ``data_received``, is the connection's own bound method.

    :ivar told: the connection has been asked to go.
    :ivar give_up: ends what comes before ``connection_made``.
    """

    __slots__ = ("_roll", "connection", "data_received", "give_up", "told", "transport")

    def __init__(self, connection: IConnection, roll: Roll) -> None:
        self.connection = connection
        self.data_received: Callable[[bytes], object] = connection.data_received
        self.transport: Any = None
        self.give_up: Callable[[], object] | None = None
        self.told = False
        self._roll = roll

    def connection_made(self, transport: Any) -> None:
        """See ``IConnection``."""
        self._roll.pending.pop(self, None)
        self.transport = transport
        self._roll.made(self)
        try:
            self.connection.connection_made(transport)
        except Exception:  # noqa: BLE001 - logged; without us it would stay open, deaf
            log.failure("a connection failed as it began")
            transport.abort()

    def eof_received(self) -> bool:
        """See ``IConnection``."""
        return self.connection.eof_received()

    def pause_writing(self) -> None:
        """See ``IConnection``."""
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        """See ``IConnection``."""
        self.connection.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """See ``IConnection``."""
        try:
            self.connection.connection_lost(error)
        except Exception:  # noqa: BLE001 - logged; the socket is closed all the same
            log.failure("a connection failed as it ended")
        finally:
            self._roll.lost(self)

    def buffered(self) -> int:
        """See ``roll.Link``."""
        size: int = self.transport.get_write_buffer_size()
        return size

    def part(self) -> None:
        """The TLS transport begins to close."""
        self._roll.part(self)

    def abort(self) -> None:
        """Close now, be it in the middle of the handshake."""
        if self.transport is not None:
            self.transport.abort()
        elif self.give_up is not None:
            self.give_up()


_pace = Pace()


def report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler for the loop: what a connection did not catch goes to the log, but no flood of it."""
    if not _pace.lets():
        return
    error = context.get("exception")
    if error is None:
        log.error("{message}", message=context.get("message", "the loop has trouble"))
    else:
        log.failure("{message}", Failure(error), message=context.get("message", "the loop has trouble"))


class LoopOpener:
    """Opens accepted sockets on a loop. See ``acceptor.Opener``.

    :param certificates: needed for TLS only.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, certificates: Certificates | None) -> None:
        self._loop = loop
        self._limits = limits
        self._certificates = certificates
        self._opening: set[asyncio.Task[Any]] = set()
        if loop.get_exception_handler() is None:
            loop.set_exception_handler(report)

    def open(self, sock: socket.socket, connection: IConnection, roll: Roll, secure: bool) -> None:
        """See ``acceptor.Opener``."""
        link = LoopLink(connection, roll)
        if secure:
            self._shake(sock, link, roll)
            return
        protocol: Any = link  # any object with the callbacks will do
        task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: protocol, sock))
        link.give_up = task.cancel
        self._opening.add(task)
        task.add_done_callback(partial(self._opened, link, sock, roll))

    def _opened(self, link: LoopLink, sock: socket.socket, roll: Roll, task: asyncio.Task[Any]) -> None:
        self._opening.discard(task)
        link.give_up = None
        error = None if task.cancelled() else task.exception()
        if link.transport is None:
            _never_made(link, sock, roll, error)
        elif error is not None and not isinstance(error, OSError):
            log.error("a transport failed after it was opened: {error!r}", error=error)

    def _shake(self, sock: socket.socket, link: LoopLink, roll: Roll) -> None:
        assert self._certificates is not None
        secure = wrap(sock, self._certificates.context)
        handshake = Handshake(self._loop, secure, partial(self._shaken, secure, link, roll))
        link.give_up = handshake.abort
        roll.wait(link, self._limits.handshake_timeout)
        handshake.go_on()

    def _shaken(self, sock: ssl.SSLSocket, link: LoopLink, roll: Roll, error: Exception | None) -> None:
        link.give_up = None
        if error is None:
            link.connection_made(TlsTransport(self._loop, sock, link))
        else:
            _never_made(link, sock, roll, error)


def _never_made(link: LoopLink, sock: socket.socket, roll: Roll, error: BaseException | None) -> None:
    """An accepted socket did not become a connection."""
    roll.pending.pop(link, None)
    roll.fail(getattr(link.connection, "peer", "a client"), error or "it was cut short")
    sock.close()
    roll.leave(link.connection)
