"""The access log: one line per exchange, written off the hot path.

An exchange that is over is put on a list; lines are made in batches and written by a thread, so that neither a slow
disk nor the making of a line costs a request its time. Both the list and the thread's queue are bounded; what does
not fit is dropped, counted, and reported.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from tinfront.interfaces import IObserver

BATCH = 256
"""Exchanges after which lines are made without waiting for the next tick."""

QUEUE_MAX = 8 * 1024 * 1024
"""Bytes of lines that may wait for the disk."""

_unsafe = re.compile(r"[^ !#-\[\]-~]").search
_escape = re.compile(r"[^ !#-\[\]-~]").sub


def escaped(text: str) -> str:
    r"""``text`` with quotes, backslashes, controls and non-ASCII as ``\xHH``, as nginx writes them."""
    return _escape(lambda match: f"\\x{ord(match[0]):02X}", text) if _unsafe(text) else text


class Moments:
    """Monotonic seconds to wall-clock texts, one made per second.

    :ivar first: monotonic seconds from which on, and ``last``: before which ``second`` is right.
    :ivar second: what ``clf`` gives for that second.
    """

    def __init__(self) -> None:
        self._offset = 0.0
        self._iso = ""
        self.first = self.last = 0.0
        self.second = ""

    def set(self, wall: float, monotonic: float) -> None:
        """How the two clocks stand to each other now."""
        self._offset = wall - monotonic
        self.first = self.last = 0.0

    def _at(self, moment: float) -> None:
        if not self.first <= moment < self.last:
            second = int(moment + self._offset)
            self.first = second - self._offset
            self.last = self.first + 1.0
            self.second = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))
            self._iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))

    def clf(self, moment: float) -> str:
        """As ``22/Nov/2026:14:28:03 +0000``."""
        self._at(moment)
        return self.second

    def iso(self, moment: float) -> str:
        """As ``2026-11-22T14:28:03.250Z`` (RFC 3339)."""
        self._at(moment)
        return f"{self._iso}.{min(999, int((moment - self.first) * 1000)):03d}Z"


def combined(exchange: Any, moments: Moments) -> str:
    """The line that nginx and Apache call combined."""
    head = exchange.head
    get = head.fields.get
    target, referer, agent = head.target, get("referer", "-"), get("user-agent", "-")
    told = target + referer + agent
    if exchange.reason or not told.isascii() or '"' in told or "\\" in told or "\t" in told:
        # A codec lets no other control through, but what was refused is shown as it came.
        target, referer, agent = escaped(target), escaped(referer), escaped(agent)
    ended = exchange.ended
    second = moments.second if moments.first <= ended < moments.last else moments.clf(ended)
    return (
        f'{exchange.peer[0] or "unix:"} - - [{second}] "{head.method} {target} {head.version}" '
        f'{exchange.status} {exchange.sent} "{referer}" "{agent}"\n'
    )


def json_line(exchange: Any, moments: Moments) -> str:
    """Everything that is known, one JSON object a line. Times are seconds.

    ``read_time``: from the head to the end of the body; ``queue_time``: waiting for a worker; ``app_time``: from the
    claim to the answer's head; ``send_time``: from there to the last byte.
    """
    head = exchange.head
    get = head.fields.get
    queue = exchange.claimed - exchange.queued if exchange.claimed else 0.0
    app = exchange.answered - exchange.claimed if exchange.claimed and exchange.answered else 0.0
    send = exchange.ended - exchange.answered if exchange.answered else 0.0
    return (
        f'{{"time":"{moments.iso(exchange.ended)}","request_id":"{exchange.request_id}",'
        f'"client":{quoted(exchange.peer[0] or "unix:")},"scheme":"{"https" if exchange.secure else "http"}",'
        f'"host":{quoted(head.authority)},"method":{quoted(head.method)},"target":{quoted(head.target)},'
        f'"version":"{head.version}","status":{exchange.status},"bytes":{exchange.sent},'
        f'"reason":{quoted(exchange.reason)},"site":{quoted(exchange.site.name if exchange.site else "")},'
        f'"time_total":{exchange.ended - exchange.started:.6f},"read_time":{exchange.received - exchange.started:.6f},'
        f'"queue_time":{max(0.0, queue):.6f},"app_time":{max(0.0, app):.6f},"send_time":{max(0.0, send):.6f},'
        f'"pid":{exchange.pid},"retries":{exchange.retries},"referer":{quoted(get("referer", ""))},'
        f'"user_agent":{quoted(get("user-agent", ""))}}}\n'
    )


FORMATS: dict[str, Callable[[Any, Moments], str]] = {"combined": combined, "json": json_line}


@implementer(IObserver)
class AccessLog:
    """An access log in a file, or on standard output.

    :ivar dropped: lines that found no room, ever.
    """

    def __init__(
        self, path: str, line: Callable[[Any, Moments], str], open_log: Callable[[str], int] | None = None
    ) -> None:
        """:param path: a file to append to, or ``-``. :param line: makes a line, ended by a newline.

        :param open_log: of ``IKeeper``; also called from the thread that writes. Without it the file is opened here.
        """
        self._writer = Writer(path)
        if open_log is not None:
            self._writer.open_log = open_log
        self._line = line
        self._over: list[Any] = []
        self._moments = Moments()
        self._reported = 0
        self.dropped = 0

    def open(self) -> None:
        """Open the file, while there are the privileges to do so.

        :raises OSError: it cannot be opened.
        """
        self._writer.open()

    def start(self) -> None:
        """Begin to write; opens the file if that has not been done.

        :raises OSError: it cannot be opened.
        """
        self._writer.start()

    def on_finish(self, exchange: Any) -> None:
        """See ``IObserver``."""
        self._over.append(exchange)
        if len(self._over) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Make the lines and give them to the writer. Called once a second, too."""
        if not self._over:
            return
        over, self._over = self._over, []
        moments, line = self._moments, self._line
        moments.set(time.time(), time.monotonic())
        data = "".join([line(exchange, moments) for exchange in over]).encode("latin-1", "backslashreplace")
        if not self._writer.put(data):
            self.dropped += len(over)

    def report(self, log: Logger) -> None:
        """Say so if lines were lost since the last report."""
        if self.dropped != self._reported:
            log.warn("the access log cannot keep up: {count} lines lost", count=self.dropped - self._reported)
            self._reported = self.dropped

    def reopen(self) -> None:
        """The file was renamed: go on with a new one of the old name."""
        self.flush()
        self._writer.reopen()

    def change(self, path: str, line: Callable[[Any, Moments], str]) -> None:
        """Go on in another file, or with other lines; what is over already goes where it belongs.

        :raises OSError: the file cannot be opened; nothing has changed.
        """
        self.flush()
        self._writer.move(path)
        self._line = line

    def stop(self) -> None:
        """Write what is there, then end. Waits for the disk, but not for ever."""
        self.flush()
        self._writer.stop()


