"""The fork server of one app: a fresh interpreter that imports the app once and forks workers from it, on order.

Started by ``crew.py`` through the keeper, as a bare interpreter: neither is ``sys.path`` touched nor anything else of
tinfront importable by accident. It has one thread and no reactor. When the front is gone it stops its workers and goes,
too.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from time import monotonic
from typing import Any, NoReturn

from tinfront.workers import applog, child, forks, frames, loader, sources
from tinfront.workers.bare import adopt_orphans, entitle, wake_up
from tinfront.workers.board import Board
from tinfront.workers.passing import receive_fds

GRACE = 30.0
"""Seconds that running jobs get after the front has died."""

_FDS_MAX = 253


class Nursery:
    """Forks, reaps and signals workers as the front orders.

    :ivar settings: name, wsgi, path, chdir, umask, preload, multiprocess, version, the hooks post_fork and
        worker_exit; and the inherited descriptors jobs, board, control and log.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.app: Any = None
        self._control = socket.socket(fileno=settings["control"])
        self._children: set[int] = set()
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def boot(self) -> bool:
        """Import the app, if it is to be imported here; False: this nursery is of no use."""
        settings = self.settings
        began = time.time_ns()
        forks.mind([self._control.fileno()])
        gc.disable()  # until a worker is born: what it collected would leave holes to be copied
        try:
            loader.prepare(settings["path"], settings["chdir"])
            if settings["preload"]:
                self.app = loader.load(settings["wsgi"])
        except BaseException as error:  # noqa: BLE001 - an app may call sys.exit() at import
            if forks.stray:
                forks.leave(error)
            self._report(frames.FAILED, text=traceback.format_exc())
            return False
        if forks.stray:
            forks.leave()
        if threads := _other_threads():
            self._report(frames.THREADED, text=threads)
            return False
        gc.collect()
        gc.freeze()
        if settings["preload"]:
            self._list_sources(began)
        self._report(frames.IMPORTED)
        return True

    def _list_sources(self, began: int) -> None:
        try:
            fd = sources.listed(began)
        except OSError:
            return  # then nobody knows
        self._report(frames.SOURCES, fds=[fd])
        os.close(fd)

    def run(self) -> child.Outfit | None:
        """Follow orders. Returns in each new worker with its outfit, and in the nursery, with None, at the end."""
        signal.signal(signal.SIGCHLD, wake_up)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._wake:
                    self._drain_wake()
                    self._reap()
                    continue
                try:
                    data, fds = receive_fds(self._control, frames.ORDER_MAX, _FDS_MAX)
                except OSError:
                    data, fds = b"", []
                order = frames.decode_order(data)
                if order is None:
                    self._farewell()
                    return None
                outfit = self._obey(order, fds)
                if outfit is not None:
                    return outfit

    def _obey(self, order: tuple[int, int, int, str], fds: list[int]) -> child.Outfit | None:
        kind, first, second, _ = order
        if kind == frames.KILL and first in self._children:
            os.kill(first, second)
        elif kind == frames.FORK:
            return self._fork(first, fds)
        elif kind == frames.PING:
            self._report(frames.PING, first)
        return None

    def _fork(self, seat: int, fds: list[int]) -> child.Outfit | None:
        try:
            pid = forks.fork()
        except OSError as error:
            self._report(frames.BORN, seat, 0, str(error))
            pid = -1
        if not pid:
            return self._dress(seat, fds)
        for fd in fds:
            os.close(fd)
        if pid > 0:
            self._children.add(pid)
            try:
                pidfd = [os.pidfd_open(pid)]
            except OSError:
                pidfd = []
            self._report(frames.BORN, seat, pid, fds=pidfd)
            for fd in pidfd:
                os.close(fd)
        return None

    def _dress(self, seat: int, fds: list[int]) -> child.Outfit:
        """In the new worker: let go of what is the nursery's, take what is the worker's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (self._wake, self._waker):
            os.close(fd)
        self._control.close()
        log, stacks, files, *streams = fds
        _take_log(log)
        settings = self.settings
        jobs = socket.socket(fileno=settings["jobs"])
        board = Board(settings["board"])
        os.close(settings["board"])
        return child.Outfit(
            seat,
            jobs,
            board,
            socket.socket(fileno=files),
            [socket.socket(fileno=stream) for stream in streams],
            settings["version"],
            settings["multiprocess"],
            stacks,
        )

    def _drain_wake(self) -> None:
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._children:
                self._children.remove(pid)
                text = f"user {used.ru_utime:.1f} s, system {used.ru_stime:.1f} s, at most {used.ru_maxrss} KiB"
                self._report(frames.DIED, pid, status, text)

    def _farewell(self) -> None:
        """The front is gone: stop the workers, and do not wait for ever."""
        deadline = monotonic() + GRACE
        for number in (child.STOP, signal.SIGKILL):
            while self._children and monotonic() < deadline:
                for pid in self._children:
                    os.kill(pid, number)  # again: the first may have come just before it fell asleep
                select.select([self._wake], [], [], 1.0)
                self._drain_wake()
                self._reap()
            deadline += 5.0

    def _report(self, kind: int, first: int = 0, second: int = 0, text: str = "", fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self._control, [frames.encode_order(kind, first, second, text)], fds or [])
        except OSError:
            pass  # the front is gone; the next poll tells


def main(argument: str) -> NoReturn:
    """The whole life of a nursery, and of each worker that it forks."""
    settings = json.loads(argument)
    sys.argv[:] = [settings["wsgi"]]
    _settle_in(settings)
    nursery = Nursery(settings)
    outfit = nursery.run() if nursery.boot() else None
    code = 0
    if outfit is not None:
        code = _work(nursery, outfit)
    _leave(code)


def _work(nursery: Nursery, outfit: child.Outfit) -> int:
    """In a worker: import the app if the nursery has not, then serve; returns the exit status."""
    settings = nursery.settings
    forks.mind(one.fileno() for one in (outfit.jobs, outfit.files, *outfit.streams))
    gc.enable()
    child.answer_questions(outfit.stacks)
    entitle(f"tinfront: worker {settings['name']} {outfit.seat}")
    try:
        if settings["post_fork"]:
            loader.call(settings["post_fork"])
        if nursery.app is None:
            nursery.app = loader.load(settings["wsgi"])
    except BaseException as error:  # noqa: BLE001 - an app may call sys.exit() at import
        if forks.stray:
            forks.leave(error)
        text = traceback.format_exc().encode("utf-8", "backslashreplace")[-frames.PIECE_MAX :]
        outfit.streams[0].sendall(frames.encode_reply(frames.BROKEN, 0, 0.0, None, b"", text))
        return 3
    if forks.stray:
        forks.leave()
    try:
        child.Worker(outfit, nursery.app).serve()
    except SystemExit:
        pass  # a second TERM
    if settings["worker_exit"]:
        try:
            loader.call(settings["worker_exit"])
        except BaseException:  # noqa: BLE001 - the worker ends all the same
            print(f"worker_exit = {settings['worker_exit']} failed:\n{traceback.format_exc()}", file=sys.stderr)
    return 0


def _settle_in(settings: dict[str, Any]) -> None:
    """Leave the front's terminal, session and streams."""
    try:
        os.setsid()
    except OSError:
        pass  # it leads a group already
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _take_log(settings["log"])
    if settings["umask"] is not None:
        os.umask(settings["umask"])
    sys.stdout = applog.AppStream(applog.emit_to(2), applog.INFO, 1)
    sys.stderr = applog.AppStream(applog.emit_to(2), applog.ERROR, 2)
    # No SIG_IGN: what the app starts would inherit it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, *child.SIGNALS):
        signal.signal(number, wake_up)
    faulthandler.register(child.DUMP, file=2)
    faulthandler.enable(file=2)  # a crash of C code tells where it was
    adopt_orphans()
    entitle(f"tinfront: nursery {settings['name']}")


def _take_log(fd: int) -> None:
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def _other_threads() -> str:
    """Names of the threads beside this one, or an empty text."""
    own = str(os.getpid())
    names = []
    for task in os.listdir("/proc/self/task"):
        if task != own:
            try:
                with open(f"/proc/self/task/{task}/comm", encoding="utf-8", errors="replace") as file:
                    names.append(f"{file.read().strip()} ({task})")
            except OSError:
                pass  # it has just ended
    return ", ".join(names)


def _leave(code: int) -> NoReturn:
    """End this process as the interpreter would, but without tearing its memory down page by page."""
    try:
        atexit._run_exitfuncs()
        applog.settle()
    finally:
        os._exit(code)
