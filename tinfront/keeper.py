"""The one seam for acts that need privileges: ports, keys, nurseries. Everything else asks an ``IKeeper``.

``LocalKeeper`` acts in this process. It is made once, before anything forks, because descriptors that were passed in
are announced to one process id only (sd_listen_fds(3)). The front's ``listener`` and ``tls`` call it, and the pools.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import subprocess
from collections.abc import Iterable, Mapping, MutableMapping

from twisted.internet import endpoints
from zope.interface import implementer

from tinfront.config.model import Address
from tinfront.interfaces import IKeeper

FIRST_INHERITED = 3
"""The first descriptor systemd passes, sd_listen_fds(3)."""

UNIX_MODE = 0o666
"""Of unix sockets, as nginx and Twisted have it: who may connect is decided by the directory around them."""


@implementer(IKeeper)
class LocalKeeper:
    """Does it all in this process, with the privileges it has.

    :param environ: ``LISTEN_PID``, ``LISTEN_FDS`` and ``LISTEN_FDNAMES`` are taken out, so that no child finds them.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._named = _take_named(environ)
        self._adopted: dict[int, socket.socket] = {}

    def bind(self, address: Address, backlog: int) -> socket.socket:
        """See ``IKeeper``. The socket is non-blocking and not inherited by children.

        Of ``systemd`` sockets of one name the one number ``address.port`` (from 0) is returned. Descriptors that were
        passed in stay open here; the returned socket is a duplicate, so that a later listener can ask again.
        """
        if address.kind == "unix":
            return _bind_unix(address.path, backlog)
        if address.kind == "fd":
            return self._adopt(address.port)
        if address.kind == "systemd":
            descriptors = self._named.get(address.path, ())
            if address.port >= len(descriptors):
                known = ", ".join(sorted(self._named)) or "none at all"
                raise OSError(errno.ENOENT, f"systemd passed no socket of this name (it passed {known})")
            return self._adopt(descriptors[address.port])
        return _bind_tcp(address.host, address.port, backlog)

    def _adopt(self, fd: int) -> socket.socket:
        sock = self._adopted.get(fd)
        if sock is None:
            os.fstat(fd)
            try:
                sock = socket.socket(fileno=fd)
            except OSError:
                raise OSError(errno.ENOTSOCK, f"file descriptor {fd} is not a socket") from None
            if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sock.detach()
                raise OSError(errno.EINVAL, f"file descriptor {fd} is not a listening stream socket")
            sock.set_inheritable(False)
            sock.setblocking(False)
            self._adopted[fd] = sock
        return sock.dup()

    def read_key(self, path: str) -> bytes:
        """See ``IKeeper``."""
        with open(path, "rb") as file:
            return file.read()

    def start_nursery(self, argv: list[str], env: Mapping[str, str], fds: Iterable[int]) -> subprocess.Popen[bytes]:
        """See ``IKeeper``. It gets a process group of its own: Ctrl-C on a terminal is the front's to handle."""
        return subprocess.Popen(  # noqa: S603 - the argv is ours
            argv,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            close_fds=True,
            pass_fds=tuple(fds),
            process_group=0,
        )

    def close(self) -> None:
        """Give up the descriptors that were passed in."""
        while self._adopted:
            self._adopted.popitem()[1].close()


def raise_descriptor_limit() -> int:
    """Allow this process as many open files as it may have. Returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard


def _take_named(environ: MutableMapping[str, str]) -> dict[str, list[int]]:
    """Descriptors by name, as systemd has passed them to this process; those without a name are called ``unknown``."""
    told = [environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    pid, count, names = told
    if not count and environ is os.environ:  # Twisted has taken them, as it does when its endpoints are imported
        found = endpoints._SystemdParser._sddaemon.inheritedDescriptors()
        pid, count = str(os.getpid()), str(len(found))
    named: dict[str, list[int]] = {}
    if pid != str(os.getpid()) or not count.isdecimal():
        return named
    given = names.split(":") if names else []
    for index in range(int(count)):
        name = given[index] if index < len(given) else "unknown"
        fd = FIRST_INHERITED + index
        try:
            os.set_inheritable(fd, False)
        except OSError:
            continue  # announced, but not there
        named.setdefault(name, []).append(fd)
    return named


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
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        os.chmod(path, UNIX_MODE)  # before listen: until then nobody can connect
        return _listen(sock, backlog)
    except OSError:
        sock.close()
        raise


def _listen(sock: socket.socket, backlog: int) -> socket.socket:
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


def _remove_stale(path: str) -> None:
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
