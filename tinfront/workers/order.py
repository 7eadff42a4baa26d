"""Who comes next of those that wait for a worker because all are busy: pure, and shared by both kinds of pools.

As long as workers keep up nobody stands here, and nothing here costs anything. Who has waited for a moment only is
served in the order of coming, which costs next to nothing. Then three rules hold:

* Fair shares. Next is a client that has the fewest jobs with the workers; among equals they take turns. So somebody
  with hundreds of connections gets no more of the workers than somebody with one, once both want some.
* Newest first, as soon as the oldest has waited for too long. The order then makes no job sooner overall, but those
  who have waited for long have mostly given up, and serving them in turn would make everybody wait that long. The old
  are served when there is time again; else ``queue_timeout`` ends their waiting.
* When there is no more room, the client that has the most waiting makes some.
"""

from __future__ import annotations

import socket
from collections import OrderedDict, deque
from collections.abc import Collection, Hashable, Iterator
from functools import lru_cache
from typing import Any, Protocol, TypeVar

BRIEFLY = 0.05
"""Seconds of the oldest one's wait from which on the rules hold."""

RECOUNT = 8
"""The jobs with the workers are counted anew after an eighth of them was given out, so that each costs eight looks."""

NEVER = float("inf")
"""When the oldest one came, if nobody waits."""

_ADDRESSES_KEPT = 4096


class Waiting(Protocol):
    """What stands in line: a job or a task."""

    exchange: Any
    queued: float


Item = TypeVar("Item", bound=Waiting)


class Shed:
    """How many exchanges were not run because there was too much to do, or nobody to do it for.

    :ivar full: refused, as ``queue_max`` others waited.
    :ivar timeout: refused after ``queue_timeout``.
    :ivar gone: dropped before a worker saw them, as their client had left.
    """

    __slots__ = ("full", "gone", "timeout")

    def __init__(self) -> None:
        self.full = self.timeout = self.gone = 0


class Pace:
    """How fast workers get on: short jobs are handed out in bunches, and long ones stay where they can be ordered."""

    __slots__ = ("_begun", "_since")

    def __init__(self) -> None:
        self._begun = 0
        self._since = 0.0

    def briefly(self, begun: int, now: float) -> int:
        """How many jobs begin in ``BRIEFLY`` seconds, as it has been since the last call.

        :param begun: jobs begun so far; :param now: monotonic seconds.
        """
        before, since = self._begun, self._since
        self._begun, self._since = begun, now
        return int((begun - before) / max(now - since, 0.001) * BRIEFLY)


class Lane(OrderedDict[Any, Any]):
    """Those of one client, in the order in which they came: exchange to item.

    :ivar key: of the client.
    """

    key: Hashable


