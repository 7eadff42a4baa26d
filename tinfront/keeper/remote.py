"""The front's side: an ``IKeeper`` that asks a process which has kept the privileges of the start.

``start`` makes that process, before anything is opened; ``drop`` gives the front's own privileges up. From then on the
front serves as an ordinary user. If the process dies, the front serves on with what it has, and does by itself what it
still may.
"""

from __future__ import annotations

import array
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from tinfront.config.charter import fingerprint
from tinfront.config.model import Address, App
from tinfront.config.source import Record, Source
from tinfront.keeper import messages
from tinfront.keeper.identity import Identity, hide_memory
from tinfront.keeper.local import LocalKeeper, log
from tinfront.workers import bare
from tinfront.workers.passing import receive_fds

PATIENCE = 15.0
"""Seconds after which a keeper that does not answer is given up."""

UNKNOWN = 255
"""The exit code of a nursery when nobody can tell it."""

GONE = "the process that kept root's privileges is gone; only a restart brings it back"


class Nursery:
    """A nursery that another process has started: what callers need of a ``Popen``."""

    def __init__(self, keeper: RemoteKeeper, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._keeper = keeper
        self._pidfd = pidfd

    def poll(self) -> int | None:
        """Its exit code, or None while it lives."""
        if self.returncode is None and _is_over(self._pidfd):
            self.returncode = self._keeper.reap(self.pid, self._pidfd)
            if self.returncode is not None:
                os.close(self._pidfd)
        return self.returncode

    def kill(self) -> None:
        """End it at once."""
        if self.returncode is None:
            self._keeper.signal(self.pid, self._pidfd, signal.SIGKILL)


class RemoteKeeper(LocalKeeper):
    """Opens what it may, and asks for the rest.

    :param file: the configuration, an absolute path: the other process reads it for itself.
    :param identity: whose the front will be.
    """

    def __init__(self, file: str, identity: Identity, environ: MutableMapping[str, str] = os.environ) -> None:
        super().__init__(environ)
        self._file = file
        self._identity = identity
        self.owner = identity.uid, identity.gid
        self._environ = environ
        self._lock = threading.Lock()  # the access log is opened anew by a thread
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._descriptors: Any = None

    # --- its life

    def start(self) -> None:
        """Start the process; harmless twice.

        :raises OSError: it cannot be started.
        """
        if self._process is not None:
            return
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.settimeout(PATIENCE)
        settings = {"socket": theirs.fileno(), "file": self._file}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the arguments are ours
                bare.command(sys.executable, "-I", "tinfront.keeper.process", settings),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        finally:
            theirs.close()
        self._pidfd = os.pidfd_open(self._process.pid)

    def drop(self, descriptors: Any) -> None:
        """Become the user, if that has not been done by twistd; and watch the process.

        :raises OSError: the front cannot become that user.
        """
        if not os.geteuid():
            self._identity.assume()
        hide_memory()
        self._environ.update(self._identity.environment())
        if not os.access(os.path.dirname(os.__file__), os.R_OK | os.X_OK):
            log.error(
                "{user} may not read {path}, where Python is installed: neither this server nor apps will get far",
                user=self._identity.name,
                path=os.path.dirname(os.__file__),
            )
        log.info("running as {user}; {keeper} keeps root's privileges", user=self._identity.name, keeper=self._pid)
        self._descriptors = descriptors
        if self._pidfd >= 0:
            descriptors.add_reader(self._pidfd, self._lose)

    @property
    def _pid(self) -> str:
        return f"process {self._process.pid}" if self._process is not None else "nobody"

    def _lose(self) -> None:
        log.error("{gone}. What is open stays open", gone=GONE)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._pidfd >= 0:
            if self._descriptors is not None:
                self._descriptors.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        with self._lock:
            if self._sock is not None:
                self._sock.close()
                self._sock = None

    def close(self) -> None:
        """The end: the process removes the unix sockets that it has made, and ends too."""
        super().close()
        self._hang_up()
        if self._process is not None:
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                log.error("{keeper} does not end", keeper=self._pid)

    # --- what it is asked for

    def bind(self, address: Address, backlog: int) -> socket.socket:
        """See ``IKeeper``. What was passed in is here, not there."""
        if address.kind not in {"tcp", "unix"} or self._sock is None:
            return super().bind(address, backlog)
        _, fds = self._ask("bind", address.kind, address.host, str(address.port), address.path, str(backlog))
        sock = socket.socket(fileno=fds[0])
        sock.setblocking(False)
        return sock

    def read_key(self, path: str) -> bytes:
        """See ``IKeeper``."""
        if self._sock is None:
            return super().read_key(path)
        _, fds = self._ask("key", path)
        with open(fds[0], "rb") as file:
            return file.read()

    def open_log(self, path: str) -> int:
        """See ``IKeeper``."""
        if self._sock is None:
            return super().open_log(path)
        return self._ask("log", path)[1][0]

    def configuration(self) -> Source:
        """See ``IKeeper``. The front's user need not be able to read it."""
        if self._sock is None:
            return super().configuration()
        _, fds = self._ask("config")
        with open(fds[0], "rb") as file:
            return Record(file.read())

    def start_nursery(self, app: App, preload: bool, inherited: Mapping[str, int]) -> Any:
        """See ``IKeeper``. Without a user of its own an app runs as the front does, and is the front's child."""
        if app.user is None:
            return super().start_nursery(app, preload, inherited)
        if self._sock is None:
            raise OSError(errno.EPERM, GONE)
        words = (app.name, fingerprint(app), "preload" if preload else "", ",".join(inherited))
        answer, fds = self._ask("start", *words, fds=inherited.values())
        return Nursery(self, int(answer[0]), fds[0])

    def signal(self, pid: int, pidfd: int, number: int) -> None:
        """See ``IKeeper``."""
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass
        except OSError:
            try:
                self._ask("end", str(pid), str(number))
            except OSError as error:
                log.warn("process {pid} cannot be signalled: {error}", pid=pid, error=error.strerror)

    def reap(self, pid: int, pidfd: int) -> int | None:
        """The exit code of a nursery that has ended; None: not yet."""
        try:
            code = self._ask("reap", str(pid))[0][0]
        except OSError:  # its parent is gone, or denies it: it may have become ours
            return _wait(pidfd)
        return int(code) if code else None

    def _ask(self, *words: str, fds: Iterable[int] = ()) -> tuple[list[str], list[int]]:
        """Ask, and wait for the answer.

        :raises OSError: it is no, or there is none.
        """
        try:
            message = messages.encode(*words)
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error)) from None
        with self._lock:
            if self._sock is None:
                raise OSError(errno.EPERM, GONE)
            try:
                rights = array.array("i", fds)
                self._sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else [])
                data, received = receive_fds(self._sock, messages.MAX, messages.FDS_MAX)
            except OSError:
                data, received = b"", []
            if not data:  # it is dead, or so late that its answer would be taken for the next one's
                self._sock.close()
                self._sock = None
                raise OSError(errno.EPERM, GONE)
        verdict, *answer = messages.decode(data)
        if verdict != "ok":
            raise OSError(int(answer[0]), answer[1])
        return answer, received


def _is_over(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _wait(pidfd: int) -> int:
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except OSError:
        return UNKNOWN
    if found is None:
        return UNKNOWN
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
