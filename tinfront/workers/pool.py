"""What the two kinds of pools share: start and end, the clock that looks at deadlines, and whether they are open."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from tinfront.workers.jobs import Verdict, refuse, refuse_later
from tinfront.workers.order import Line, Shed

if TYPE_CHECKING:
    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.sources import Sources

TICK = 0.25
"""Seconds between two looks at the deadlines."""

TICK_STOPPING = 0.02
"""The same while the pool ends."""

BACK_OFF_FIRST = 0.1
BACK_OFF_MAX = 30.0
"""Seconds between two starts that failed; they double."""


class BackOff:
    """When something that failed may be tried again.

    :ivar until: monotonic seconds.
    """

    def __init__(self) -> None:
        self.until = 0.0
        self._failures = 0

    def failed(self) -> None:
        """Wait, and longer than the last time."""
        self.until = monotonic() + min(BACK_OFF_FIRST * 2.0**self._failures, BACK_OFF_MAX)
        self._failures = min(self._failures + 1, 20)

    def succeeded(self) -> None:
        """The next failure is a first one again."""
        self._failures = 0

    @property
    def retry_after(self) -> int:
        """Whole seconds a client should wait, at least 1."""
        return max(1, round(self.until - monotonic()))


class Pool(Service):
    """A pool that runs one app. Subclasses do the work: ``_begin``, ``_sweep``, ``_advance_stop``.

    :ivar grace: seconds that running jobs get when the pool is stopped.
    :ivar ready: at least one worker can answer.
    :ivar trouble: why the app cannot be started, or "".
    :ivar shed: counts of exchanges that were never run.
    :ivar workers: how many processes there should be; changed by ``resize``.
    """

    def __init__(self, app: App, clock: Any, log: Logger, call_soon: Callable[[Callable[[], None]], Any]) -> None:
        """``clock`` provides ``IReactorTime``; ``call_soon`` runs a callable at the end of this turn of the loop."""
        self.grace = 30.0
        self.trouble = ""
        self._app = app
        self._clock = clock
        self._log = log
        self.shed = Shed()
        self.workers = 1
        self._call_soon = call_soon
        self._line = Line(app.queue_fair, app.queue_newest_after)
        self._back_off = BackOff()
        self._refusal: Verdict | None = (503, "app-not-ready", "the pool is not running")
        self._timer: Any = None
        self._witness: Any = None
        self._when_ready: list[Deferred[bool]] = []
        self._stopped: Deferred[None] | None = None
        self._stop_began = 0.0
        self._stop_stage = 0

    @property
    def ready(self) -> bool:
        """True when at least one worker can answer."""
        raise NotImplementedError

    def resize(self, count: int) -> int:
        """Have so many workers from now on, or as near to that as may be; returns how many."""
        return self.workers

    def status(self) -> dict[str, Any]:
        """Plain values for ``tinfront status``; see ``census``."""
        told: dict[str, Any] = self._witness.census()
        return told

    def ask_stacks(self, told: Callable[[dict[str, Any]], None]) -> int:
        """Have ``told`` called soon for each worker, with ``app``, ``pid``, ``state`` and ``stacks`` (text).

        Returns how often; it may have happened already.
        """
        count: int = self._witness.ask_all(told)
        return count

    def when_ready(self) -> Deferred[bool]:
        """Fires with True as soon as a worker can answer, or with False when the app cannot be started."""
        result: Deferred[bool] = Deferred()
        if self.ready or self.trouble:
            result.callback(self.ready)
        else:
            self._when_ready.append(result)
        return result

    def sources(self) -> Sources | None:
        """The files of the app's code; None: nobody knows them."""
        return None

    def startService(self) -> None:  # noqa: N802 - Twisted's name
        """Start. Until it is known whether the app can run, exchanges wait."""
        super().startService()  # type: ignore[no-untyped-call]
        self._refusal = None
        self._begin()
        self._tick()

    def stopService(self) -> Deferred[None]:  # noqa: N802 - Twisted's name
        """Finish what runs and what waits, up to ``grace``; then end it. Fires when nothing is left."""
        super().stopService()  # type: ignore[no-untyped-call]
        stopped = self._stopped
        if stopped is None:
            self._stopped = stopped = Deferred()
            self._refusal = (503, "stopping", "the pool is being stopped")
            self._stop_began = monotonic()
            if self._timer is not None:
                self._timer.cancel()
            self._fire(False)
            self._tick()
        return stopped

    def _make_room(self, exchange: Any) -> bool:
        """The queue is full: refuse this exchange, or another in its favour; returns whether it may wait."""
        self.shed.full += 1
        self._line_up()
        item = self._line.crowd_out(exchange, monotonic())
        verdict = (503, "queue-full", f"{self._app.queue_max} jobs are waiting for {self._app.name}")
        if item is None:
            refuse(exchange, verdict)
            return False
        # Not at once: what its client has pipelined behind it would take the place.
        self._call_soon(partial(refuse_later, item.exchange, verdict))
        return True

    def _line_up(self) -> None:
        """Let the newcomers of this turn stand in line."""
        raise NotImplementedError

    def _begin(self) -> None:
        raise NotImplementedError

    def _sweep(self, now: float) -> None:
        """Compare all deadlines with the clock."""
        raise NotImplementedError

    def _advance_stop(self, now: float) -> bool:
        """One step towards the end; True when it is reached."""
        raise NotImplementedError

    def _tick(self) -> None:
        self._timer = None
        now = monotonic()
        try:
            self._sweep(now)
            if self._stopped is not None and self._advance_stop(now):
                self._stopped.callback(None)
                return
        except Exception:  # noqa: BLE001 - the next tick must come, whatever happens in this one
            self._report_bug()
        self._timer = self._clock.callLater(TICK if self._stopped is None else TICK_STOPPING, self._tick)

    def _report_bug(self) -> None:
        """In an except clause: what should not have been raised."""
        self._log.failure("[{app}] a bug in the pool", app=self._app.name)

    def _open(self) -> None:
        """The app runs: take exchanges."""
        self.trouble = ""
        if self._stopped is None:
            self._refusal = None
        self._fire(True)

    def _shut(self, trouble: str) -> Verdict:
        """The app cannot be started: refuse exchanges; returns how."""
        self.trouble = trouble
        verdict = (503, "app-not-ready", f"{self._app.name} cannot be started: {trouble}")
        if self._stopped is None:
            self._refusal = verdict
        self._fire(False)
        return verdict

    def _fire(self, ready: bool) -> None:
        waiting, self._when_ready = self._when_ready, []
        for result in waiting:
            result.callback(ready)
