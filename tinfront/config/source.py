"""Where the files of a configuration come from: the disk, or a process that may read what this one may not.

Below ``files.py``, which asks a source for everything. A ``Recorder`` writes down what it was asked and what the disk
answered; that travels as bytes, and a ``Record`` answers the same questions elsewhere.
"""

from __future__ import annotations

import errno
import glob
import json
import os
from typing import Any, Protocol

FILE_MAX = 1024 * 1024
"""Bytes of one file."""

RECORD_MAX = 16 * 1024 * 1024
"""Bytes of all files that one record takes."""


class Source(Protocol):
    """What ``files.Reader`` needs."""

    def read(self, path: str) -> bytes:
        """The file's contents; of one that is too large, ``FILE_MAX`` + 1 bytes. Or an OSError."""

    def match(self, pattern: str, directory: str) -> list[str]:
        """The files that a pattern of names stands for, sorted and relative to ``directory``."""


class Disk:
    """The files as this process may read them."""

    def read(self, path: str) -> bytes:
        """See ``Source``."""
        with open(path, "rb") as stream:
            return stream.read(FILE_MAX + 1)

    def match(self, pattern: str, directory: str) -> list[str]:
        """See ``Source``."""
        return sorted(glob.glob(pattern, root_dir=directory))


DISK = Disk()


class Recorder(Disk):
    """The disk, and a record of what it has answered."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._errors: dict[str, int] = {}
        self._matches: dict[str, list[str]] = {}
        self._room = RECORD_MAX

    def read(self, path: str) -> bytes:
        """See ``Source``.

        :raises OSError: with ``EFBIG`` also for what the record has no room for.
        """
        try:
            data = super().read(path)
            self._room -= len(data)
            if self._room < 0:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        except OSError as error:
            self._errors[path] = error.errno or errno.EIO
            raise
        self._files[path] = data.decode("utf-8", "surrogateescape")
        return data

    def match(self, pattern: str, directory: str) -> list[str]:
        """See ``Source``."""
        names = super().match(pattern, directory)
        self._matches[os.path.join(directory, pattern)] = names
        return names

    def encode(self) -> bytes:
        """The record."""
        return json.dumps([self._files, self._errors, self._matches]).encode("ascii")


class Record:
    """Answers as the disk did when the record was made.

    :raises ValueError: ``data`` is none.
    """

    def __init__(self, data: bytes) -> None:
        told: Any = json.loads(data)
        self._files: dict[str, str]
        self._errors: dict[str, int]
        self._matches: dict[str, list[str]]
        self._files, self._errors, self._matches = told

    def read(self, path: str) -> bytes:
        """See ``Source``."""
        if path in self._files:
            return self._files[path].encode("utf-8", "surrogateescape")
        number = self._errors.get(path, errno.ENOENT)
        raise OSError(number, os.strerror(number))

    def match(self, pattern: str, directory: str) -> list[str]:
        """See ``Source``."""
        return self._matches.get(os.path.join(directory, pattern), [])
