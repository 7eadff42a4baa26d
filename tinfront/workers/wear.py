"""When a worker has done its share: ``max_requests``, ``max_lifetime``, ``max_rss``. Pure, but for a look at /proc.

``max_rss`` is the memory that is the worker's alone, as only that comes back when it ends: after a preload the pages
shared with the nursery may be most of what it holds. To count it the kernel walks all pages of the process, so it is
asked only when the cheap count, which is never lower, is over the bound, and never for more than ``SHARE`` of the time.
"""

from __future__ import annotations

import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from tinfront.workers import memory

if TYPE_CHECKING:
    from tinfront.config.model import App
    from tinfront.workers.worker_process import WorkerProcess

SHARE = 0.02
"""Share of the front's time that exact looks at one worker may take."""


class Wear:
    """Knows the bounds of one app's workers."""

    def __init__(self, app: App, look: Any = memory, chance: Any = random.randint) -> None:
        """:param look: ``resident`` and ``private``, as in ``memory``; :param chance: as ``random.randint``."""
        self._app = app
        self._look = look
        self._chance = chance

    def requests_of_one(self) -> int:
        """How many requests a new worker is to answer; 0: any number."""
        app = self._app
        return app.max_requests + self._chance(0, app.max_requests_jitter) if app.max_requests else 0

    def worn(self, worker: WorkerProcess, now: float) -> str:
        """Why this worker, which is ready, is to be replaced; "" if it may stay."""
        app = self._app
        if worker.served >= worker.requests_max > 0:
            return f"max_requests: it has answered {worker.served}"
        if app.max_lifetime and now - worker.ready >= app.max_lifetime:
            return f"max_lifetime: it has served for {now - worker.ready:.0f} s"
        if app.max_rss and (held := self._held(worker, now)) > app.max_rss:
            return f"max_rss: it holds {held / 1024**2:.0f} MiB of its own"
        return ""

    def _held(self, worker: WorkerProcess, now: float) -> int:
        _, anonymous = self._look.resident(worker.pid)
        if worker.inherited < 0:
            worker.inherited = anonymous
        if anonymous <= self._app.max_rss or now < worker.next_look:
            return 0
        began = monotonic()
        held = self._look.private(worker.pid)
        worker.next_look = now + (monotonic() - began) / SHARE
        if held is None:  # another user's: at least that much has been added since its birth
            held = anonymous - worker.inherited
        return int(held)
