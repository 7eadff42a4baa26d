"""Receiving descriptors that no child inherits: ``socket.recv_fds`` of Python 3.11 forgets the flag for that."""

from __future__ import annotations

import array
import socket

_ITEM = array.array("i").itemsize


def receive_fds(sock: socket.socket, size: int, count: int) -> tuple[bytes, list[int]]:
    """One message of at most ``size`` bytes and at most ``count`` descriptors, which no child inherits.

    :raises OSError: nothing is there, or nobody.
    """
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_LEN(count * _ITEM), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % _ITEM])
    return data, list(fds)
