"""What an app says (``wsgi.errors``, ``sys.stdout``, ``sys.stderr``, descriptors 1 and 2) on its way to the error log.

A worker's descriptors 1 and 2 are one pipe that the front reads. Python's streams write records into it that carry a
level and the request's id; everything else that arrives (C code, children of the app, a crashing interpreter) is
taken line by line. The writing half runs in the workers and in the threads of ``threads.py``.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted.logger import Logger

RECORD_MAX = 32 * 1024
"""Characters of one record; what is over is cut, and the record says so."""

READ_SIZE = 8 * 1024
"""Bytes of the log that are taken at once."""

_RECORD, _TEXT, _BREAK = "\x1e", "\x1f", "\x1d"
_NEUTRAL = dict.fromkeys((*range(9), *range(11, 32), 127, *range(128, 160)), "?")

INFO, ERROR = "i", "e"

current: dict[int, str] = {}
"""Thread ident to id of the request that runs in it."""

unfinished: set[AppStream] = set()
"""Streams that hold a line without its end."""

Emit = Callable[[str, str, str], None]
"""Takes level, request id and text."""


class AppStream(io.TextIOBase):
    """A text stream whose lines go to the error log, each with the request's id. Safe for threads.

    What is written without a newline is kept until one comes, ``RECORD_MAX`` is reached, or the request ends; several
    lines written at once, such as a traceback, stay one record.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, emit: Emit, level: str, fd: int = -1) -> None:
        self._emit = emit
        self._level = level
        self._fd = fd
        self._partial: dict[int, str] = {}
        self._buffer: io.BufferedIOBase | io.RawIOBase | None = None

    @property
    def buffer(self) -> Any:
        """The bytes below, for apps that write bytes."""
        if self._buffer is None:
            self._buffer = io.FileIO(self.fileno(), "wb", closefd=False)
        return self._buffer

    def fileno(self) -> int:
        """The descriptor that goes the same way."""
        if self._fd < 0:
            raise io.UnsupportedOperation("this stream has no descriptor")
        return self._fd

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Take some text."""
        if not isinstance(text, str):
            raise TypeError(f"write() wants str, not {type(text).__name__}")
        ident = threading.get_ident()
        whole = self._partial.pop(ident, "") + text
        lines, newline, rest = whole.rpartition("\n")
        if newline:
            self._emit(self._level, current.get(ident, ""), lines)
        if len(rest) >= RECORD_MAX:
            self._emit(self._level, current.get(ident, ""), rest)
        elif rest:
            self._partial[ident] = rest
            unfinished.add(self)
        return len(text)

    def flush(self) -> None:
        """Nothing waits here but unfinished lines, which go when the request ends."""

    def settle(self) -> None:
        """Let the unfinished line of this thread go."""
        ident = threading.get_ident()
        rest = self._partial.pop(ident, "")
        if rest:
            self._emit(self._level, current.get(ident, ""), rest)
        if not self._partial:
            unfinished.discard(self)


def settle() -> None:
    """The request of this thread is over: let its unfinished lines go."""
    for stream in list(unfinished):
        stream.settle()


def emit_to(fd: int) -> Emit:
    """An ``Emit`` that writes records into the pipe ``fd``."""

    def emit(level: str, request_id: str, text: str) -> None:
        text = cut(text).replace("\n", _BREAK)
        data = f"{_RECORD}{level}{request_id}{_TEXT}{text}\n".encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(fd, data) :]
        except OSError:
            pass  # the front is gone, and so will this process be

    return emit


def cut(text: str) -> str:
    """The text, shortened to ``RECORD_MAX`` characters in its middle: both ends of a traceback matter."""
    if len(text) <= RECORD_MAX:
        return text
    half = RECORD_MAX // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters cut]\n{text[-half:]}"


class LogPipe:
    """The front's end of one worker's pipe.

    :ivar pid: of the worker, for the log; 0 until it is known.
    """

    __slots__ = ("_app", "_fd", "_log", "_tail", "_watcher", "pid")

    def __init__(self, fd: int, watcher: Any, log: Logger, app: str) -> None:
        self.pid = 0
        self._fd = fd
        self._watcher = watcher
        self._log = log
        self._app = app
        self._tail = b""
        os.set_blocking(fd, False)
        watcher.add_reader(fd, self.readable)

    def readable(self) -> None:
        """Log the lines that have come; one small read a turn, so that a noisy app cannot hold the front."""
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._tail = (self._tail + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._tail) > 4 * RECORD_MAX:
            self._line(self._tail)
            self._tail = b""

    def close(self) -> None:
        """Log what is left, and stop. Harmless twice."""
        if self._fd < 0:
            return
        self._watcher.remove_reader(self._fd)
        try:
            self._tail += os.read(self._fd, 64 * 1024)
        except OSError:
            pass
        os.close(self._fd)
        self._fd = -1
        for line in self._tail.split(b"\n"):
            self._line(line)
        self._tail = b""

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        level, request_id = "", ""
        if text.startswith(_RECORD):
            level = text[1:2]
            request_id, _, text = text[2:].partition(_TEXT)
        text = text.rstrip("\r").replace(_BREAK, "\n")
        if text:
            log_line(self._log, level, self._app, self.pid, request_id, text)


def log_line(log: Logger, level: str, app: str, pid: int, request_id: str, text: str) -> None:
    """Write one event; control characters are taken out, so that an app cannot forge lines or colour a terminal."""
    write = log.error if level == ERROR else log.info if level == INFO else log.warn
    write(
        "[{app}] pid={pid} req={request_id} {line}",
        app=app,
        pid=pid,
        request_id=request_id.translate(_NEUTRAL).replace("\n", "?") or "-",
        line=text.translate(_NEUTRAL),
    )
