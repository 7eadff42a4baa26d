"""What of one response waits for its client, in order: in memory, then in a file of the spool.

Each ``outbox`` has one. When the spool has no room, either, it says that it is ``short``: its producer has to wait,
and if that lasts the sweep of ``patience`` cuts the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tinfront.errors import SpoolFull
from tinfront.front.spool import SpoolFile
from tinfront.http.message import FileSlice

if TYPE_CHECKING:
    from tinfront.front.terms import Terms

READ_SIZE = 64 * 1024
"""Bytes up to which small pieces become one, and that are read from a file at a time."""

SEND_MAX = 256 * 1024
"""Bytes of one piece that the transport is given at a time: it would keep them all, and nobody would count them."""

Piece = bytes | bytearray | memoryview


class Backlog:
    """See the module.

    :ivar queue: the pieces; file slices are its own.
    :ivar held: bytes of it in memory, which count in the budget.
    :ivar short: neither memory nor disk had room for some of it; it is in memory all the same.
    :ivar memory_max: bytes that may stay in memory.
    """

    __slots__ = ("_file", "_terms", "held", "memory_max", "queue", "short")

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._file: SpoolFile | None = None
        self.memory_max = terms.memory_max
        self.queue: deque[Piece | FileSlice] = deque()
        self.held = 0
        self.short = False

    @property
    def full(self) -> bool:
        """Whether nothing should be added for now."""
        return self.short or (self._file is not None and self._file.size >= self._terms.file_max)

    def extend(self, pieces: Iterable[Piece | FileSlice]) -> None:
        """Add pieces as they are; ``settle`` if the client does not take them."""
        for piece in pieces:
            self.queue.append(piece)
            if not isinstance(piece, FileSlice):
                self._count(len(piece))

    def add(self, data: bytes) -> None:
        """Memory while there is some, then the file."""
        if self.held + len(data) <= self.memory_max and not (self.queue and isinstance(self.queue[-1], FileSlice)):
            budget = self._terms.budget
            if budget.held + len(data) <= budget.memory:
                self.remember(data)
                return
            budget.spilled += self._file is None
        self._store(data)

    def remember(self, data: Piece) -> None:
        """Keep it in memory; small pieces become one, as each would cost more than it holds."""
        self._count(len(data))
        last = self.queue[-1] if self.queue else None
        if isinstance(last, bytearray) and len(last) + len(data) <= READ_SIZE:
            last += data
        else:
            self.queue.append(bytearray(data))

    def settle(self) -> None:
        """The client takes no more for now: let no more stay in memory than may."""
        budget = self._terms.budget
        if self.held > self.memory_max or (self.held and budget.held > budget.memory):
            budget.spilled += self.held <= self.memory_max and self._file is None
            self.spill()

    def spill(self) -> None:
        """From memory to the file, all of it."""
        pieces = tuple(self.queue)
        self.queue.clear()
        self.short = False
        for piece in pieces:
            if isinstance(piece, FileSlice):
                self.queue.append(piece)
            else:
                self._count(-len(piece))
                self._store(piece)

    def pop(self) -> bytes:
        """The first piece, which is in memory, or the beginning of it."""
        piece = self.queue.popleft()
        assert not isinstance(piece, FileSlice)
        if len(piece) > SEND_MAX:
            view = memoryview(piece)
            self.queue.appendleft(view[SEND_MAX:])
            piece = view[:SEND_MAX]
        self._count(-len(piece))
        return bytes(piece)

    def advance(self, piece: FileSlice, count: int) -> None:
        """So much of the first piece, a file's, has been sent."""
        piece.offset += count
        piece.length -= count
        if not piece.length:
            self.queue.popleft()

    def emptied(self) -> None:
        """The client has taken everything: the space is free again."""
        self.short = False
        if self._file is not None:
            self._file.empty()

    def close(self) -> None:
        """Nobody will take the rest."""
        self.queue.clear()
        self._count(-self.held)
        self._file = None

    def _store(self, data: Piece) -> None:
        try:
            if self._file is None:
                self._file = SpoolFile(self._terms.budget)
            piece = self._file.append(data)
        except SpoolFull:
            self.short = True
            self.remember(data)
            return
        last = self.queue[-1] if self.queue else None
        if isinstance(last, FileSlice) and last.file is piece.file and last.offset + last.length == piece.offset:
            last.length += piece.length
        else:
            self.queue.append(piece)

    def _count(self, change: int) -> None:
        self.held += change
        self._terms.budget.held += change
