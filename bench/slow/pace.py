"""How fast a core is just now: a fixed piece of work beside a load, 30 times a second, timed by the processor's clock.

A core of a virtual machine is often half of a real one, and as long as somebody works on the other half, everything
takes up to twice as long: on such a machine the same load runs at 15,000 requests/s in one second and at 23,000 in the
next. Work that is always the same sees that, too. It takes of the core what a server's does, part in Python and part
in the kernel's sockets, and 3 % of its time; what else the server does is not on its clock.

``python -m bench.slow.pace`` works until its standard input ends, and answers each line with the milliseconds that a
piece has taken since the line before.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PAUSE = 0.03
"""Seconds between two pieces."""
COUNTS, MESSAGES = 30_000, 150
"""What a piece consists of: about a millisecond, two thirds of it in Python."""
_MESSAGE = bytes(64)


class Meter:
    """A process that works beside a server, on the core on which it was started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def lap(self) -> float:
        """Milliseconds of processor time that a piece has taken since the last call, on the average."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextlib.contextmanager
def metered() -> Iterator[Meter]:
    """A meter on this process's cores; it is gone at the end of the ``with`` block."""
    command = [sys.executable, "-m", "bench.slow.pace"]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield Meter(process)
        finally:
            process.kill()


def main() -> None:
    """The process of a meter."""
    left, right = socket.socketpair()
    with left, right:
        pieces = [_piece(left, right)]
        while True:
            asked, _, _ = select.select([0], [], [], PAUSE)
            if not asked:
                pieces.append(_piece(left, right))
            elif os.read(0, 1):
                pieces = pieces or [_piece(left, right)]
                print(f"{sum(pieces) / len(pieces) * 1000:.4f}", flush=True)
                pieces = []
            else:
                return


def _piece(left: socket.socket, right: socket.socket) -> float:
    """Seconds of processor time that a piece takes."""
    began = time.process_time()
    total = 0
    for number in range(COUNTS):
        total += number
    for _ in range(MESSAGES):
        left.send(_MESSAGE)
        right.recv(4096)
    return time.process_time() - began


if __name__ == "__main__":
    main()
