"""How many connections each client address has, and no more. ``roll`` keeps one of it, where the listener wants it."""

from __future__ import annotations

import socket
import time

from twisted.logger import Logger

from tinfront.http.forwarded import Trust, packed

log = Logger(namespace="tinfront.listen")

_SAY_EVERY = 60.0


class Seldom:
    """One line a minute in the log, about something that may happen a thousand times a second.

    :param text: its format; ``{count}`` is how often it happened since the last line.
    """

    __slots__ = ("_count", "_said", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._said = -_SAY_EVERY
        self._count = 0

    def say(self, **values: object) -> None:
        """It has happened."""
        self._count += 1
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY:
            log.warn(self._text, count=self._count, **values)
            self._said = now
            self._count = 0


class Addresses:
    """The counts. There are never more of them than connections.

    :param limit: connections of one address; IPv6 counts by /64, as whoever has one address there has all of those.
    :param trust: proxies do not count, as behind one all clients look alike, and neither do unix peers.
    """

    __slots__ = ("_counts", "_limit", "_seldom", "_trust")

    def __init__(self, limit: int, trust: Trust) -> None:
        self._limit = limit
        self._trust = trust
        self._counts: dict[str | bytes, int] = {}
        self._seldom = Seldom(
            "{address} has {limit} connections, and more are closed: {count} since the last such line"
        )

    def enter(self, address: str) -> bool:
        """Count one more connection, unless that is one too many."""
        key = self._key(address)
        if key is None:
            return True
        count = self._counts.get(key, 0)
        if count >= self._limit:
            self._seldom.say(address=_show(address), limit=self._limit)
            return False
        self._counts[key] = count + 1
        return True

    def leave(self, address: str) -> None:
        """A connection that ``enter`` has counted is closed."""
        key = self._key(address)
        if key is not None:
            left = self._counts[key] - 1
            if left:
                self._counts[key] = left
            else:
                del self._counts[key]

    def __len__(self) -> int:
        """How many addresses have a connection."""
        return len(self._counts)

    def _key(self, address: str) -> str | bytes | None:
        if not address or address in self._trust:
            return None
        if ":" not in address:
            return address
        raw = packed(address.partition("%")[0])
        return address if raw is None else raw if len(raw) == 4 else raw[:8]


def _show(address: str) -> str:
    raw = packed(address) if ":" in address else None
    return address if raw is None or len(raw) == 4 else socket.inet_ntop(socket.AF_INET6, raw[:8] + bytes(8)) + "/64"
