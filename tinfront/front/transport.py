"""The fast path: accepted sockets become the own transports of an asyncio or uvloop loop, which drive our connections.

``acceptor`` hands the sockets over. It is not an ``IStreamServerEndpoint``: such an endpoint promises Twisted
transports to Twisted protocols, and doing without both is where the speed comes from. ``bridge`` is the other path.

TLS is the loop's (the ``ssl`` module): ``connection_made`` comes after the handshake. A ``close_notify`` of the client
calls ``eof_received`` and closes the transport whatever it returns; a mere end of the stream only closes it.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterable
from functools import partial
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tinfront.config.model import Limits
from tinfront.front.report import Pace
from tinfront.front.roll import Roll
from tinfront.front.tls import Certificates
from tinfront.interfaces import IConnection, ITransport

log = Logger(namespace="tinfront.listen")

HIGH_WATER = 64 * 1024
"""Bytes buffered by TLS above which a connection is paused; a loop's default is eight times that."""

_UNTIL_SWEPT = 86400.0  # the roll ends a shutdown that lasts too long, as it knows whether bytes still move


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
        if self._roll.pending.pop(self, None) is not None:
            transport = TlsTransport(self, transport)
        self.transport = transport
        self._roll.made(self)
        try:
            self.connection.connection_made(transport)
        except Exception:  # noqa: BLE001 - logged; without us it would stay open, deaf
            log.failure("a connection failed as it began")
            transport.abort()

    def eof_received(self) -> bool:
        """See ``IConnection``. On TLS True would have no effect but a warning in the log."""
        keep = self.connection.eof_received()
        return keep and not isinstance(self.transport, TlsTransport)

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
            if isinstance(self.transport, TlsTransport):
                self.transport.let_go()

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
        elif self.task is not None:
            self.task.cancel()


@implementer(ITransport)
class TlsTransport:
    """A loop's TLS transport, corrected where it does not keep what ``ITransport`` says.

    It does not count what lies in the buffer of the transport below it, so a slow client would pass for one that has
    taken everything. ``write`` is the loop's own.
    """

    __slots__ = ("_below", "_link", "_tls", "write")

    def __init__(self, link: LoopLink, transport: Any) -> None:
        self._link: LoopLink | None = link
        self._tls = transport
        self._below: Any = None
        self.write = transport.write
        transport.set_write_buffer_limits(HIGH_WATER)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """See ``ITransport``."""
        self._tls.writelines(pieces)

    def get_write_buffer_size(self) -> int:
        """See ``ITransport``."""
        if self._below is None:
            self._below = _transport_below(self._tls)
        size: int = self._tls.get_write_buffer_size() + self._below.get_write_buffer_size()
        return size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See ``ITransport``. What the transport below buffers, up to 64 KiB, is not counted here."""
        self._tls.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """See ``ITransport``."""
        self._tls.pause_reading()

    def resume_reading(self) -> None:
        """See ``ITransport``."""
        self._tls.resume_reading()

    def can_write_eof(self) -> bool:
        """See ``ITransport``."""
        return False

    def write_eof(self) -> None:
        """See ``ITransport``.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError

    def close(self) -> None:
        """See ``ITransport``."""
        if not self._tls.is_closing():
            self._tls.close()
            if self._link is not None:
                self._link.part()

    def let_go(self) -> None:
        """The connection is lost. In a circle with its link the buffers of TLS would lie until the collector comes."""
        self._link = None
        self._below = _Nothing()

    def abort(self) -> None:
        """See ``ITransport``."""
        self._tls.abort()

    def is_closing(self) -> bool:
        """See ``ITransport``."""
        closing: bool = self._tls.is_closing()
        return closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See ``ITransport``."""
        return default if name == "socket" else self._tls.get_extra_info(name, default)


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


class _Nothing:
    """Stands for the transport below when the connection is lost."""

    def get_write_buffer_size(self) -> int:
        return 0


def _transport_below(transport: Any) -> Any:
    """The transport that a TLS transport writes to. asyncio has an attribute; of uvloop only the collector knows."""
    protocol = transport.get_extra_info("uvloop.sslproto")
    if protocol is None:
        return transport._ssl_protocol._transport or _Nothing()
    return next(
        (
            found
            for found in gc.get_referents(protocol)
            if found is not transport and hasattr(found, "get_write_buffer_size")
        ),
        _Nothing(),
    )


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
        settings: dict[str, Any] = {}
        if secure:
            assert self._certificates is not None
            settings = {
                "ssl": self._certificates.context,
                "ssl_handshake_timeout": self._limits.handshake_timeout,
                "ssl_shutdown_timeout": _UNTIL_SWEPT,
            }
            roll.wait(link, self._limits.handshake_timeout)
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
            roll.leave(link.connection)
        elif error is not None and not isinstance(error, OSError):
            log.error("a transport failed after it was opened: {error!r}", error=error)
