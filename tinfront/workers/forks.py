"""Processes that an app forks by itself: what comes back from the app in one of them is no second worker.

A copy of a worker would take jobs, hold a claim that nobody watches and write into the answers of the original. So in a
copy the ways to the front lead nowhere, and where it leaves the app's code it ends, as a child of ``multiprocessing``
does. What stays inside the app's code, or becomes another program, is not disturbed.

Used by the nursery and its workers, and by the front for ``mode = threads``.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from typing import NoReturn

from tinfront.workers import applog

stray = False
"""Whether this process is such a copy."""

_ours = False
_ways: tuple[int, ...] = ()
_minding = False


def mind(descriptors: Iterable[int] = ()) -> None:
    """From now on a copy of this process is a stray, without these descriptors, which replace those of before."""
    global _minding, _ways  # noqa: PLW0603 - of the process, as what is told to it at a fork
    _ways = tuple(descriptors)
    if not _minding:
        _minding = True
        os.register_at_fork(after_in_child=_go_astray)


def fork() -> int:
    """Fork a process that is no stray; as ``os.fork``."""
    global _ours  # noqa: PLW0603
    _ours = True
    try:
        return os.fork()
    finally:
        _ours = False


def leave(error: BaseException | None = None) -> NoReturn:
    """End this process, which is a stray; ``error`` is what it came back from the app with."""
    code: object = 0
    if isinstance(error, SystemExit):
        code = error.code
    elif error is not None:
        code = 1
        traceback.print_exception(error, file=sys.stderr)
    try:
        applog.settle()
    finally:
        os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))


def _go_astray() -> None:
    global stray  # noqa: PLW0603
    if _ours:
        return
    stray = True
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in _ways:
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)
