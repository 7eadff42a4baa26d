"""The front's handle on one nursery process: starts it, gives it orders, hears its reports, and waits for its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import tinfront
from tinfront.workers import bare, frames
from tinfront.workers.applog import LogPipe
from tinfront.workers.passing import receive_fds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue

INHERITED = ("jobs", "board", "control", "log")
"""What a nursery is given, by the names of its settings."""

NOT_INHERITED = frozenset(
    (
        *("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "FDSTORE"),
        *("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"),
        "CREDENTIALS_DIRECTORY",
    )
)
"""Variables by which systemd speaks to the server: an app that took them for its own would speak in its name."""

NOBODY: dict[str, str] = {}

_REPORT_FDS = 4
_READS = 64


class NurseryProcess:
    """One nursery.

    :ivar imported: it is ready to fork.
    :ivar told: it has said why it is of no use.
    :ivar started: monotonic seconds; ``deadline``: by when it must be ready to fork.
    :ivar asked: monotonic seconds of a PING that it has not answered, or 0.0; ``next_ping``: when to ask again.
    """

    def __init__(self, app: App, watcher: Any, log: Logger, nurse: Any) -> None:
        """``nurse`` is told ``on_report(nursery, kind, first, second, text, fds)`` and, once, ``on_end(nursery)``."""
        self.imported = self.told = False
        self.started = self.deadline = 0.0
        self.asked = self.next_ping = 0.0
        self._app = app
        self._watcher = watcher
        self._log = log
        self._nurse = nurse
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._pipe: LogPipe | None = None

    def start(self, keeper: Any, queue: JobQueue, preload: bool) -> None:
        """Start the process.

        :raises OSError: it cannot be started.
        """
        log_read, log_write = os.pipe2(os.O_CLOEXEC)
        self._pipe = LogPipe(log_read, self._watcher, self._log, self._app.name)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        inherited = {
            "jobs": queue.receiver.fileno(),
            "board": queue.board_fd,
            "control": theirs.fileno(),
            "log": log_write,
        }
        try:
            self._process = keeper.start_nursery(self._app, preload, inherited)
            self._pipe.pid = self._process.pid if self._process is not None else 0
        except OSError:
            self.close()
            self._pipe.close()
            raise
        finally:
            os.close(log_write)
            theirs.close()
        self._watcher.add_reader(self._control.fileno(), self._readable)

    @property
    def pid(self) -> int:
        """0 if it does not run."""
        return self._process.pid if self._process is not None else 0

    def order(self, kind: int, first: int = 0, second: int = 0, fds: Iterable[int] = ()) -> bool:
        """Send one order; False if it cannot be sent now."""
        if self._control is None:
            return False
        try:
            socket.send_fds(self._control, [frames.encode_order(kind, first, second)], list(fds))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hang up: a nursery without a front stops its workers and ends. Harmless twice."""
        if self._control is not None:
            self._watcher.remove_reader(self._control.fileno())
            self._control.close()
            self._control = None

    def kill(self) -> None:
        """End it at once."""
        self.close()
        if self._process is not None:
            self._process.kill()

    def reap(self) -> bool:
        """True once the process has been waited for."""
        if self._process is not None and self._process.poll() is None:
            return False
        if self._pipe is not None:
            self._pipe.close()
        return True

    def _readable(self) -> None:
        for _ in range(_READS):
            if self._control is None:
                return
            try:
                data, fds = receive_fds(self._control, frames.ORDER_MAX, _REPORT_FDS)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            report = frames.decode_order(data)
            if report is None:
                self.close()
                self._nurse.on_end(self)
                return
            self._nurse.on_report(self, *report, fds)


def environment(app: App, environ: Mapping[str, str], person: Mapping[str, str] = NOBODY) -> dict[str, str]:
    """The variables that an app finds: those of the server, but for what is meant for the server alone; then its own.

    :param person: HOME and the like, if it runs as a user of its own.
    """
    kept = {name: value for name, value in environ.items() if name not in NOT_INHERITED}
    if app.virtualenv:  # as if it had been activated
        kept["VIRTUAL_ENV"] = app.virtualenv
        kept["PATH"] = os.path.join(app.virtualenv, "bin") + os.pathsep + kept.get("PATH", os.defpath)
        for name in ("PYTHONHOME", "PYTHONPATH"):  # of our interpreter
            kept.pop(name, None)
    return {**kept, **person, **app.env}


def command(app: App, preload: bool, inherited: Mapping[str, int]) -> list[str]:
    """What to run; the environment may hold secrets, so it is not in here.

    :param inherited: the descriptors named in ``INHERITED``.
    """
    settings = {
        "name": app.name,
        "wsgi": app.wsgi,
        "path": app.path,
        "chdir": app.chdir,
        "umask": app.umask,
        "preload": preload,
        "post_fork": app.post_fork,
        "worker_exit": app.worker_exit,
        "multiprocess": app.most > 1,
        "version": tinfront.__version__,
        **inherited,
    }
    python = os.path.join(app.virtualenv, "bin", "python") if app.virtualenv else sys.executable
    return bare.command(python, "-P", "tinfront.workers.nursery", settings)