class Line:
    """Those that wait. Each exchange stands here at most once.

    :ivar count: how many they are; an attribute, as it is asked for after every answer.
    """

    __slots__ = ("_again", "_all", "_busy", "_due", "_fair", "_fattest", "_lanes", "_new", "_newest_after", "count")

    def __init__(self, fair: bool = True, newest_after: float = 0.0) -> None:
        """:param newest_after: seconds of the oldest one's wait from which on the newest comes first; 0: never."""
        self.count = 0
        self._fair = fair
        self._newest_after = newest_after
        self._again: deque[Any] = deque()
        self._new: deque[Any] = deque()  # not sorted into lanes yet; all of them younger than those that are
        self._all: OrderedDict[Any, tuple[Any, Lane]] = OrderedDict()
        self._lanes: OrderedDict[Hashable, Lane] = OrderedDict()
        self._fattest = Lane()
        self._busy: dict[Hashable, int] = {}
        self._due = 0

    def __iter__(self) -> Iterator[Any]:
        """All, the oldest first."""
        self._sort()
        yield from self._again
        for item, _ in self._all.values():
            yield item

    # --- in

    def add(self, item: Waiting) -> None:
        """A newcomer."""
        self._new.append(item)
        self.count += 1

    def _sort(self) -> None:
        """Give each newcomer its place."""
        while self._new:
            item = self._new.popleft()
            key = self._key(item.exchange)
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = Lane()
                lane.key = key
            elif self._newest_first(item.queued):
                self._lanes.move_to_end(key)
            lane[item.exchange] = item
            self._all[item.exchange] = (item, lane)
            if len(lane) > len(self._fattest):
                self._fattest = lane

    def put_back(self, item: Waiting) -> None:
        """Somebody whose turn it was already: comes before all others."""
        self._again.appendleft(item)
        self.count += 1

    # --- out

    def next(self, taken: Collection[Waiting], now: float) -> Any:
        """Take out whose turn it is. Not to be called on an empty line.

        :param taken: what the workers have; :param now: monotonic seconds.
        """
        if self._again:
            self.count -= 1
            return self._again.popleft()
        if not self._all and now - self._new[0].queued < BRIEFLY:
            self.count -= 1
            return self._new.popleft()
        self._sort()
        newest = self._newest_first(now)
        lane = self._choose(taken, newest)
        exchange = next(reversed(lane) if newest else iter(lane))
        self._lanes.move_to_end(lane.key, last=not newest)  # its next turn is after the others'
        self._busy[lane.key] = self._busy.get(lane.key, 0) + 1
        return self.remove(exchange)

    def remove(self, exchange: Any) -> Any:
        """Take out what waits for this exchange; None if nothing does."""
        self._sort()
        found = self._all.pop(exchange, None)
        if found is None:
            for item in self._again:
                if item.exchange is exchange:
                    self._again.remove(item)
                    self.count -= 1
                    return item
            return None
        item, lane = found
        del lane[exchange]
        if not lane:
            del self._lanes[lane.key]
        self.count -= 1
        return item

    def expire(self, before: float) -> list[Any]:
        """Take out all that have waited since before that moment."""
        self._sort()
        over = [item for item in self._again if item.queued < before]
        for item, _ in self._all.values():
            if item.queued >= before:
                break
            over.append(item)
        for item in over:
            self.remove(item.exchange)
        return over

    def crowd_out(self, exchange: Any, now: float) -> Any:
        """There is no room for this newcomer: take out who has to go instead, or None if it is the newcomer.

        It goes whoever would have waited longest, of the client that has the most waiting. That client is known only
        by what it last did here, which is enough: who fills the line comes again and again.
        """
        self._sort()
        mine = self._lanes.get(self._key(exchange), self._fattest if not self._fair else ())
        if len(mine) > len(self._fattest) and isinstance(mine, Lane):
            self._fattest = mine
        if len(self._fattest) <= len(mine) + 1:
            return None
        lane = self._fattest
        return self.remove(next(iter(lane) if self._newest_first(now) else reversed(lane)))

    # --- what is known of it

    def holds(self, exchange: Any) -> bool:
        """Whether it waits here."""
        self._sort()
        return exchange in self._all or any(item.exchange is exchange for item in self._again)

    def oldest(self) -> float:
        """When the oldest one came, in monotonic seconds; ``NEVER`` if nobody waits."""
        self._sort()
        first = next(iter(self._all.values()), None)
        return min([item.queued for item in self._again] + ([first[0].queued] if first else []), default=NEVER)

    def _newest_first(self, now: float) -> bool:
        if not self._newest_after or not self._all:
            return False
        item, _ = next(iter(self._all.values()))
        return bool(now - item.queued > self._newest_after)

    def _choose(self, taken: Collection[Waiting], newest: bool) -> Lane:
        """Looks at no more lanes than there are clients with the workers, and one."""
        lanes = self._lanes.values()
        if len(lanes) == 1:
            self._due = 0  # what was counted is out of date when others come
            return next(iter(lanes))
        if self._due <= 0:
            self._due = max(1, len(taken) // RECOUNT)
            self._busy.clear()
            for item in taken:
                key = self._key(item.exchange)
                self._busy[key] = self._busy.get(key, 0) + 1
        self._due -= 1
        best, least = None, 0
        for lane in reversed(lanes) if newest else lanes:
            count = self._busy.get(lane.key, 0)
            if best is None or count < least:
                best, least = lane, count
                if not count:
                    break
        assert best is not None
        return best

    def _key(self, exchange: Any) -> Hashable:
        """Whose share it is. One without an address (a unix socket, a proxy that does not tell) shares with nobody."""
        if not self._fair:
            return ""
        return client_of(exchange.peer[0]) or exchange


@lru_cache(_ADDRESSES_KEPT)
def client_of(address: str) -> Hashable:
    """What of an address stands for one client: of IPv6 the first 64 bits, as one customer has all of the rest."""
    if ":" not in address:
        return address
    try:
        raw = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return address
    if raw[:12] == b"\0" * 10 + b"\xff\xff":  # IPv4 on a socket for both
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return raw[:8]
