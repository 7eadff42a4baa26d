"""Workers that come and go in good order: those that have done their share, and those for whom there is no work.

A replacement is ready before the old worker is told to stop. It stops when it is idle, however long that takes, and
there is one at a time: the next one's turn is when the last one is gone, or has had its time for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinfront.workers.board import Board
from tinfront.workers.wear import Wear
from tinfront.workers.worker_process import STOP_MAX, WorkerProcess

if TYPE_CHECKING:
    from tinfront.config.model import App

SURPLUS = "there is no work for it"


class Turnover:
    """Looks over the workers of one crew."""

    def __init__(self, app: App, crew: Any, wear: Wear | None = None) -> None:
        self._threads = app.threads
        self._crew = crew
        self._wear = wear or Wear(app)

    def enlist(self, worker: WorkerProcess) -> None:
        """A new one: it learns how much it has to do."""
        worker.requests_max = self._wear.requests_of_one()

    def tick(self, now: float) -> None:
        """Choose who is to be replaced, and send away who can be."""
        crew = self._crew
        self._send_surplus(now)
        if any(worker.worn and (not worker.leaving or now - worker.left < STOP_MAX) for worker in crew):
            self.relieve(now)
            return
        for worker in crew:
            if worker.ready and not worker.leaving and not worker.orphan:
                worker.worn = self._wear.worn(worker, now)
                if worker.worn:
                    crew.fill()
                    return

    def relieve(self, now: float) -> None:
        """Somebody may have become ready: who was waiting for that may go."""
        crew = self._crew
        if sum(1 for worker in crew if worker.ready and worker.stays) >= crew.target:
            for worker in crew:
                if worker.worn and not worker.leaving:
                    worker.retire(now)

    def _send_surplus(self, now: float) -> None:
        crew = self._crew
        surplus = crew.staying - crew.target
        if surplus <= 0:
            return
        staying = [worker for worker in crew if worker.stays]
        # First those that do not work yet, then the idle ones; the oldest last, who know the app's caches best.
        staying.sort(key=lambda worker: (bool(worker.ready), not self.is_idle(worker), -worker.ready))
        for worker in staying[:surplus]:
            worker.worn = SURPLUS
            worker.retire(now)

    def is_idle(self, worker: WorkerProcess) -> bool:
        """Whether it has no job."""
        first, ids = worker.seat * self._threads, self._crew.queue.board.ids
        return not any(ids[slot * Board.STEP] for slot in range(first, first + self._threads))
