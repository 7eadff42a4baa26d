"""Who runs where: a server has one core, with its front and its workers, and its clients have the others.

So what a server spends on slow clients is missing there in full, and what those clients spend themselves, who would
sit at machines of their own, is not missing at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Set


def parted() -> tuple[Set[int], Set[int]]:
    """The server's core, and those of its clients; where there is one only, it is both."""
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


@contextlib.contextmanager
def on(cores: Set[int]) -> Iterator[None]:
    """Run on these cores for as long as the ``with`` block lasts, as does whatever is started there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
