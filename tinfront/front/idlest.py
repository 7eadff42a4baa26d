"""Making room: who has been idle longest has to go when new clients find none. Called by ``roll.Capacity``.

No connection is ordered or touched as it works: only when there is no room all of them are looked at, at most ten
times a second, and the idlest are remembered in order. Whoever becomes idle later is less idle than all of those.
"""

from __future__ import annotations

from collections import deque
from heapq import nsmallest
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tinfront.front.roll import Link, Roll

MOST: Final = 32
"""Connections that are closed at once, as many as nginx takes; but no more than an eighth of all."""

YOUNG: Final = 0.5
"""Seconds for which nobody counts as idle: the first or next request may be on its way."""

LOOK_EVERY: Final = 0.1
"""Seconds between looks at all connections, and for which who was told to go is waited for."""

_REMEMBERED: Final = 1024


class Idlest:
    """Closes idle connections of some rolls, the idlest first.

    :ivar rolls: of the listeners.
    """

    __slots__ = ("_asked", "_found", "_looked", "_told", "rolls")

    def __init__(self, rolls: list[Roll]) -> None:
        self.rolls = rolls
        self._found: deque[tuple[float, Roll, Link]] = deque()
        self._told: list[tuple[Roll, Link]] = []
        self._looked = self._asked = float("-inf")

    def close_some(self, used: int, now: float) -> bool:
        """Close a few, unless some are still on their way out. Returns whether any will have gone soon.

        Called again later it cuts those who do not answer the goodbye of TLS: nothing was due to them.

        :param used: sockets that are open.
        """
        self._told = [(roll, link) for roll, link in self._told if link.connection in roll.connections]
        if self._told and now - self._asked < LOOK_EVERY:
            return True
        for _, link in self._told:
            link.abort()
        self._told = []
        self._asked = now
        wanted = max(1, min(MOST, used // 8))
        self._close(wanted)
        if not self._told and now - self._looked >= LOOK_EVERY:
            self._look(now)
            self._close(wanted)
        return bool(self._told)

    def forget(self) -> None:
        """There is room: keep no list of connections that may soon be gone."""
        self._found.clear()

    def _look(self, now: float) -> None:
        self._looked = now
        latest = now - YOUNG
        idle = (
            (since, number, roll, link)
            for number, (roll, link) in enumerate(
                chain.from_iterable(((roll, link) for link in roll.connections.values()) for roll in self.rolls)
            )
            if not link.told and (since := link.connection.idle_since()) <= latest
        )
        self._found = deque((since, roll, link) for since, _, roll, link in nsmallest(_REMEMBERED, idle))

    def _close(self, wanted: int) -> None:
        found = self._found
        while found and len(self._told) < wanted:
            since, roll, link = found.popleft()
            connection = link.connection
            if connection in roll.connections and not link.told and connection.idle_since() == since:
                roll.shed(link)
                self._told.append((roll, link))
