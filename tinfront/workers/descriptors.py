"""Descriptors that pass between the front and its workers: bodies to a worker, files of answers back to the front.

A passed descriptor shares its offset and its rights with the one it was made from. So a body is opened anew for each
attempt, read-only, and what a worker passes is looked at before it is used.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import stat

from tinfront.http.message import OpenFile
from tinfront.workers.frames import OFFSET
from tinfront.workers.passing import receive_fds

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_STALE_MAX = 64


def reopen(fd: int) -> int:
    """A read-only descriptor of the same file, with an offset of its own.

    :raises OSError: there is no /proc, or there are no descriptors left.
    """
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def send_with_body(sock: socket.socket, message: bytes, body_fd: int) -> None:
    """Send a job, and beside it the body that ``body_fd`` holds.

    :raises OSError: not now (``BlockingIOError``), or not at all.
    """
    try:
        # A worker may open what it gets once more, for writing: a second worker must not read what it wrote.
        fcntl.fcntl(body_fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        pass  # an unlinked file, which only its owner can open; or sealed already
    fd = reopen(body_fd)
    try:
        sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    finally:
        os.close(fd)


def receive_file(sock: socket.socket, job_id: int) -> OpenFile | None:
    """The descriptor that a worker passed for a job: a regular file that can be read. None if there is no such thing.

    Those of jobs that were given up meanwhile are closed on the way.
    """
    for _ in range(_STALE_MAX):
        try:
            data, fds = receive_fds(sock, OFFSET.size, 1)
        except OSError:
            return None
        files = [OpenFile(fd) for fd in fds]
        if not data:
            return None
        if files and data == OFFSET.pack(job_id):
            return files[0] if _is_readable(files[0].fd) else None
    return None


def _is_readable(fd: int) -> bool:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    return stat.S_ISREG(os.fstat(fd).st_mode) and flags & os.O_ACCMODE != os.O_WRONLY and not flags & os.O_PATH
