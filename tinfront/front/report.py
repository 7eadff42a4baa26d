"""The error log's line for each refused or cut exchange: why it was, in words.

Written by ``exchange`` and ``closing`` through ``Terms.report``. A flood of broken requests must not become a flood of
lines: of each reason only so many are written a second, and the rest are counted. Every one stands in the access log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from tinfront.front.accesslog import escaped

LINES_MAX = 10
"""Lines a second for one reason code."""

REASONS_MAX = 200
"""Reason codes that are told apart; more than there are, unless a plugin makes them up."""


class Pace:
    """Lets so many lines pass in a second, where nobody ticks."""

    __slots__ = ("_clock", "_count", "_since")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._count = 0

    def lets(self) -> bool:
        """Whether one more line may be written now."""
        now = self._clock()
        if now - self._since >= 1.0:
            self._since = now
            self._count = 0
        self._count += 1
        return self._count <= LINES_MAX


class Report:
    """Why exchanges were refused or cut. Call ``tick`` once a second."""

    __slots__ = ("_counts", "_log")

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._counts: dict[str, int] = {}

    def __call__(self, exchange: Any, status: int, detail: str) -> None:
        """One line; the access log only has the code. What is not found is for debugging only."""
        if not self._may_say(exchange.reason):
            return
        head, log = exchange.head, self._log
        (log.debug if status in (404, 405) else log.info)(
            '{peer} "{method} {target}" {status} {reason}: {detail} [{id}]',
            peer=exchange.peer[0] or "unix:",
            method=head.method,
            target=escaped(head.target),
            status=status,
            reason=exchange.reason,
            detail=detail or "-",
            id=exchange.request_id,
        )

    def lost(self, peer: str, reason: str, detail: str) -> None:
        """The same for a connection that was given up as a whole."""
        if self._may_say(reason):
            self._log.info("{peer} {reason}: {detail}", peer=peer or "unix:", reason=reason, detail=detail)

    def failed(self, exchange: Any, failure: Failure) -> None:
        """The traceback of a handler or filter that failed; its line of the refusal is another."""
        if self._may_say("traceback"):
            self._log.failure("request {id}: a handler or filter failed", failure, id=exchange.request_id)

    def _may_say(self, reason: str) -> bool:
        counts = self._counts
        if reason not in counts and len(counts) >= REASONS_MAX:
            reason = "others"
        counts[reason] = count = counts.get(reason, 0) + 1
        return count <= LINES_MAX

    def tick(self) -> None:
        """A second is over: say what was not said."""
        counts = self._counts
        if not counts:
            return
        for reason, count in counts.items():
            if count > LINES_MAX:
                self._log.info("{reason}: and {count} more", reason=reason, count=count - LINES_MAX)
        counts.clear()
