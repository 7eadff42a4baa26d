"""The front's handle on one nursery process: starts it, gives it orders, hears its reports, and waits for its end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import tinfront
from tinfront.workers import frames
from tinfront.workers.applog import LogPipe
from tinfront.workers.nursery import BOOTSTRAP

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue

_REPORT_FDS = 4
_READS = 64

Report = Callable[[int, int, int, str, list[int]], None]
"""Takes kind, two numbers, text and descriptors, which are the taker's from then on."""


class Nurse:
    """One nursery.

    :ivar on_report: takes each report.
    :ivar on_end: called once when the nursery has closed its end, so is dead or dying.
    :ivar imported: it is ready to fork.
    """

    def __init__(self, app: App, watcher: Any, log: Logger, on_report: Report, on_end: Callable[[Nurse], None]) -> None:
        self.on_report = on_report
        self.on_end = on_end
        self.imported = False
        self._app = app
        self._watcher = watcher
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self, keeper: Any, queue: JobQueue, preload: bool) -> None:
        """Start the process.

        :raises OSError: it cannot be started.
        """
        app = self._app
        log_read, log_write = os.pipe2(os.O_CLOEXEC)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._pipe = LogPipe(log_read, self._watcher, self._log, app.name)
        inherited = {
            "jobs": queue.receiver.fileno(),
            "board": queue.board_fd,
            "control": theirs.fileno(),
            "log": log_write,
        }
        settings = {
            "name": app.name,
            "wsgi": app.wsgi,
            "path": app.path,
            "chdir": app.chdir,
            "preload": preload,
            "multiprocess": app.workers > 1,
            "version": tinfront.__version__,
            **inherited,
        }
        package = os.path.dirname(os.path.abspath(tinfront.__file__))
        argv = [sys.executable, "-P", "-c", BOOTSTRAP, package, tinfront.__version__, json.dumps(settings)]
        try:
            self._process = keeper.start_nursery(argv, {**os.environ, **app.env}, list(inherited.values()))
        except OSError:
            self.close()
            raise
        finally:
            os.close(log_write)
            theirs.close()
        self._pipe.pid = self._process.pid if self._process else 0
        self._watcher.add_reader(self._control.fileno(), self._readable)

    @property
    def alive(self) -> bool:
        """Whether orders reach it."""
        return self._control is not None

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
        self._pipe.close()
        return True

    def _readable(self) -> None:
        for _ in range(_READS):
            if self._control is None:
                return
            try:
                data, fds, _, _ = socket.recv_fds(self._control, frames.ORDER_MAX, _REPORT_FDS, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            report = frames.decode_order(data)
            if report is None:
                self.close()
                self.on_end(self)
                return
            self.on_report(*report, fds)
