"""Opening what listens and what is appended to, with whatever rights the process has. Used on both sides."""

from __future__ import annotations

import errno
import os
import socket
import stat

from tinfront.config.model import Address

UNIX_MODE = 0o666
"""Of unix sockets, as nginx and Twisted have it: who may connect is decided by the directory around them."""


def bind(address: Address, backlog: int) -> socket.socket:
    """A non-blocking listening socket for a tcp or unix address.

    :raises OSError: it cannot be bound.
    """
    if address.kind == "unix":
        return _bind_unix(address.path, backlog)
    return _bind_tcp(address.host, address.port, backlog)


def _bind_tcp(host: str, port: int, backlog: int) -> socket.socket:
    family, kind, proto, _, sockaddr = socket.getaddrinfo(
        host or "0.0.0.0",  # noqa: S104 - the configuration asks for it
        port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(sockaddr)
        return _listen(sock, backlog)
    except OSError:
        sock.close()
        raise


def _bind_unix(path: str, backlog: int) -> socket.socket:
    remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Not by chmod afterwards: as root, in another user's directory, that could be led to any file.
    before = os.umask(0o777 & ~UNIX_MODE)
    try:
        sock.bind(path)
        return _listen(sock, backlog)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)


def _listen(sock: socket.socket, backlog: int) -> socket.socket:
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


def remove_stale(path: str) -> None:
    """Remove a unix socket that nobody listens on any more.

    :raises OSError: something else is there, or somebody does listen.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "a file that is not a socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except BlockingIOError:  # its backlog is full, so somebody is there
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from None
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def open_log(path: str) -> int:
    """A descriptor that appends to a log, made if it is missing, in a directory that others may write to.

    There a symbolic link could lead root to any file, so it is followed only where root alone could have put it.

    :raises OSError: it cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW, 0o640)
    except OSError as error:
        if error.errno != errno.ELOOP or not _is_root_s(os.path.dirname(path)):
            raise
        fd = os.open(path, flags, 0o640)
    os.set_blocking(fd, True)
    return fd


def _is_root_s(directory: str) -> bool:
    status = os.stat(directory)
    return status.st_uid == 0 and not status.st_mode & 0o022


def open_key(path: str) -> int:
    """A descriptor to read a certificate or key from.

    :raises OSError: it cannot be opened, or is no file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is not a file")
    return fd
