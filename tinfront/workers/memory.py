"""How much memory a process holds, seen from outside: the kernel's word, which a leaking app cannot forget to give."""

from __future__ import annotations

import os

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> tuple[int, int]:
    """Bytes in memory, and how many of them are of no file and of no shared memory. (0, 0) if it is gone.

    What a worker shares with its nursery counts in both. It costs a look at a counter.
    """
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            words = file.read().split()
        return int(words[1]) * _PAGE, (int(words[1]) - int(words[2])) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0, 0


def private(pid: int) -> int | None:
    """Bytes that are this process's alone; None if we may not look, or it is gone.

    The kernel walks all its pages for that: a millisecond or more for each 100 MB.
    """
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    parts = [line.split() for line in lines if line.startswith((b"Private_Clean:", b"Private_Dirty:"))]
    return sum(int(part[1]) for part in parts) * 1024 if parts else None


def switches(pid: int, tid: int) -> int | None:
    """How often this thread has given its processor up to wait for something; None if it is gone."""
    try:
        with open(f"/proc/{pid}/task/{tid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"voluntary_ctxt_switches:"):
                    return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None
