"""How long a connection is waited for: the rules of the deadlines, applied by the listener's one sweep a second.

A connection's ``deadline`` is a number. Where nothing is due (idle, or a head that trickles in) it is the moment at
which patience ends. Where something is due it is ``WATCHED``: the next sweep then looks for progress, so that bytes
cost nothing to account for as they pass, and says when another look is worth while.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tinfront.errors import ProtocolError
from tinfront.front import closing, gather
from tinfront.wire.h1_head import request_line

if TYPE_CHECKING:
    from tinfront.config.model import Limits
    from tinfront.front.connection import Connection
    from tinfront.front.exchange import Exchange
    from tinfront.front.outbox import Outbox

WATCHED = 0.0
"""A deadline that every sweep finds passed."""

LOOK = 8.0
"""Seconds between two looks at a slow client, or an eighth of the patience if that is shorter.

Progress is seen only then, so that a send_timeout or body_timeout may begin so much later.
"""

STARVED_MAX = 5.0
"""Seconds for which an answer may hold its worker while the spool has no room for it."""

_HEAD, _SENDING = 0, 3  # states of an exchange, as exchange.py numbers them


class Patience:
    """What the sweep remembers of one connection.

    :ivar born: monotonic seconds of its start.
    :ivar progress: a number that changes when the client does something.
    :ivar until: when lingering ends at the latest.
    :ivar head: the request number whose head has begun to come in.
    """

    __slots__ = ("_before", "_now", "born", "head", "progress", "until")

    def __init__(self, now: float) -> None:
        self.born = now
        self.progress = 0
        self.until = 0.0
        self.head = 0
        self._before: dict[int, tuple[object, float]] = {}
        self._now: dict[int, tuple[object, float]] = {}

    def sweep(self) -> None:
        """A new look: what was not asked for in the last one is forgotten."""
        self._before, self._now = self._now, {}

    def idle_for(self, key: int, mark: object, now: float) -> float:
        """Seconds for which the ``mark`` of ``key`` (an exchange's number, 0 for the connection) has not changed."""
        seen = self._before.get(key)
        if seen is None or seen[0] != mark:
            seen = mark, now
        self._now[key] = seen
        return now - seen[1]


def head_begun(connection: Connection) -> None:
    """Part of a head is there: from its first byte on the whole of it must come within ``head_timeout``."""
    patience = connection.patience
    if patience.head <= connection.count:
        patience.head = connection.count + 1
        connection.deadline = connection.terms.clock() + connection.terms.limits.head_timeout


def idle_since(connection: Connection) -> float:
    """See ``IConnection``. A client that has never asked for anything is idle like one between two requests."""
    if (
        connection.exchanges
        or connection.lingering
        or connection.codec.held
        or connection.deadline == WATCHED
        or connection.transport is None
        or connection.transport.is_closing()
    ):
        return math.inf
    limits = connection.terms.limits
    return connection.deadline - (limits.keepalive_timeout if connection.count else limits.head_timeout)


def expire(connection: Connection, now: float) -> None:
    """The deadline has passed: find out whether that matters, and what to do."""
    connection.patience.sweep()
    if connection.lingering:
        _watch_lingering(connection, now)
    elif connection.exchanges:
        connection.deadline = WATCHED
        rest = min([_watch(connection, exchange, now) for exchange in tuple(connection.exchanges.values())])
        if connection.deadline == WATCHED:  # nothing has come to an end
            connection.deadline = now + rest
    elif connection.transport is None:
        closing.abort(connection)
    elif connection.codec.held and connection.writable and not connection.transport.is_closing():
        connection.codec.closing = True
        limit = connection.terms.limits.head_timeout
        error = ProtocolError(408, "head-timeout", f"no whole head in {limit:g} s")
        error.line = request_line(connection.codec.held)
        connection.refuse_head(connection.codec.stream_id + 1, error)
    else:
        _watch_idle(connection, now)


def _watch(connection: Connection, exchange: Exchange, now: float) -> float:
    """Look whether the client keeps an exchange waiting for too long. Returns seconds until the next look, at most."""
    patience, limits = connection.patience, connection.terms.limits
    if exchange.body is not None and exchange.incomplete and not exchange.body.paused:
        return _watch_body(exchange, gather.look(connection, exchange), patience, limits, now)
    if exchange.state == _HEAD:
        waited = now - exchange.started
        if waited >= limits.filter_timeout:
            exchange.refuse(504, "filter-timeout", f"a filter has kept it waiting for {limits.filter_timeout:g} s")
        return _until_next(limits.filter_timeout, waited)
    if exchange.state == _SENDING:
        outbox = connection.outboxes.get(exchange.stream_id)
        if outbox is not None and outbox.starved:
            _watch_starved(connection, exchange, outbox, now)
            return 0.0
        if _stuck(connection):
            mark = (exchange.sent, connection.transport.get_write_buffer_size())
            idle = patience.idle_for(exchange.number, mark, now)
            if idle >= limits.send_timeout:
                exchange.abort("send-timeout", f"the client took nothing for {limits.send_timeout:g} s")
            if outbox is None or outbox.complete:  # it cannot become starved before the next look
                return _until_next(limits.send_timeout, idle)
    return 0.0


def _watch_body(exchange: Exchange, length: int, patience: Patience, limits: Limits, now: float) -> float:
    idle = patience.idle_for(exchange.number, length, now)
    age = now - exchange.received
    enough_until = max(limits.body_rate_grace, length / limits.body_rate if limits.body_rate else math.inf)
    if idle >= limits.body_timeout:
        exchange.refuse(408, "body-timeout", f"no byte of the body came for {limits.body_timeout:g} s")
    elif age > enough_until:
        exchange.refuse(408, "body-too-slow", f"{length} bytes of the body in {age:.0f} s")
    return min(_until_next(limits.body_timeout, idle), enough_until - age)


def _until_next(limit: float, waited: float) -> float:
    return min(LOOK, limit / 8, limit - waited)


def _watch_starved(connection: Connection, exchange: Exchange, outbox: Outbox, now: float) -> None:
    """For too long neither the spool nor the client has taken what the exchange's worker has: cut it, or try again."""
    budget = connection.terms.budget
    if connection.patience.idle_for(-exchange.number, None, now) >= STARVED_MAX:
        budget.cut += 1
        exchange.abort("spool-full", f"the spool has had no room for {STARVED_MAX:g} s, and the client is slow")
    elif budget.used < budget.limit:
        outbox.feed()


def _stuck(connection: Connection) -> bool:
    """Whether only the client keeps bytes of an answer from leaving."""
    left = connection.transport.get_write_buffer_size()
    return left > 0 or any(outbox.waiting for outbox in connection.outboxes.values())


def _watch_lingering(connection: Connection, now: float) -> None:
    """The time to linger begins when the answer has left; until then it is sent like any other."""
    patience, limits = connection.patience, connection.terms.limits
    left = connection.transport.get_write_buffer_size()
    idle = patience.idle_for(0, (patience.progress, left), now)
    if left:
        patience.until = now + limits.linger_time
        if idle >= limits.send_timeout:
            closing.abort(connection)
    elif now >= patience.until or idle >= limits.linger_timeout:
        closing.abort(connection)


def _watch_idle(connection: Connection, now: float) -> None:
    """No request: the time since the last answer is up, unless that answer is or was still on its way."""
    limits = connection.terms.limits
    left = connection.transport.get_write_buffer_size()
    if left:
        connection.deadline = WATCHED
        if connection.patience.idle_for(0, left, now) >= limits.send_timeout:
            closing.abort(connection)
    elif connection.deadline == WATCHED:
        connection.deadline = now + limits.keepalive_timeout
    else:
        closing.close(connection)
