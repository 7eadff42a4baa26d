"""Sees to it that an app always has a nursery: one after the other, each a fresh interpreter with the code as it is.

A nursery whose app starts threads at import is replaced by one that imports nothing (``preload = no``). One that dies,
or does not answer a ``PING`` for ``SILENCE``, is replaced at once, while its workers go on serving; one that cannot
import the app is tried again, ever more slowly, and its traceback is logged once, not at each try.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, Any

from tinfront.workers import frames
from tinfront.workers.applog import cut
from tinfront.workers.nursery_process import NurseryProcess
from tinfront.workers.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.logger import Logger

    from tinfront.config.model import App
    from tinfront.workers.jobs import JobQueue
    from tinfront.workers.pool import BackOff


PING_EVERY = 2.0
"""Seconds between two questions whether the nursery is alive."""

SILENCE = 10.0
"""Seconds after which it is not."""

STEADY = 1.0
"""Seconds a nursery must live for its death not to be a failed start."""


class Nurse:
    """Holds the current nursery, and those that still have to be waited for.

    :ivar back_off: when something that failed may be started again.
    :ivar sources: the files of the app's code; None: nobody knows them.
    :ivar failure: why the app could not be started the last time, or "".
    """

    def __init__(self, app: App, keeper: Any, watcher: Any, log: Logger, back_off: BackOff) -> None:
        self.back_off = back_off
        self._app = app
        self._keeper = keeper
        self._watcher = watcher
        self._log = log
        self._preload = app.preload
        self.sources: Sources | None = None
        self._current: NurseryProcess | None = None
        self._leaving: list[NurseryProcess] = []
        self._tries = 0
        self.failure = ""

    @property
    def pid(self) -> int:
        """Of the current nursery; 0: there is none."""
        return self._current.pid if self._current is not None else 0

    def begin(self, queue: JobQueue, crew: Any) -> None:
        """Start the first one. ``crew`` is told what the nurseries report, by its methods ``on_…``."""
        self._queue = queue
        self._crew = crew
        self.start()

    @property
    def imported(self) -> bool:
        """Whether workers can be forked."""
        return self._current is not None and self._current.imported

    @property
    def ended(self) -> bool:
        """True when every nursery has been waited for."""
        return self._current is None and not self._leaving

    def start(self) -> None:
        """Start a nursery, if there is none."""
        if self._current is not None:
            return
        nursery = NurseryProcess(self._app, self._watcher, self._log, self)
        try:
            nursery.start(self._keeper, self._queue, self._preload)
        except OSError as error:
            self.report_failure(f"its nursery cannot be started: {error}")
            return
        nursery.started = monotonic()
        nursery.deadline = nursery.started + self._app.startup_timeout
        self._current = nursery

    def order(self, kind: int, first: int = 0, second: int = 0, fds: Iterable[int] = ()) -> bool:
        """Send an order to the current nursery; False if it cannot be sent."""
        return self._current is not None and self._current.order(kind, first, second, fds)

    def signal(self, pid: int, pidfd: int, number: int) -> None:
        """Send a signal to a worker whose nursery is dead."""
        self._keeper.signal(pid, pidfd, number)

    def tick(self, now: float) -> None:
        """Wait for those that end; end the one that imports for too long."""
        self._leaving = [nursery for nursery in self._leaving if not nursery.reap()]
        nursery = self._current
        if nursery is not None and not nursery.imported and now >= nursery.deadline:
            nursery.kill()
            self._let_go(nursery)
            self.report_failure(f"the app was not imported within {self._app.startup_timeout:g} s")
        elif nursery is not None and nursery.imported:
            self._ping(nursery, now)

    def _ping(self, nursery: NurseryProcess, now: float) -> None:
        if nursery.asked and now - nursery.asked >= SILENCE:
            self._log.error("[{app}] its nursery does not answer, and is killed", app=self._app.name)
            nursery.kill()
            self._let_go(nursery)
            self._crew.on_orphaned(True)
        elif not nursery.asked and now >= nursery.next_ping:
            nursery.order(frames.PING)
            nursery.asked = now

    def hang_up(self, kill: bool = False) -> None:
        """End the nursery."""
        if self._current is not None:
            self._let_go(self._current)
        if kill:
            for nursery in self._leaving:
                nursery.kill()

    def report_failure(self, text: str) -> None:
        """The app cannot be started as it is."""
        self.back_off.failed()
        why = text.rstrip().rpartition("\n")[2] or "no reason was given"
        if text == self.failure:
            self._tries += 1
            self._log.warn("[{app}] cannot start, try {n}: {why}", app=self._app.name, n=self._tries, why=cut(why))
        else:
            self._tries = 1
            self.failure = text
            self._log.error("[{app}] cannot start: {text}", app=self._app.name, text=cut(text))
        self._crew.on_unbootable(why)

    def recovered(self) -> None:
        """A worker is ready: the next failure is news again."""
        self.failure = ""

    def on_report(self, nursery: NurseryProcess, kind: int, first: int, second: int, text: str, fds: list[int]) -> None:
        """A nursery has reported."""
        if nursery is not self._current:
            kind = 0
        if kind == frames.BORN:
            self._crew.on_born(first, second, text, fds)
            return
        if kind == frames.SOURCES and fds:
            self.sources = Sources(fds[0])
        for fd in fds:
            os.close(fd)
        if kind == frames.IMPORTED:
            nursery.imported = True
            self._crew.fill()
        elif kind == frames.FAILED:
            nursery.told = True
            self.report_failure(text)
        elif kind == frames.PING:
            nursery.asked = 0.0
            nursery.next_ping = monotonic() + PING_EVERY
        elif kind == frames.THREADED:
            nursery.told = True
            self._preload = False
            self._log.warn(
                "[{app}] starts threads when it is imported ({threads}), which a fork would not survive: "
                "each worker imports it by itself, as with preload = no",
                app=self._app.name,
                threads=text,
            )
        elif kind == frames.DIED:
            self._crew.on_died(first, second, text)

    def on_end(self, nursery: NurseryProcess) -> None:
        """A nursery has died, or has no more to do."""
        if nursery is not self._current:
            return
        self._let_go(nursery)
        if not nursery.imported and not nursery.told:
            self.report_failure("the nursery died while it imported the app; what it said last stands above")
        elif nursery.imported and monotonic() - nursery.started < STEADY:
            self.back_off.failed()
        self._crew.on_orphaned(nursery.imported)

    def _let_go(self, nursery: NurseryProcess) -> None:
        nursery.close()
        self._current = None
        self._leaving.append(nursery)
