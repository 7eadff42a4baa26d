"""How many processors this process is granted: what ``workers = auto`` counts.

In a container the machine's processors are the wrong number: its control group bounds the time on them, as
``cpu.max`` (cgroup v2) or ``cpu.cfs_quota_us`` (v1), and each group above it may bound it further.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

LEAST, MOST = 2, 64
"""Bounds of ``auto``: one worker is stopped by one slow request, and hundreds run out of memory."""


def auto(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> int:
    """One worker for each processor granted, within bounds."""
    return min(MOST, max(LEAST, granted(proc, root)))


def granted(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> int:
    """Whole processors: those this process may run on, or fewer if its control group has less time than that."""
    cores = float(len(os.sched_getaffinity(0)))
    for directory in _groups(proc, root):
        cores = min(cores, _quota(directory))
    return max(1, math.ceil(cores))


def _groups(proc: str, root: str) -> Iterator[str]:
    """Directories of the groups of this process, and of all above them.

    In a container the names in ``proc`` may be those of the host, which are not there; the root is its own group then.
    """
    try:
        with open(proc, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            top = root
        elif "cpu" in controllers.split(","):
            top = os.path.join(root, "cpu")
        else:
            continue
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for count in range(len(parts), -1, -1):
            yield os.path.join(top, *parts[:count])


def _quota(directory: str) -> float:
    """Processors that the group of this directory has the time of; inf if it is not bounded."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words: list[str] = []
            for name in names:
                with open(os.path.join(directory, name), encoding="ascii") as file:
                    words += file.read().split()
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):
            continue  # not there, or "max"
        if quota > 0 and period > 0:
            return quota / period
    return math.inf
