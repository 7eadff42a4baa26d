"""Where bodies wait: request bodies until they are complete, responses until the client has read them.

Memory first, then an unlinked temporary file, so that a crash leaves nothing behind. One ``Budget`` bounds the memory
and the disk space of all of them together: when the memory is used up they go to disk at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile

from zope.interface import implementer

from tinfront.errors import BodyTooLarge, SpoolFull
from tinfront.http.message import FileSlice, OpenFile
from tinfront.interfaces import IBody

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


MEMORY = 256 * 1024 * 1024
"""Bytes for all bodies in memory together, unless something else is said."""

PIECE_MIN, PIECE_MAX = 1024, 4096
"""Smaller pieces are gathered until they are so large: each would cost more than it holds."""


class Budget:
    """What all spooled bodies may take together: ``memory`` bytes in memory, ``limit`` bytes on disk.

    :ivar held: bytes in memory now; whoever holds them counts them, as a call for each would cost more than it tells.
    :ivar used: bytes on disk now.
    :ivar spilled: bodies that went to disk only because the memory was used up.
    :ivar full: how often there was no room on disk, either.
    :ivar cut: answers that were given up for that.
    """

    __slots__ = ("cut", "directory", "full", "held", "limit", "memory", "spilled", "used")

    def __init__(self, limit: int, directory: str | None = None, memory: int = MEMORY) -> None:
        self.used = self.held = self.spilled = self.full = self.cut = 0
        self.bound(limit, directory, memory)

    def bound(self, limit: int, directory: str | None, memory: int) -> None:
        """How much from now on, and where."""
        self.limit = limit
        self.memory = memory
        self.directory = directory or tempfile.gettempdir()

    def take(self, count: int) -> bool:
        """Whether ``count`` bytes more may be used; if so they are."""
        if self.used + count > self.limit:
            return False
        self.used += count
        return True

    def give(self, count: int) -> None:
        """Bytes that are free again."""
        self.used -= count


class SpoolFile:
    """An unlinked temporary file within a budget. It and its space go when nobody holds it any more."""

    __slots__ = ("_budget", "_file", "size")

    def __init__(self, budget: Budget) -> None:
        """:raises SpoolFull: the file cannot be made."""
        try:
            self._file = OpenFile(_open_unlinked(budget.directory))
        except OSError as error:
            budget.full += 1
            raise SpoolFull(f"no temporary file in {budget.directory}: {error.strerror}") from error
        self._budget = budget
        self.size = 0

    def append(self, data: bytes | bytearray | memoryview) -> FileSlice:
        """Write at the end; returns where the data lies.

        :raises SpoolFull: over the budget, or the disk is full. Nothing was written then.
        """
        if not self._budget.take(len(data)):
            self._budget.full += 1
            raise SpoolFull(f"spool_max ({self._budget.limit} bytes) is used up")
        view = memoryview(data)
        offset = self.size
        try:
            while view:
                written = os.pwrite(self._file.fd, view, self.size)
                self.size += written
                view = view[written:]
        except OSError as error:
            self._budget.give(len(data))
            self._budget.full += 1
            self.size = offset
            raise SpoolFull(f"cannot write to the spool: {error.strerror}") from error
        return FileSlice(self._file, offset, len(data))

    def empty(self) -> None:
        """Forget what was written, and give the space back."""
        os.ftruncate(self._file.fd, 0)
        self._budget.give(self.size)
        self.size = 0

    def fileno(self) -> int:
        """The descriptor."""
        return self._file.fd

    def __del__(self) -> None:
        if hasattr(self, "size"):
            self._budget.give(self.size)


@implementer(IBody)
class Spool:
    """A request body: filled while it arrives, then sealed and given to the handler."""

    __slots__ = ("_budget", "_file", "_held", "_limit", "_memory_max", "_pieces", "length")

    live = False
    paused = False

    def __init__(self, budget: Budget, limit: int, memory_max: int) -> None:
        """:param limit: bytes of the whole body; :param memory_max: bytes of it that stay in memory."""
        self._budget = budget
        self._limit = limit
        self._memory_max = memory_max
        self._pieces: list[bytes | bytearray] = []
        self._held = 0
        self._file: SpoolFile | OpenFile | None = None
        self.length = 0

    def feed(self, data: bytes) -> None:
        """Take a piece.

        :raises BodyTooLarge: over the limit.
        :raises SpoolFull: no room.
        """
        length = self.length + len(data)
        if length > self._limit:
            raise BodyTooLarge(self._limit)
        budget = self._budget
        if isinstance(self._file, SpoolFile):
            self._file.append(data)
        elif length > self._memory_max or budget.held + len(data) > budget.memory:
            budget.spilled += length <= self._memory_max
            file = SpoolFile(budget)
            file.append(b"".join([*self._pieces, data]))
            self._file = file
            self._forget()
        else:
            budget.held += len(data)
            self._held = length
            self._keep(data)
        self.length = length

    def _keep(self, data: bytes) -> None:
        """In memory, as it came: a buffer that grows with each piece would be copied with each."""
        pieces = self._pieces
        if len(data) >= PIECE_MIN or not pieces:
            pieces.append(data)
            return
        last = pieces[-1]
        if isinstance(last, bytearray) and len(last) < PIECE_MAX:
            last += data
        else:
            pieces.append(bytearray(data))

    def data(self) -> bytes | None:
        """See ``IBody``."""
        if isinstance(self._file, SpoolFile):
            return None
        pieces = self._pieces
        if len(pieces) != 1:
            self._pieces = pieces = [b"".join(pieces)]
        return bytes(pieces[0])

    def fileno(self) -> int:
        """See ``IBody``."""
        if self._file is None:
            fd = os.memfd_create("tinfront-body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            self._file = OpenFile(fd)
            view = memoryview(self.data() or b"")
            while view:
                view = view[os.write(fd, view) :]
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        return self._file.fd if isinstance(self._file, OpenFile) else self._file.fileno()

    def close(self) -> None:
        """See ``IBody``."""
        self._forget()
        self._file = None

    def _forget(self) -> None:
        self._budget.held -= self._held
        self._held = 0
        self._pieces = []


def _open_unlinked(directory: str) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT) or not os.path.isdir(directory):
            raise
    fd, path = tempfile.mkstemp(dir=directory)  # a file system without O_TMPFILE
    os.unlink(path)
    return fd
