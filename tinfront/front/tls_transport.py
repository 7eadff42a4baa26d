"""TLS on the fast path: OpenSSL on the socket itself, driven by the readers and writers of the loop.

The TLS of the loops goes by way of memory instead: it keeps buffers of some 200 KiB for a client that reads slowly,
copies every byte three times more, and hides from the roll what lies in which of them.

``transport`` begins a ``Handshake``; when the keys are agreed on a ``TlsTransport`` drives the connection.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from zope.interface import implementer

from tinfront.front.records import RECORD, Records
from tinfront.interfaces import IConnection, ITransport

READS = 4
TOGETHER = 8
"""Records read before others get their turn; and how many of those that were gathered pass for one."""

_OPEN, _CLOSING, _LEFT, _CLOSED = range(4)


class Link(Protocol):
    """What stands between a transport and its connection. The callbacks are those of ``IConnection``."""

    connection: IConnection
    data_received: Callable[[bytes], object]

    def eof_received(self) -> object:
        """See ``IConnection``."""

    def pause_writing(self) -> object:
        """See ``IConnection``."""

    def resume_writing(self) -> object:
        """See ``IConnection``."""

    def connection_lost(self, error: Exception | None) -> object:
        """See ``IConnection``."""

    def part(self) -> object:
        """The transport begins to close."""


def wrap(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Make TLS of a connected, non-blocking socket, which is used up, even by an error.

    :raises OSError: the client has gone.
    """
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False)


class Handshake:
    """TLS before the keys are agreed on.

    :param told: is called once, with None or with what has gone wrong, and takes the socket over.
    """

    __slots__ = ("_fd", "_loop", "_socket", "_told")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: ssl.SSLSocket, told: Callable[[Exception | None], object]
    ) -> None:
        self._socket = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._told: Callable[[Exception | None], object] | None = told

    def go_on(self) -> None:
        """One step."""
        fd, loop = self._fd, self._loop
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            loop.remove_writer(fd)
            loop.add_reader(fd, self.go_on)
        except ssl.SSLWantWriteError:
            loop.remove_reader(fd)
            loop.add_writer(fd, self.go_on)
        except (OSError, ValueError) as error:
            self._end(error)
        else:
            self._end(None)

    def abort(self) -> None:
        """Give up. Harmless when it is over."""
        self._end(ConnectionAbortedError("it was cut short"))

    def _end(self, error: Exception | None) -> None:
        told, self._told = self._told, None
        if told is not None:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            told(error)


