"""How a connection ends: so that the client can read the answer, or so that it sees the answer is incomplete."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from tinfront.errors import ProtocolError
from tinfront.front import gather

if TYPE_CHECKING:
    from tinfront.front.connection import Connection

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


def close(connection: Connection, reason: str = "") -> None:
    """Close when everything has left.

    Bytes that come in unread would make the kernel reset the connection, so they are read and dropped for a while
    (RFC 9112 section 9.6).
    """
    connection.close_bypass()
    transport = connection.transport
    if transport is None or transport.is_closing() or connection.lingering:
        return
    connection.reply(connection.codec.close(reason))
    if connection.ended or not connection.codec.unread:
        transport.close()
        return
    connection.hold_reading(False)
    if connection.gathering is not None:
        gather.go_on(connection, None)
    connection.lingering = True
    connection.deadline = connection.terms.clock()  # passed: from now on each sweep looks whether this is enough
    connection.patience.until = connection.deadline + connection.terms.limits.linger_time
    if transport.can_write_eof():
        transport.write_eof()


def make_last(connection: Connection) -> None:
    """Let the answer that is due be the last: what is behind its request is not to be answered. Streams stand alone.

    So it is where a body was not awaited (RFC 9112 section 9.3): whether it came in the packet of its head must not
    decide.
    """
    if not connection.codec.multiplexed:
        connection.codec.closing = True


def cut(connection: Connection, stream_id: int) -> None:
    """Give up one answer so that the client sees it is incomplete (RFC 9112 section 8)."""
    if connection.lost:
        return
    codec = connection.codec
    data = codec.reset(stream_id, "")
    if data is not None:
        connection.reply(data)
        return
    codec.closing = True
    if codec.until_close:  # the end of the connection would pass for the end of the body
        sock = connection.transport.get_extra_info("socket")
        if sock is not None and not connection.secure:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        abort(connection)
    else:
        connection.close_bypass()
        connection.transport.close()


def give_up(connection: Connection, error: ProtocolError) -> None:
    """The whole connection is not understood any more, and has no way to answer but goodbye."""
    connection.terms.report.lost(connection.peer[0], error.reason, str(error))
    connection.leave_all()
    connection.codec.closing = True
    close(connection, error.reason)


def end(connection: Connection, detail: str) -> None:
    """The grace is over: refuse what is unanswered, cut what is on its way, close."""
    connection.codec.closing = True
    for exchange in tuple(connection.exchanges.values()):
        when_gone = exchange.when_gone
        exchange.refuse(503, "stopping", detail)
        if when_gone is not None:
            when_gone(exchange)
    if not connection.exchanges and not connection.lost:
        close(connection)


def abort(connection: Connection) -> None:
    """Close now; what is buffered is lost."""
    connection.close_bypass()
    if connection.transport is not None:
        connection.transport.abort()
