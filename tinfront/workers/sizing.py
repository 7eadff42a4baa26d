"""How many workers an app should have now, between ``workers_min`` and ``workers_max``. Pure: numbers in, a number out.

It grows soon and by one, when jobs wait although all workers are there, and shrinks late and by one, when for a long
time there was always a whole worker without anything to do. Having grown, it does not shrink for as long: load that
comes and goes keeps what it needs at its height.
"""

from __future__ import annotations

GROW_WAIT = 0.2
"""Seconds that the oldest job must have waited."""

GROW_PAUSE = 1.0
"""Seconds after a growth in which the new worker may show what it can do."""

SHRINK_AFTER = 30.0
"""Seconds for which a worker must have been superfluous, since the last change."""


class Sizing:
    """Remembers what it takes to judge one pool.

    :ivar least: workers there are at least; ``most`` at most.
    """

    def __init__(self, least: int, most: int, threads: int) -> None:
        self.least = least
        self.most = most
        self._threads = threads
        self._changed = float("-inf")
        self._needed_at = float("-inf")

    def advise(self, now: float, workers: int, ready: int, wait: float, idle: int) -> int:
        """How many workers there should be.

        :param workers: that there should be until now; ``ready``: that there are.
        :param wait: seconds the oldest waiting job has waited; ``idle``: slots of ready workers without a job.
        """
        if self._needed_at < 0.0 or wait > 0.0 or idle < self._threads or ready < workers:
            self._needed_at = now
        if workers < self.most and wait >= GROW_WAIT and ready >= workers and now - self._changed >= GROW_PAUSE:
            return self._change(now, workers + 1)
        if workers > self.least and now - max(self._changed, self._needed_at) >= SHRINK_AFTER:
            return self._change(now, workers - 1)
        return workers

    def resized(self, now: float) -> None:
        """Somebody else has decided: let it be for a while."""
        self._changed = now

    def _change(self, now: float, workers: int) -> int:
        self._changed = now
        return workers
