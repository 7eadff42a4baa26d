"""The fast path: accepted sockets become the own transports of an asyncio or uvloop loop, which drive our connections.

``acceptor`` hands the sockets over. It is not an ``IStreamServerEndpoint``: such an endpoint promises Twisted
transports to Twisted protocols, and doing without both is where the speed comes from. ``bridge`` is the other path.

TLS is the loop's (the ``ssl`` module): ``connection_made`` comes after the handshake. A ``close_notify`` of the client
calls ``eof_received`` and closes the transport whatever it returns; a mere end of the stream only closes it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from functools import partial
from typing import Any

from twisted.logger import Logger

from tinfront.config.model import Limits
from tinfront.front.roll import Roll
from tinfront.front.tls import Certificates
from tinfront.interfaces import IConnection

log = Logger(namespace="tinfront.listen")


class LoopLink:
    """An ``asyncio.Protocol`` in front of a connection, so that the roll knows how it fares.

    What is hot, ``data_received``, is the connection's own bound method.

    :ivar told: the connection has been asked to go.
    """

    __slots__ = ("_roll", "connection", "data_received", "task", "told", "transport")

    def __init__(self, connection: IConnection, roll: Roll) -> None:
        self.connection = connection
        self.data_received = connection.data_received
        self.transport: Any = None
        self.task: asyncio.Task[Any] | None = None
        self.told = False
        self._roll = roll

    def connection_made(self, transport: Any) -> None:
        """See ``IConnection``."""
        self.transport = transport
        self._roll.pending.pop(self, None)
        self._roll.made(self)
        try:
            self.connection.connection_made(transport)
        except Exception:  # noqa: BLE001 - logged; without us it would stay open, deaf
            log.failure("a connection failed as it began")
            transport.abort()

    def eof_received(self) -> bool:
        """See ``IConnection``."""
        keep = self.connection.eof_received()
        # On TLS True has no effect but a warning in the log.
        return keep and self.transport.get_extra_info("ssl_object") is None

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

    def abort(self) -> None:
        """Close now, be it in the middle of the handshake."""
        if self.transport is not None:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()


class LoopOpener:
    """Opens accepted sockets on a loop. See ``acceptor.Opener``.

    :param certificates: needed for TLS only.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, certificates: Certificates | None) -> None:
        self._loop = loop
        self._limits = limits
        self._certificates = certificates
        self._opening: set[asyncio.Task[Any]] = set()

    def open(self, sock: socket.socket, connection: IConnection, roll: Roll, secure: bool) -> None:
        """See ``acceptor.Opener``."""
        link = LoopLink(connection, roll)
        settings: dict[str, Any] = {}
        if secure:
            assert self._certificates is not None
            settings = {
                "ssl": self._certificates.context,
                "ssl_handshake_timeout": self._limits.handshake_timeout,
                "ssl_shutdown_timeout": self._limits.linger_timeout,
            }
            roll.pending[link] = time.monotonic()
        protocol: Any = link  # any object with the callbacks will do
        opening = self._loop.connect_accepted_socket(lambda: protocol, sock, **settings)
        link.task = task = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(partial(self._opened, link, sock, roll))

    def _opened(self, link: LoopLink, sock: socket.socket, roll: Roll, task: asyncio.Task[Any]) -> None:
        self._opening.discard(task)
        link.task = None
        error = None if task.cancelled() else task.exception()
        if link.transport is None:
            roll.pending.pop(link, None)
            roll.fail(getattr(link.connection, "peer", "a client"), error or "it was cut short")
            sock.close()
            roll.leave()
        elif error is not None and not isinstance(error, OSError):
            log.error("a transport failed after it was opened: {error!r}", error=error)
