"""``LocalKeeper`` acts in this process.

It is made once, before anything forks, because descriptors that were passed in are announced to one process id only
(sd_listen_fds(3)). The front's ``listener``, ``tls`` and ``accesslog`` call it, and the pools.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
from collections.abc import Mapping, MutableMapping
from typing import Any

from twisted.internet import endpoints
from twisted.logger import Logger
from zope.interface import implementer

from tinfront.config.model import Address, App
from tinfront.config.source import DISK, Source
from tinfront.front.accesslog import append_to
from tinfront.interfaces import IKeeper
from tinfront.keeper import ports
from tinfront.keeper.nurseries import spawn

log = Logger(namespace="tinfront.keeper")

FIRST_INHERITED = 3
"""The first descriptor systemd passes, sd_listen_fds(3)."""


@implementer(IKeeper)
class LocalKeeper:
    """Does it all in this process, with the privileges it has.

    :ivar owner: uid and gid of the user whom the front will become; None: it stays who it is.
    :param environ: ``LISTEN_PID``, ``LISTEN_FDS`` and ``LISTEN_FDNAMES`` are taken out, so that no child finds them.
    """

    owner: tuple[int, int] | None = None

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._named = _take_named(environ)
        self._adopted: dict[int, socket.socket] = {}

    def bind(self, address: Address, backlog: int) -> socket.socket:
        """See ``IKeeper``. The socket is non-blocking and not inherited by children.

        Of ``systemd`` sockets of one name the one number ``address.port`` (from 0) is returned. Descriptors that were
        passed in stay open here; the returned socket is a duplicate, so that a later listener can ask again.
        """
        if address.kind == "fd":
            return self._adopt(address.port)
        if address.kind == "systemd":
            descriptors = self._named.get(address.path, ())
            if address.port >= len(descriptors):
                known = ", ".join(sorted(self._named)) or "none at all"
                raise OSError(errno.ENOENT, f"systemd passed no socket of this name (it passed {known})")
            return self._adopt(descriptors[address.port])
        return ports.bind(address, backlog)

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

    def open_log(self, path: str) -> int:
        """See ``IKeeper``."""
        return append_to(path)

    def configuration(self) -> Source:
        """See ``IKeeper``."""
        return DISK

    def start_nursery(self, app: App, preload: bool, inherited: Mapping[str, int]) -> Any:
        """See ``IKeeper``."""
        return spawn(app, preload, inherited, os.environ)

    def signal(self, pid: int, pidfd: int, number: int) -> None:
        """See ``IKeeper``."""
        try:
            signal.pidfd_send_signal(pidfd, number)
        except OSError:
            pass  # it is dead, or another user's

    def start(self) -> None:
        """Before anything is opened. There is nothing to do here."""

    def drop(self, descriptors: Any) -> None:
        """Everything is open that needs the privileges of the start. Whoever is root here stays root, and is told."""
        if not os.geteuid():
            log.warn("running as root: name a user in [server] user, who then owns the server once its ports are open")

    def close(self) -> None:
        """The end: give up the descriptors that were passed in."""
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