@implementer(ITransport)
class TlsTransport:
    """See ``ITransport``. The goodbye of the client (``close_notify``) is its ``eof``; then it closes, too.

    A client that only closes its connection may have been cut off by somebody else, so that is no ``eof``.

    :ivar eager: all is read that is there, as the kernel tells of what is left over only when more has come.
    :ivar write: see ``ITransport``.
    """

    __slots__ = (
        "_fd",
        "_link",
        "_loop",
        "_read",
        "_reading",
        "_received",
        "_records",
        "_socket",
        "_stalled",
        "_state",
        "eager",
        "write",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: ssl.SSLSocket, link: Link) -> None:
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._link: Link | None = link
        self._read = sock.read
        self._received = link.data_received
        self._records = Records(loop, sock, self)
        self.write = self._records.write
        self._state = _OPEN
        self._stalled = False  # what is to be read has to wait until there is room to write
        self._reading = False
        self.eager = False
        self.resume_reading()

    # --- in

    def resume_reading(self) -> None:
        """See ``ITransport``."""
        if self._state == _OPEN and not self._reading:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def pause_reading(self) -> None:
        """See ``ITransport``."""
        if self._state == _OPEN and self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        for _ in range(READS):
            try:
                data = self._read(RECORD)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLWantWriteError:  # the client has changed its keys, and there is no room to say that we know
                self._stalled = True
                self._records.watch()
                return
            except OSError as error:
                self.end(None if isinstance(error, ssl.SSLEOFError) else error)
                return
            if not data:
                self._taken_leave()
                return
            dry = len(data) < RECORD
            if self.eager:
                data, dry = _together(self._read, data)
            if self._state == _OPEN:
                try:
                    self._received(data)
                except Exception as error:  # noqa: BLE001 - told and logged
                    self._failed(error)
                    return
            if dry or self._state != _OPEN or not self._reading:
                return

    def _taken_leave(self) -> None:
        """The client has said goodbye."""
        self._reading = False
        self._loop.remove_reader(self._fd)
        if self._state == _OPEN:
            self.call("eof_received")
        self.close()

    # --- out

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """See ``ITransport``."""
        self.write(b"".join(pieces))

    def get_write_buffer_size(self) -> int:
        """See ``ITransport``."""
        return self._records.size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See ``ITransport``. To begin with both are 0."""
        self._records.high = high or 0
        self._records.low = self._records.high // 4 if low is None else low

    def can_write_eof(self) -> bool:
        """See ``ITransport``."""
        return False

    def write_eof(self) -> None:
        """See ``ITransport``.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError

    def flushed(self) -> None:
        """See ``records.Owner``."""
        if self._state == _CLOSING:
            self._say_goodbye()
        elif self._stalled:
            self._stalled = False
            self._readable()

    # --- the end

    def close(self) -> None:
        """See ``ITransport``. It says goodbye, and waits for the client to do so; the roll knows for how long."""
        if self._state == _OPEN:
            self._state = _CLOSING
            self._records.open = False
            assert self._link is not None
            self._link.part()
            if not self._records.size:
                self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Everything has left."""
        try:
            self._socket.unwrap()
        except ssl.SSLWantWriteError:
            self._records.watch()
            return
        except ssl.SSLError:
            pass  # ours has left, but the client's is not here, be it that it has not yet stopped to send
        except OSError as error:
            self.end(error)
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.end(None)  # the client has gone
        else:
            self._state = _LEFT
            self._loop.add_reader(self._fd, self._drop)

    def _drop(self) -> None:
        """What comes after our goodbye: unread it would reset the connection, and take the answer along."""
        try:
            data = self._socket.recv(READS * RECORD)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end(None)

    def abort(self) -> None:
        """See ``ITransport``. Without goodbye, so the client sees that something lacks."""
        self.end(None)

    def is_closing(self) -> bool:
        """See ``ITransport``."""
        return self._state != _OPEN

    def end(self, error: Exception | None) -> None:
        """It is over; the connection learns of it in the next turn."""
        if self._state == _CLOSED:
            return
        self._state = _CLOSED
        self._reading = False
        self._records.close()
        self._loop.remove_reader(self._fd)
        self._loop.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        link, self._link = self._link, None
        self._received = _nobody  # in a circle with its connection it would lie about until the collector comes
        self._socket.close()
        assert link is not None
        link.connection_lost(error)

    # --- beside

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See ``ITransport``; ``records`` is for ``bypass`` and ``gather``."""
        if name == "ssl_object":
            return self._socket
        if name == "records":
            return self._records
        if name == "peername" and self._link is not None:
            return self._link.connection.peer
        return default

    def call(self, name: str) -> None:
        """Tell the connection something. Whatever it raises is told to the loop, and ends this connection only."""
        try:
            getattr(self._link, name)()
        except Exception as error:  # noqa: BLE001 - told and logged
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._loop.call_exception_handler({"message": "a connection failed", "exception": error})
        self.end(error)


def _together(read: Callable[[int], bytes], first: bytes) -> tuple[bytes, bool]:
    """Read on behind the first record. Returns what there is, and whether the kernel has no more."""
    records = [first]
    try:
        while len(records) < TOGETHER and (record := read(RECORD)):
            records.append(record)
    except ssl.SSLWantReadError:
        return b"".join(records), True
    except OSError:
        pass  # the next to read hears of it, too
    return b"".join(records), False


def _nobody(_: bytes) -> None:
    """Who receives when the connection is lost."""
