"""The error log on standard error, written by a thread: a pipe that nobody reads must not stop the front.

``cli`` gives it to Twisted's logging in the place of ``sys.stderr``. Under twistd the log is twistd's own.
"""

from __future__ import annotations

from tinfront.front.accesslog import Writer

FAREWELL = 2.0
"""Seconds for which the end waits for whoever reads."""


class ErrorLog:
    """A text stream that takes every line at once. What finds no room is dropped, and the next line says how many.

    :ivar dropped: writes that found no room, ever.
    """

    encoding = "utf-8"

    def __init__(self, fd: int = 2) -> None:
        """:param fd: the descriptor to write to; it stays open and as it is."""
        self._writer = Writer("-", fd, "tinfront-error-log")
        self._untold = 0
        self.dropped = 0

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()

    def write(self, text: str) -> int:
        """Take some lines. Safe for threads."""
        told = self._untold
        gap = f"… {told} lines of this log were lost: nobody reads them\n" if told else ""
        if self._writer.put((gap + text).encode("utf-8", "backslashreplace")):
            self._untold -= told
        else:
            self._untold += 1
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Nothing to do: the thread writes at once."""

    def stop(self) -> None:
        """Write what is there; gives up after a while."""
        self._writer.stop(FAREWELL)
