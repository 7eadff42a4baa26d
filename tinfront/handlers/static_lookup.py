"""What is the file for a URL? Index files, suffixes and hidden names, on top of ``static_files.Root``.

Called by the static handler for what it does not hold ready.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from typing import Final

from tinfront.handlers.static_files import LOOK, Root
from tinfront.http.message import OpenFile

MISSING: Final = frozenset(
    (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.EXDEV,
        errno.EINVAL,
        errno.ENAMETOOLONG,
        errno.ENXIO,
        errno.ENODEV,
    )
)
"""Errors that mean: there is nothing here that may be served."""

_dot_segment = re.compile(r"/\.\.?(?:/|\Z)").search
_WELL_KNOWN: Final = "/.well-known/"


class Found:
    """An open file or directory, and what fstat said of it.

    :ivar name: relative to the root, as it was opened; for the root itself, its own last name.
    """

    __slots__ = ("file", "name", "stat")

    def __init__(self, file: OpenFile, name: bytes) -> None:
        self.file = file
        self.name = name
        self.stat = os.fstat(file.fd)

    @property
    def is_directory(self) -> bool:
        """A directory; if False it is a regular file."""
        return stat.S_ISDIR(self.stat.st_mode)


class Lookup:
    """The rules of one static route."""

    __slots__ = ("_dotfiles", "_index", "_pattern", "_suffixes", "root")

    def __init__(
        self, root: Root, index: tuple[str, ...], suffixes: tuple[str, ...], dotfiles: bool, pattern: str | None = None
    ) -> None:
        """:param pattern: of a prefix route: the only path for which a root that is a file is served."""
        self.root = root
        self._index = tuple(map(os.fsencode, index))
        self._suffixes = tuple(map(os.fsencode, suffixes))
        self._dotfiles = dotfiles
        self._pattern = pattern

    def find(self, path: str, mount: str) -> Found:
        """The file, or the directory, for a normalised path (latin-1 text) below ``mount``.

        For a path that ends with a slash it is the index file if there is one, else the directory itself.

        :raises OSError: one of ``MISSING``, EACCES if it must not be read, or another trouble.
        """
        if self.root.is_file:
            if self._pattern is not None and path != self._pattern:
                raise OSError(errno.ENOENT, "the route names a single file")
            return self.open(b"")
        name = path[len(mount) :]
        if name and name[0] != "/":
            raise OSError(errno.ENOENT, "not below the mount point")
        if "/." in name:
            self._refuse_dots(name, mount)
        raw = name.encode("latin-1")
        if raw.endswith(b"/"):
            return self._first(raw + index for index in self._index) or self._open_directory(raw)
        try:
            return self.open(raw)
        except OSError as error:
            if error.errno not in MISSING:
                raise
            found = self._first(raw + suffix for suffix in self._suffixes)
            if found is None:
                raise
            return found

    def open(self, name: bytes) -> Found:
        """Open one name beneath the root. A directory needs no right to read it, as the web asks for its index.

        :raises OSError: it does not exist, must not be read, or is neither a regular file nor a directory.
        """
        try:
            file = self.root.open(name)
        except PermissionError as error:
            try:
                file = self.root.open(name, LOOK)
            except OSError:
                raise error from None
        found = Found(file, name or self.root.name)
        if not found.is_directory and not stat.S_ISREG(found.stat.st_mode):
            raise OSError(errno.ENOENT, "neither a file nor a directory")
        return found

    def open_file(self, name: bytes) -> Found:
        """Open one name beneath the root that must be a regular file.

        :raises OSError: as ``open``; EISDIR for a directory.
        """
        found = self.open(name)
        if found.is_directory:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        return found

    def _open_directory(self, name: bytes) -> Found:
        found = self.open(name)
        if not found.is_directory:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return found

    def _first(self, names: Iterable[bytes]) -> Found | None:
        """The first of some names that is a regular file."""
        for name in names:
            try:
                return self.open_file(name)
            except OSError as error:
                if error.errno not in MISSING:
                    raise
        return None

    def _refuse_dots(self, name: str, mount: str) -> None:
        """Hide what begins with a dot, except ``/.well-known/`` (RFC 8615)."""
        if _dot_segment(name):
            raise OSError(errno.ENOENT, "a dot segment")
        if self._dotfiles:
            return
        if not mount and name.startswith(_WELL_KNOWN):
            name = name[len(_WELL_KNOWN) - 1 :]
        if "/." in name:
            raise OSError(errno.ENOENT, "a hidden name")
