"""``sys.stdout`` and ``sys.stderr`` of a process in which threads run apps: each thread's words go its app's way.

A thread of a ``ThreadCrew`` calls ``speak`` with the streams of its app and ``hush`` at its end. All other threads, the
front's first of all, write where they would have written. Only Python's streams are minded: what C code or a child of
an app writes to descriptors 1 and 2 goes where those of the server go.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any, Final

NAMES: Final = ("stdout", "stderr")

_speakers: dict[int, tuple[Any, Any]] = {}
_voices: list[Voice] = []
_lock = threading.Lock()


class Voice:
    """Stands in the place of one stream of ``sys``. Whoever keeps it may use it at any time.

    :ivar former: the stream whose place it has taken.
    """

    def __init__(self, name: str) -> None:
        self.former: Any = getattr(sys, name)
        self._name = name
        self._index = NAMES.index(name)

    def _stream(self) -> Any:
        """Where the words of this thread go."""
        streams = _speakers.get(threading.get_ident())
        return self.former if streams is None else streams[self._index]

    def write(self, text: str) -> int:
        """Take some text."""
        count: int = self._stream().write(text)
        return count

    def writelines(self, lines: Iterable[str]) -> None:
        """Take some more."""
        self._stream().writelines(lines)

    def flush(self) -> None:
        """Let it go."""
        self._stream().flush()

    def isatty(self) -> bool:
        """Whether this thread's words go to a terminal; those of an app go to a log, and need no colours."""
        return bool(self._stream().isatty())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.former, name)

    def leave(self) -> None:
        """Give the place back, unless somebody has taken it."""
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self.former)


def speak(out: Any, err: Any) -> None:
    """From now on what this thread prints goes to these streams."""
    with _lock:
        _speakers[threading.get_ident()] = (out, err)
        for name in NAMES:
            if type(getattr(sys, name)) not in (Voice, type(None)):  # an app may have put something else there
                voice = Voice(name)
                setattr(sys, name, voice)
                _voices.append(voice)


def hush() -> None:
    """Let this thread speak for itself again. Harmless twice. After the last one ``sys`` has its own streams again."""
    with _lock:
        _speakers.pop(threading.get_ident(), None)
        if not _speakers:
            while _voices:
                _voices.pop().leave()
