"""Descriptors that pass between processes."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinfront.workers.descriptors import receive_file, reopen, send_with_body
from tinfront.workers.frames import OFFSET


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_reopened_descriptor_has_its_own_offset(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"0123456789")
        file.flush()
        (tmp_path / "file").unlink()
        fds = [reopen(file.fileno()) for _ in range(2)]
        assert [os.read(fd, 20) for fd in fds] == [b"0123456789"] * 2
        assert not any(map(os.get_inheritable, fds))
        for fd in fds:
            os.close(fd)


def test_a_memfd_is_sealed_before_it_is_passed(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    fd = os.memfd_create("body", os.MFD_ALLOW_SEALING)
    os.write(fd, b"body")
    before = len(os.listdir("/proc/self/fd"))
    send_with_body(ours, b"job", fd)
    assert len(os.listdir("/proc/self/fd")) == before
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    data, fds, _, _ = socket.recv_fds(theirs, 10, 1)
    assert (data, os.read(fds[0], 10)) == (b"job", b"body")
    os.close(fds[0])
    os.close(fd)


def test_a_file_comes_with_its_job(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    ours, theirs = pair
    (tmp_path / "file").write_bytes(b"content")
    with (tmp_path / "file").open("rb") as file:
        for job_id in (1, 2, 3):
            socket.send_fds(theirs, [OFFSET.pack(job_id)], [file.fileno()])
    before = len(os.listdir("/proc/self/fd"))
    found = receive_file(ours, 3)  # 1 and 2 were given up
    assert found is not None
    assert os.read(found.fd, 10) == b"content"
    del found
    assert len(os.listdir("/proc/self/fd")) == before
    assert receive_file(ours, 4) is None
    theirs.close()
    assert receive_file(ours, 4) is None


def test_what_is_not_a_readable_file_is_not_taken(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    ours, theirs = pair
    (tmp_path / "file").touch()
    reader, writer = os.pipe()
    others = [
        os.open(tmp_path / "file", os.O_WRONLY),
        os.open(tmp_path / "file", os.O_PATH),
        os.open(tmp_path, os.O_RDONLY),
        os.open("/dev/null", os.O_RDONLY),
        reader,
        writer,
    ]
    before = len(os.listdir("/proc/self/fd"))
    for fd in others:
        socket.send_fds(theirs, [OFFSET.pack(1)], [fd])
        assert receive_file(ours, 1) is None
    theirs.send(OFFSET.pack(1))
    theirs.send(b"garbage")
    assert receive_file(ours, 1) is None
    socket.send_fds(theirs, [OFFSET.pack(1)], others[:3])  # more than one
    assert receive_file(ours, 1) is None
    assert len(os.listdir("/proc/self/fd")) == before
    for fd in others:
        os.close(fd)
