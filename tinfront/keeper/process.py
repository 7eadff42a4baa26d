"""The process that keeps root's privileges when the front gives them up.

A fresh interpreter without reactor, plugins or third-party code. It answers the front, one request at a time, and
trusts it with nothing: the front talks to the world, and may have been taken over. So it reads the configuration for
itself, and does only what that names: listen on its addresses, open its keys and logs, start its apps as their users.
Neither a command nor a path of the front's choice ever reaches the kernel. When the front ends, it ends.
"""

from __future__ import annotations

import array
import errno
import json
import os
import select
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from tinfront.config.charter import Charter, read_charter, record
from tinfront.config.model import Address
from tinfront.errors import ConfigError
from tinfront.keeper import messages, ports
from tinfront.keeper.identity import hide_memory
from tinfront.keeper.nurseries import spawn
from tinfront.workers.bare import adopt_orphans, entitle, wake_up
from tinfront.workers.nursery_process import INHERITED
from tinfront.workers.passing import receive_fds

CHARTERS = 4
"""Readings that hold: the front may still run with an older one when a new one could not be put to use."""

CHILDREN_MAX = 1000
"""Nurseries, dead ones included until the front has asked for their exit code."""

Answer = tuple[list[str], list[int]]
"""Words, and descriptors that are closed here once they are sent."""

_Found = TypeVar("_Found")


class Keeper:
    """Answers the front.

    :param file: the configuration.
    """

    def __init__(self, sock: socket.socket, file: str) -> None:
        self._sock = sock
        self._file = file
        self._charters: deque[Charter] = deque([Charter()], CHARTERS)
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._verbs: dict[str, tuple[int, Callable[..., Answer]]] = {
            "bind": (5, self._bind),
            "key": (1, self._key),
            "log": (1, self._log),
            "config": (0, self._config),
            "end": (2, self._end),
            "reap": (1, self._give_status),
        }

    def run(self) -> None:
        """Answer until the front has gone."""
        signal.signal(signal.SIGCHLD, wake_up)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._wake:
                    self._drain_wake()
                    self._reap()
                elif not self._serve():
                    self._farewell()
                    return

    def _serve(self) -> bool:
        """Answer one request; False: there is nobody any more."""
        try:
            data, fds = receive_fds(self._sock, messages.MAX, messages.FDS_MAX)
            if not data:
                return False
            words, given = self.answer(data, fds)
            rights = array.array("i", given)
            self._sock.sendmsg([messages.encode(*words)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError:
            return False
        for fd in (*fds, *given):
            os.close(fd)
        return True

    def answer(self, data: bytes, fds: list[int]) -> Answer:
        """The answer to any bytes. ``fds`` stay the caller's."""
        verb, *words = messages.decode(data)
        try:
            if verb == "start" and len(words) == 4:
                told, given = self._start(words, fds)
            elif verb in self._verbs and len(words) == self._verbs[verb][0] and not fds:
                told, given = self._verbs[verb][1](*words)
            else:
                raise OSError(errno.EINVAL, "this is no request")
        except OSError as error:
            text = (error.strerror or str(error)).replace("\0", "?")[:1000]
            return ["no", str(error.errno or errno.EIO), text], []
        except ValueError as error:
            return ["no", str(errno.EINVAL), f"this is no request: {error}"[:1000].replace("\0", "?")], []
        return ["ok", *told], given

    # --- the verbs

    def _bind(self, *words: str) -> Answer:
        kind, host, port, path, backlog = words
        address = Address(kind, host, _number(port, 65535), path)
        self._granted(lambda charter: charter.may_bind(address) or None, str(address))
        return [], [ports.bind(address, _number(backlog, 65535)).detach()]

    def _key(self, path: str) -> Answer:
        self._granted(lambda charter: path in charter.keys or None, path)
        return [], [ports.open_key(path)]

    def _log(self, path: str) -> Answer:
        self._granted(lambda charter: path in charter.logs or None, path)
        return [], [ports.open_log(path)]

    def _config(self) -> Answer:
        """The file that this process was started with, and what that includes."""
        data = record(self._file)
        with open(os.memfd_create("tinfront-config"), "wb") as file:
            file.write(data)
            file.seek(0)
            return [], [os.dup(file.fileno())]

    def _start(self, words: list[str], fds: list[int]) -> Answer:
        name, mark, preload, names = words
        if tuple(names.split(",")) != INHERITED or len(fds) != len(INHERITED):
            raise OSError(errno.EINVAL, "these are not the descriptors of a nursery")
        app = self._granted(lambda charter: charter.app(name, mark), f"[app:{name}] as it runs")
        if app.user is None:
            raise OSError(errno.EPERM, f"[app:{name}] has no user of its own")
        if len(self._children) >= CHILDREN_MAX:
            raise OSError(errno.EAGAIN, "there are too many nurseries")
        child = spawn(app, bool(preload), dict(zip(INHERITED, fds, strict=True)), os.environ)
        self._children[child.pid] = child
        return [str(child.pid)], [os.pidfd_open(child.pid)]

    def _end(self, pid: str, number: str) -> Answer:
        """Only children of this process: nurseries, and workers whose nursery has died."""
        target = _number(pid, 2**31 - 1)
        try:
            os.waitid(os.P_PID, target, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except OSError:
            raise OSError(errno.EPERM, "it was not started from here") from None
        os.kill(target, _number(number, 64))
        return [], []

    def _give_status(self, pid: str) -> Answer:
        self._reap()
        target = _number(pid, 2**31 - 1)
        if target not in self._children:
            raise OSError(errno.ECHILD, "it was not started from here")
        code = self._children[target].returncode
        if code is None:
            return [""], []
        del self._children[target]
        return [str(code)], []

    # --- what is granted

    def _granted(self, look: Callable[[Charter], _Found | None], what: str) -> _Found:
        """What ``look`` finds in one of the readings; if in none, the file is read again.

        :raises OSError: it is not named.
        """
        for charter in self._charters:
            if (found := look(charter)) is not None:
                return found
        try:
            newest = read_charter(self._file)
        except ConfigError as error:
            raise OSError(errno.EPERM, f"{what} is not granted: {error.findings[0]}") from None
        if newest != self._charters[0]:
            self._charters.appendleft(newest)
        if (found := look(newest)) is None:
            raise OSError(errno.EPERM, f"{what} is not granted: {self._file} does not name it")
        return found

    # --- children and the end

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._children:
                self._children[pid].returncode = os.waitstatus_to_exitcode(status)

    def _drain_wake(self) -> None:
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass

    def _farewell(self) -> None:
        """The front is gone: remove the unix sockets that it could not remove."""
        for path in set().union(*(charter.sockets for charter in self._charters)):
            try:
                ports.remove_stale(path)
            except OSError:
                pass  # another server listens there by now, or it is no socket


def main(argument: str) -> NoReturn:
    """The whole life of the process."""
    settings: dict[str, Any] = json.loads(argument)
    # It ends with the front, not before: a signal for the whole group or control group is the front's to heed.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, wake_up)
    hide_memory()
    adopt_orphans()
    entitle("tinfront: keeper")
    sock = socket.socket(fileno=settings["socket"])
    sock.set_inheritable(False)
    Keeper(sock, settings["file"]).run()
    os._exit(0)


def _number(text: str, most: int) -> int:
    """:raises ValueError: it is none, or too large."""
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > most:
        raise ValueError(f"{text[:20]!r} is no number up to {most}")
    return int(text)
