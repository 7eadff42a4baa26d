"""What the threads of a worker are doing: asked for by a signal, told on a pipe that the front reads.

First TELL asks the interpreter itself, which answers between two bytecodes: nothing is disturbed, and that it answers
shows that it is alive. If it stays silent, some C code keeps its lock or its main thread; then DUMP has the signal
handler itself write the stacks (faulthandler), whoever holds the lock. Only a worker that the kernel has stopped tells
nothing at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any

from tinfront.workers.applog import cut
from tinfront.workers.child import DUMP, TELL, TOLD

SILENCE = 0.5
"""Seconds for which the interpreter may be silent before its stacks are read over its head."""

GIVE_UP = 2.0
"""Seconds after which it tells nothing."""

SIZE_MAX = 256 * 1024
"""Bytes of stacks that are kept; what comes behind is dropped."""

Told = Callable[[str], None]

_HEAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-fA-F]+)[^\n]*$", re.MULTILINE)


class Stacks:
    """The front's end of one worker's pipe.

    :ivar silent_since: monotonic seconds of the first question that the interpreter has not answered; 0.0: none.
    """

    __slots__ = ("_dumped", "_fd", "_grown", "_signal", "_since", "_text", "_waiting", "_watcher", "silent_since")

    def __init__(self, fd: int, watcher: Any, signal: Callable[[int], None]) -> None:
        """Watch ``fd``. ``signal`` sends the worker a signal."""
        self.silent_since = 0.0
        self._fd = fd
        self._watcher = watcher
        self._signal = signal
        self._text = b""
        self._grown = False
        self._dumped = False
        self._since = 0.0
        self._waiting: list[Told] = []
        os.set_blocking(fd, False)
        watcher.add_reader(fd, self.readable)

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._since)

    def ask(self, now: float, told: Told) -> None:
        """Have ``told`` called with the stacks, or with "" if there are none to be had. ``tick`` must follow."""
        if self._fd < 0:
            told("")
            return
        self._waiting.append(told)
        if not self._since:
            self._since = now
            self._text = b""
            self._dumped = False
        self.probe(now)

    def probe(self, now: float) -> None:
        """See whether the interpreter is alive: ``silent_since`` tells."""
        self.silent_since = self.silent_since or now
        self._signal(TELL)

    def tick(self, now: float) -> None:
        """Ask in the other way, or give up."""
        if not self._since:
            return
        whole = self._dumped and self._text and not self._grown
        if whole or now - self._since >= GIVE_UP:
            self._settle()
        elif not self._dumped and now - self._since >= SILENCE:
            self._dumped = True
            self._text = b""
            self._signal(DUMP)
        self._grown = False

    def readable(self) -> None:
        """Take what has come."""
        try:
            data = os.read(self._fd, 64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._grown = True
        *whole, rest = (self._text + data).split(TOLD)
        if whole:
            self.silent_since = 0.0
            self._text = whole[-1]
            if self._since:
                self._settle()
        self._text = rest[:SIZE_MAX] if self._since else b""

    def close(self) -> None:
        """Watch no more; who waits gets what has come. Harmless twice."""
        if self._fd >= 0:
            self._watcher.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._settle()

    def _settle(self) -> None:
        text = self._text.decode("utf-8", "replace").strip("\n")
        self._text = b""
        self._since = 0.0
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            told(text)


def annotate(text: str, doing: Mapping[int, str]) -> str:
    """Say of each thread what it is doing, in place of its number. Those that run requests come first.

    :param doing: by Python's ident of the thread.
    """
    heads = list(_HEAD.finditer(text))
    busy: list[str] = []
    others: list[str] = []
    for head, following in zip_longest(heads, heads[1:]):
        frames = text[head.end() : following.start() if following else len(text)].strip("\n")
        what = doing.get(int(head[1], 16))
        (busy if what else others).append(f"{what or head[0].partition(' (')[0]}:\n{frames}")
    return cut("\n\n".join(busy + others) if heads else text)