def append_to(path: str) -> int:
    """Open a log file, which is made if it is missing.

    :raises OSError: it cannot be opened.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


class Writer:
    """A thread that appends blocks of bytes to a file, from a bounded queue.

    A descriptor in the queue is the file in which it goes on.

    :ivar open_log: opens the file; see ``IKeeper``.
    """

    open_log: Callable[[str], int] = staticmethod(append_to)

    def __init__(self, path: str, fd: int = 1, name: str = "tinfront-access-log") -> None:
        """:param fd: what the path ``-`` stands for; it is left open and as it is. :param name: of the thread."""
        self._path = path
        self._standard = fd
        self._fd = -1
        self._blocks: deque[bytes | int] = deque()
        self._waiting = 0
        self._wake = threading.Condition()
        self._reopen = self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def open(self) -> None:
        """:raises OSError: the file cannot be opened."""
        self._fd = self._open(self._path)

    def start(self) -> None:
        """Begin to write. Opens the file if that has not been done."""
        if self._fd < 0:
            self.open()
        self._thread.start()

    def _open(self, path: str) -> int:
        if path == "-":
            return os.dup(self._standard)
        return self.open_log(path)

    def put(self, data: bytes) -> bool:
        """Queue a block; False if there is no room."""
        with self._wake:
            if self._waiting + len(data) > QUEUE_MAX or self._stopped:
                return False
            self._blocks.append(data)
            self._waiting += len(data)
            self._wake.notify()
        return True

    def reopen(self) -> None:
        """Open the path anew before the next block."""
        with self._wake:
            self._reopen = True
            self._wake.notify()

    def move(self, path: str) -> None:
        """Go on in the file at ``path``, behind what is queued.

        :raises OSError: it cannot be opened; nothing has changed.
        """
        if path == self._path:
            return
        fd = self._open(path)
        with self._wake:
            self._path = path
            self._blocks.append(fd)
            self._wake.notify()

    def stop(self, patience: float = 5.0) -> None:
        """Write the rest; gives up after so many seconds."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(patience)
        elif self._fd >= 0:  # opened, but never used
            os.close(self._fd)
            self._fd = -1

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._blocks or self._reopen or self._stopped):
                    self._wake.wait()
                blocks, following = self._take()
                reopen, self._reopen = self._reopen, False
                if self._stopped and not blocks and following is None:
                    break
            if reopen:
                self._renew()
            self._write(b"".join(blocks))
            if following is not None:
                os.close(self._fd)
                self._fd = following
        os.close(self._fd)

    def _take(self) -> tuple[list[bytes], int | None]:
        """What is queued for this file, and the next file if there is one."""
        taken: list[bytes] = []
        while self._blocks:
            block = self._blocks.popleft()
            if isinstance(block, int):
                return taken, block
            taken.append(block)
        return taken, None

    def _renew(self) -> None:
        try:
            fd = self._open(self._path)
        except OSError:
            return  # better the old file than none
        os.close(self._fd)
        self._fd = fd

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            pass  # a full disk costs log lines, not the site
        with self._wake:
            self._waiting -= len(data)
