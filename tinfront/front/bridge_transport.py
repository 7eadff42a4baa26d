"""A Twisted transport under the names of ``asyncio.Transport`` (``interfaces.ITransport``). Made by ``bridge``."""

# ruff: noqa: N802 - Twisted's interfaces name their methods so

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IPushProducer
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

from tinfront.interfaces import IConnection, ITransport

if TYPE_CHECKING:
    from tinfront.front.bridge import BridgeLink

HIGH_WATER = FileDescriptor.bufferSize
"""Bytes in a Twisted transport's buffer above which it pauses its producer."""


@implementer(IPushProducer)
class _Valve:
    """How Twisted tells about its buffer: as a producer's ``pauseProducing`` and ``resumeProducing``."""

    __slots__ = ("_connection", "shut")

    def __init__(self, connection: IConnection) -> None:
        self._connection = connection
        self.shut = False

    def pauseProducing(self) -> None:
        """The buffer is over its mark. Twisted says so at each write."""
        if not self.shut:
            self.shut = True
            self._connection.pause_writing()

    def resumeProducing(self) -> None:
        """The buffer is empty."""
        if self.shut:
            self.shut = False
            self._connection.resume_writing()

    def stopProducing(self) -> None:
        """The connection is lost; ``connection_lost`` follows."""


@implementer(ITransport)
class BridgeTransport:
    """Over any Twisted transport; one for plain sockets is below."""

    __slots__ = ("_closing", "_descriptor", "_held", "_link", "_lost", "_paused", "_reactor", "_transport", "_valve")

    def __init__(self, link: BridgeLink, transport: Any, reactor: Any) -> None:
        self._link = link
        self._transport = transport
        self._reactor = reactor
        self._descriptor = _innermost(transport)
        self._held: list[bytes] = []
        self._paused = self._closing = self._lost = False
        self._valve = _Valve(link.connection)
        transport.registerProducer(self._valve, True)

    def write(self, data: bytes) -> None:
        """See ``ITransport``."""
        if not self._lost:
            self._transport.write(bytes(data))

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """See ``ITransport``."""
        self.write(b"".join(pieces))

    def get_write_buffer_size(self) -> int:
        """See ``ITransport``. Of a transport that is not a descriptor it is only known whether much is buffered."""
        descriptor = self._descriptor
        if descriptor is None:
            return HIGH_WATER if self._valve.shut else 0
        size: int = len(descriptor.dataBuffer) - descriptor.offset + descriptor._tempDataLen
        return size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See ``ITransport``. Twisted's own marks stay."""

    def pause_reading(self) -> None:
        """See ``ITransport``. What a layer in between has already read is held here."""
        if not self._paused and not self._lost:
            self._paused = True
            self._link.hold(self._held.append)
            self._transport.pauseProducing()

    def resume_reading(self) -> None:
        """See ``ITransport``. What was held comes in a later turn, before anything new."""
        if self._paused and not self._lost:
            self._paused = False
            if self._held:
                self._reactor.callLater(0, self._release)
            else:
                self._release()

    def _release(self) -> None:
        if self._paused or self._lost or self._closing:
            return
        self._link.hold(None)
        self._transport.resumeProducing()
        if self._held:
            data = b"".join(self._held)
            self._held.clear()
            self._link.connection.data_received(data)

    def can_write_eof(self) -> bool:
        """See ``ITransport``."""
        return False

    def write_eof(self) -> None:
        """See ``ITransport``.

        :raises NotImplementedError: always, as asyncio does for TLS.
        """
        raise NotImplementedError

    def close(self) -> None:
        """See ``ITransport``."""
        if not self._closing:
            self._closing = True
            self._held.clear()
            self._transport.unregisterProducer()  # or Twisted would wait for it to finish
            self._transport.loseConnection()
            self._link.part()

    def abort(self) -> None:
        """See ``ITransport``."""
        if not self._lost:
            self._closing = True
            self._transport.abortConnection()

    def is_closing(self) -> bool:
        """See ``ITransport``."""
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See ``ITransport``; also ``twisted``: the transport below."""
        if name == "peername":
            peer = self._transport.getPeer()
            return getattr(peer, "host", ""), getattr(peer, "port", 0)
        return self._transport if name == "twisted" else default

    def lose(self) -> None:
        """Called by the link: it is over."""
        self._lost = self._closing = True
        self._held.clear()


class SocketTransport(BridgeTransport):
    """Over a plain socket. What the kernel takes at once never waits in Twisted's buffer for the next turn."""

    __slots__ = ("_half_closed", "_high")

    def __init__(self, link: BridgeLink, transport: Any, reactor: Any) -> None:
        super().__init__(link, transport, reactor)
        self._high = HIGH_WATER
        self._half_closed = False

    def write(self, data: bytes) -> None:
        """See ``ITransport``."""
        if self._lost or self._closing or self._half_closed:
            return
        if self.get_write_buffer_size() == 0:
            try:
                sent = self._transport.getHandle().send(data)
            except OSError:
                sent = 0  # full; or broken, as Twisted will find out
            if sent == len(data):
                return
            data = data[sent:]
        self._transport.write(bytes(data))
        if self.get_write_buffer_size() > self._high:
            self._pause()

    def _pause(self) -> None:
        """A mark below Twisted's own is reached."""
        self._valve.pauseProducing()
        self._transport.producerPaused = True  # or Twisted would not resume what it has not paused

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See ``ITransport``. The low mark is always an empty buffer, the high one at most 64 KiB."""
        self._high = HIGH_WATER if high is None else min(high, HIGH_WATER)
        if self.get_write_buffer_size() > self._high:
            self._pause()

    def can_write_eof(self) -> bool:
        """See ``ITransport``."""
        return True

    def write_eof(self) -> None:
        """See ``ITransport``."""
        if not self._half_closed and not self._closing:
            self._half_closed = True
            self._transport.unregisterProducer()  # or Twisted would resume it instead
            self._transport.loseWriteConnection()

    def close(self) -> None:
        """See ``ITransport``."""
        if self._half_closed and not self._closing:
            self._closing = True
            self._reactor.callLater(0, self._transport.loseConnection)  # it may end the connection at once
        else:
            super().close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See ``ITransport``."""
        if name == "socket":
            return default if self._lost else self._transport.getHandle()
        return super().get_extra_info(name, default)


def _innermost(transport: Any) -> Any:
    """The descriptor under TLS and other wrappers, or None."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport if isinstance(transport, FileDescriptor) else None
