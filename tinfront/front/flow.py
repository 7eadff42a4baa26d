"""A request body on its way through, for handlers that are called on the head (``IHandler.streams``).

Nothing is stored but what came before the handler asks for it, or while it pauses; reading from the client pauses
meanwhile, so that is little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from tinfront.errors import BodyTooLarge
from tinfront.interfaces import IBodyFlow


@implementer(IBodyFlow)
class Flow:
    """See ``IBodyFlow``; what is not there is for the exchange.

    :ivar length: bytes that have come so far.
    :ivar complete: the last of it has come.
    :ivar paused: the handler takes nothing for now; the client is not to blame for that.
    """

    live = True

    __slots__ = ("_ended", "_held", "_hold_reading", "_limit", "_receiver", "complete", "length", "paused")

    def __init__(self, limit: int, hold_reading: Callable[[bool], None]) -> None:
        """:param limit: bytes of the whole body; :param hold_reading: whether to let the kernel keep what comes."""
        self._limit = limit
        self._hold_reading = hold_reading
        self._receiver: Any = None
        self._held: list[bytes] = []
        self._ended = False
        self.length = 0
        self.complete = False
        self.paused = True

    def read(self, receiver: Any) -> None:
        """See ``IBodyFlow``."""
        self._receiver = receiver
        if self._ended:
            receiver.lost()
        self.resume()

    def pause(self) -> None:
        """See ``IBodyFlow``."""
        if not self._ended:
            self.paused = True
            self._hold_reading(True)

    def resume(self) -> None:
        """See ``IBodyFlow``."""
        if self._ended:
            return
        self.paused = False
        while self._held and not self.paused:
            self._receiver.feed(self._held.pop(0))
        if not self.paused:
            self._hold_reading(False)
            self._end_if_complete()

    def feed(self, data: bytes) -> None:
        """A piece has come.

        :raises BodyTooLarge: over the limit.
        """
        self.length += len(data)
        if self.length > self._limit:
            raise BodyTooLarge(self._limit)
        if self.paused:
            self._held.append(data)
            self._hold_reading(True)
        elif not self._ended:
            self._receiver.feed(data)

    def seal(self) -> None:
        """All has come."""
        self.complete = True
        if not self.paused:
            self._end_if_complete()

    def _end_if_complete(self) -> None:
        if self.complete and not self._ended:
            self._ended = True
            self._receiver.finish()

    def close(self) -> None:
        """The exchange is over. Harmless twice."""
        self._held.clear()
        if not self._ended:
            self._ended = True
            self._hold_reading(False)
            if self._receiver is not None:
                self._receiver.lost()
