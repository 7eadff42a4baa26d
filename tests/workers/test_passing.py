"""Receiving descriptors."""

from __future__ import annotations

import os
import socket

import pytest

from tinfront.workers.passing import receive_fds


def test_descriptors_come_with_their_message_and_are_not_inherited() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    socket.send_fds(theirs, [b"two"], [reader, writer])
    theirs.send(b"none")
    data, fds = receive_fds(ours, 100, 4)
    assert data == b"two"
    assert not any(map(os.get_inheritable, fds))
    os.write(fds[1], b"x")
    assert os.read(reader, 1) == b"x"
    assert receive_fds(ours, 100, 4) == (b"none", [])
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        receive_fds(ours, 100, 4)
    theirs.close()
    assert receive_fds(ours, 100, 4) == (b"", [])
    ours.close()
    for fd in (*fds, reader, writer):
        os.close(fd)
