"""What signals do to a running site. Installed once the reactor runs, in place of the reactor's own.

The command imports this before all else, for ``remember_early``: it needs little of the standard library, no Twisted.

====== =========================================================================
TERM   stop: no new connection, running requests finish within the grace, exit 0
INT    the same; a second TERM or INT stops at once
QUIT   stop at once
HUP    reload: configuration, certificates, new code for the apps
TTIN   one worker more for each app; TTOU: one less
USR1   reopen the access log, after it was renamed
USR2   write to the error log what every worker is doing
====== =========================================================================
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

Action = Callable[[], object]

EARLY = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What is no request to end, but would end a process that does not mind it."""

_early: set[int] = set()


def remember_early(numbers: Iterable[signal.Signals] = EARLY) -> None:
    """From now on these signals do not end the process, and ``install`` makes up for them.

    To be called before anything that takes a while: who sends one does not know how far the server has got.
    """
    for number in numbers:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _remember)


def _remember(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - every handler is given the frame
    _early.add(number)


class Signals:
    """Runs actions in the reactor when signals come."""

    def __init__(self, reactor: Any, actions: dict[signal.Signals, Action]) -> None:
        """:param reactor: provides ``IReactorFromThreads``."""
        self._reactor = reactor
        self._actions = actions
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Take the signals over. A handler that twistd has for USR1, to rotate its own log, is still called."""
        for number in self._actions:
            self._before[number] = signal.signal(number, self._received)
        for number in self._actions.keys() & _early:
            _early.discard(number)
            self._reactor.callFromThread(self._actions[number])

    def restore(self) -> None:
        """Give them back."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        which = signal.Signals(number)
        before = self._before.get(which)
        if which is signal.SIGUSR1 and callable(before) and before is not _remember:
            before(number, frame)
        self._reactor.callFromThread(self._actions[which])
