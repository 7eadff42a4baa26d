"""A process that takes as much of the processor as a crowd has, in as small bites, and does nothing with it.

Slow clients sit at machines of their own. Here they sit at the server's, and take of its processor what they need to
encrypt, to check what they get, to wake up. That must not pass for what the server loses by them.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

BITE = 0.01
"""Seconds between two bites: so often a crowd wakes up, too (``clients.BEAT / crowd.SLOTS``)."""

_WORK = """\
import sys, time
share, bite = float(sys.argv[1]), float(sys.argv[2])
due = time.perf_counter()
while True:
    until = time.process_time() + share * bite
    while time.process_time() < until:
        pass
    due = max(due + bite, time.perf_counter())
    time.sleep(due - time.perf_counter() if due > time.perf_counter() else 0)
"""


@contextlib.contextmanager
def standing_in(share: float) -> Iterator[None]:
    """Take ``share`` of one core for as long as the ``with`` block lasts."""
    process = subprocess.Popen([sys.executable, "-c", _WORK, f"{share}", f"{BITE}"], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()
