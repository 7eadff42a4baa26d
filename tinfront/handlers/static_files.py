"""Opening files beneath a root, so that no name can lead out of it.

Called by the static handler for what it does not hold ready. The kernel itself keeps the path inside: openat2(2) with
RESOLVE_BENEATH, so there is no moment between a check and its use. Where a sandbox forbids that call, the path is
walked component by component without following links. The root may be replaced at any time, as a deployment does
that swaps a ``current`` link.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from typing import Final

from tinfront.http.message import OpenFile

READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Flags to read with. O_NONBLOCK, since a FIFO must not hold us up."""

LOOK: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
"""Flags to look at a directory without the right to read it."""

_CHECK_EVERY: Final = 1.0  # seconds

_SYS_OPENAT2: Final = 437  # the same number on every architecture that Linux gained since 5.6
_NO_MAGICLINKS: Final = 0x02
_NO_SYMLINKS: Final = 0x04
_BENEATH: Final = 0x08
_RESOLVE: Final = {
    "no": _BENEATH | _NO_MAGICLINKS | _NO_SYMLINKS,
    "inside": _BENEATH | _NO_MAGICLINKS,
    "any": _NO_MAGICLINKS,
}
_AT_FDCWD: Final = -100
_TRIES: Final = 8  # EAGAIN: a rename elsewhere made the kernel unsure


class _OpenHow(ctypes.Structure):
    """``struct open_how`` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_syscall = ctypes.CDLL(None, use_errno=True).syscall


def openat2(directory: int, name: bytes, flags: int, resolve: int) -> int:
    """Open ``name`` relative to a descriptor, under the RESOLVE flags given.

    :raises OSError: as openat2(2).
    """
    how = _OpenHow(flags, 0, resolve)
    for _ in range(_TRIES):
        fd: int = _syscall(_SYS_OPENAT2, directory, name, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(code, os.strerror(code), name)


def kernel_confines() -> bool:
    """Whether openat2 works here: the kernel has it (5.6) and no sandbox forbids it."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        os.close(openat2(_AT_FDCWD, b"/", LOOK, _NO_MAGICLINKS))
    except OSError:
        return False
    return True


def open_by_steps(directory: int, name: bytes, flags: int) -> int:
    """Open ``name``, which has no ``..``, one component after the other, following no symbolic link at all.

    :raises OSError: ELOOP or ENOTDIR for a link; else as open(2).
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    here = directory
    try:
        for part in parts[:-1]:
            below = os.open(part, LOOK | os.O_NOFOLLOW, dir_fd=here)
            if here != directory:
                os.close(here)
            here = below
        return os.open(parts[-1] if parts else b".", flags | os.O_NOFOLLOW, dir_fd=here)
    finally:
        if here != directory:
            os.close(here)


class Root:
    """A directory whose files are served, or a single file.

    :ivar is_file: the root itself is a regular file.
    :ivar name: the last component of its path.
    :ivar confined: the kernel keeps names inside.
    """

    __slots__ = ("_check_at", "_error", "_held", "_identity", "_path", "_symlinks", "confined", "is_file", "name")

    def __init__(self, path: str, symlinks: str = "inside") -> None:
        """:param symlinks: ``no``: none is followed; ``inside``: none that leaves the root; ``any``."""
        self._path = os.fsencode(path)
        self._symlinks = symlinks
        self.name = os.path.basename(self._path)
        self._held: OpenFile | None = None
        self._identity: tuple[int, int] | None = None
        self._error = errno.ENOENT
        self._check_at = float("-inf")
        self.is_file = False
        self.confined = kernel_confines()

    def check(self, now: float) -> None:
        """Notice, at most once a second, that the root has been replaced. ``now`` is monotonic."""
        if now < self._check_at:
            return
        self._check_at = now + _CHECK_EVERY
        try:
            found = os.stat(self._path)
            if (found.st_dev, found.st_ino) == self._identity:
                return
            held = OpenFile(os.open(self._path, os.O_PATH | os.O_CLOEXEC))
            found = os.fstat(held.fd)
        except OSError as error:
            self._held = self._identity = None
            self._error = error.errno or errno.EIO
            self.is_file = False
            return
        self._held = held
        self._identity = (found.st_dev, found.st_ino)
        self.is_file = stat.S_ISREG(found.st_mode)

    def open(self, name: bytes, flags: int = READ) -> OpenFile:
        """Open what stands at ``name`` beneath the root; after ``check``.

        :param name: relative, without ``..``; empty for the root itself. Slashes at its start and doubled ones mean
            nothing.
        :param flags: ``READ`` or ``LOOK``.
        :raises OSError: it does not exist, leads out of the root (EXDEV, ELOOP), or must not be read.
        """
        held = self._held
        if held is None:
            raise OSError(self._error, os.strerror(self._error), self._path)
        if b"\0" in name:
            raise OSError(errno.ENOENT, "NUL in a file name")
        if b".." in name and b".." in name.split(b"/"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
        name = name.lstrip(b"/")
        if self.is_file:
            if name:
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
            return OpenFile(os.open(self._path, flags))
        if self.confined:
            return OpenFile(self._open_confined(held.fd, name or b".", flags))
        return OpenFile(self._open_walking(held.fd, name, flags))

    def _open_confined(self, directory: int, name: bytes, flags: int) -> int:
        try:
            return openat2(directory, name, flags, _RESOLVE[self._symlinks])
        except OSError as error:
            if error.errno != errno.EXDEV or self._symlinks != "inside":
                raise
        # The kernel refuses every absolute link, also one that leads back into the root.
        return openat2(directory, self._resolve(name) or b".", flags, _RESOLVE["no"])

    def _open_walking(self, directory: int, name: bytes, flags: int) -> int:
        if self._symlinks == "inside":
            return open_by_steps(directory, self._resolve(name), flags)
        if self._symlinks == "no":
            return open_by_steps(directory, name, flags)
        return os.open(name or b".", flags, dir_fd=directory)

    def _resolve(self, name: bytes) -> bytes:
        """``name`` with all links followed, relative to the root. Only a hint: it is opened without following any.

        :raises OSError: EXDEV if it leads out of the root; else as stat(2).
        """
        base = os.path.realpath(self._path, strict=True)
        target = os.path.realpath(os.path.join(base, name), strict=True)
        if target != base and not target.startswith(base.rstrip(b"/") + b"/"):
            raise OSError(errno.EXDEV, "a link leads out of the root", name)
        return target[len(base) :].lstrip(b"/")
