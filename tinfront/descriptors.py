"""Watching descriptors on any Twisted reactor, with the names that an asyncio loop has (``interfaces.IDescriptors``).

Used where the reactor is not tinfront's own choice; on the fast path the loop itself is the ``IDescriptors``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from zope.interface import implementer

from tinfront.interfaces import IDescriptors


@implementer(IReadDescriptor, IWriteDescriptor)
class _Watched:
    """One descriptor and what to call for it."""

    __slots__ = ("__weakref__", "_callback", "_fd")

    def __init__(self, fd: int, callback: Callable[[], object]) -> None:
        self._fd = fd
        self._callback = callback

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        return "tinfront"

    def doRead(self) -> None:  # noqa: N802
        self._callback()

    def doWrite(self) -> None:  # noqa: N802
        self._callback()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        """The descriptor broke; whoever reads or writes it next will find out."""


@implementer(IDescriptors)
class ReactorDescriptors:
    """See ``IDescriptors``."""

    def __init__(self, reactor: Any) -> None:
        """:param reactor: provides ``IReactorFDSet``."""
        assert IReactorFDSet.providedBy(reactor)
        self._reactor = reactor
        self._readers: dict[int, _Watched] = {}
        self._writers: dict[int, _Watched] = {}

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """See ``IDescriptors``."""
        self.remove_reader(fd)
        self._readers[fd] = watched = _Watched(fd, lambda: callback(*args))
        self._reactor.addReader(watched)

    def remove_reader(self, fd: int) -> None:
        """See ``IDescriptors``."""
        watched = self._readers.pop(fd, None)
        if watched is not None:
            self._reactor.removeReader(watched)

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """See ``IDescriptors``."""
        self.remove_writer(fd)
        self._writers[fd] = watched = _Watched(fd, lambda: callback(*args))
        self._reactor.addWriter(watched)

    def remove_writer(self, fd: int) -> None:
        """See ``IDescriptors``."""
        watched = self._writers.pop(fd, None)
        if watched is not None:
            self._reactor.removeWriter(watched)
