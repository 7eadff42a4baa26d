"""Which files an app's code came from, and whether they have changed since.

A nursery lists them once it has imported the app (``listed``); the front remembers what they look like (``Sources``).
What a worker imports later, and what is no module, such as a template, nobody knows of.
"""

from __future__ import annotations

import os
import sys

FILES_MAX = 50_000
TEXT_MAX = 8 * 1024**2
"""Bounds of a list: a nursery runs the app's code, which may do anything."""

Look = tuple[int, int, int]
"""When a file was changed, its size, and which file it is."""


def listed(began: int) -> int:
    """The list of all modules' files, as a descriptor of a memfd.

    :param began: nanoseconds since the epoch, before the import.
    :raises OSError: there are no descriptors left.
    """
    library = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
    packages = os.path.join(library, "site-packages")
    found = [str(began)]
    for module in tuple(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str):
            continue
        path = os.path.abspath(path)
        if not path.startswith(library) or path.startswith(packages):
            found.append(path)
    fd = os.memfd_create("tinfront-sources", os.MFD_CLOEXEC)
    data = "\0".join(found).encode("utf-8", "surrogateescape")
    while data:
        data = data[os.write(fd, data) :]
    return fd


class Sources:
    """Files, and how they were when they were read.

    :ivar looks: by path; None: it cannot be seen, or has been written since the import began.
    """

    def __init__(self, fd: int) -> None:
        """Read a list; ``fd`` stays the caller's. One that makes no sense is a list of files nobody can see."""
        try:
            data = os.pread(fd, TEXT_MAX, 0)
        except OSError:
            data = b""
        first, *paths = data.decode("utf-8", "surrogateescape").split("\0")
        began = int(first) if first.isdecimal() else 0
        self.looks: dict[str, Look | None] = {}
        for path in paths[:FILES_MAX]:
            seen = look(path)
            self.looks[path] = seen if seen is not None and seen[0] <= began else None

    def changed(self) -> list[str]:
        """The files that have changed, or that nobody can see."""
        return [path for path, before in self.looks.items() if before is None or look(path) != before]


def look(path: str) -> Look | None:
    """How a file looks now; None: it cannot be seen."""
    try:
        seen = os.stat(path)
    except (OSError, ValueError):
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino
