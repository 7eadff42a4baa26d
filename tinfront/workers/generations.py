"""One app's pools over reloads: the current generation takes exchanges, older ones finish what they have.

Handlers hold this and never a pool, so that a request whose body is still on its way finds whoever is current when it
is complete. ``submit``, ``cancel`` and ``shut`` are plain attributes, those of the current pool: no call in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from tinfront.interfaces import IWorkerPool

if TYPE_CHECKING:
    from tinfront.config.model import App

LEAVING_MAX = 8
"""Generations of one app that may be finishing at once; the oldest one's grace is over then."""


@implementer(IWorkerPool)
class Generations:
    """See the module.

    :ivar app: what the current pool was made of.
    :ivar current: the pool that takes exchanges.
    :ivar number: of the current pool, from 1.
    :ivar coming: the pool that is being started, or None.
    :ivar leaving: those that finish, by number.
    """

    submit: Callable[..., None]
    cancel: Callable[[Any], None]
    shut: Callable[[Any], bool]

    def __init__(self, app: App, pool: Any) -> None:
        self.number = 0
        self.coming: Any = None
        self.leaving: dict[int, Any] = {}
        self._install(app, pool)

    def _install(self, app: App, pool: Any) -> None:
        self.app = app
        self.current = pool
        self.number += 1
        self.submit, self.cancel, self.shut = pool.submit, pool.cancel, pool.shut

    # --- what the current one says

    @property
    def ready(self) -> bool:
        """True when at least one worker can answer."""
        return bool(self.current.ready)

    @property
    def shed(self) -> Any:
        """See ``IWorkerPool``."""
        return self.current.shed

    @property
    def trouble(self) -> str:
        """Why the app cannot be started, or ""."""
        return str(self.current.trouble)

    def load(self) -> tuple[int, int, int]:
        """See ``IWorkerPool``."""
        busy, idle, waiting = self.current.load()
        return busy, idle, waiting

    def oldest_wait(self) -> float:
        """See ``IWorkerPool``."""
        return float(self.current.oldest_wait())

    def when_ready(self) -> Deferred[bool]:
        """Fires with True as soon as a worker can answer, or with False when the app cannot be started."""
        result: Deferred[bool] = self.current.when_ready()
        return result

    def all(self) -> list[tuple[int, Any]]:
        """Every pool with its number, the current one first."""
        return [(self.number, self.current), *self.leaving.items()]

    def touched(self) -> bool:
        """Whether the files of the app's code have changed since it was imported, or nobody knows."""
        sources = self.current.sources()
        return sources is None or bool(sources.changed())

    def resize(self, by: int) -> int:
        """Have so many workers more, or less, until the next generation; returns how many it will be."""
        return int(self.current.resize(self.current.workers + by))

    # --- one after the other

    def start(self) -> None:
        """Start the first one."""
        self.current.startService()

    def boot(self, pool: Any) -> Deferred[bool]:
        """Start the next one beside the current one; fires as ``when_ready`` does."""
        self.coming = pool
        pool.startService()
        ready: Deferred[bool] = pool.when_ready()
        return ready

    def take_over(self, app: App, grace: float) -> None:
        """The next one is current from now on; the old one finishes what it has and what waits, within ``grace``."""
        number, old = self.number, self.current
        pool, self.coming = self.coming, None
        self._install(app, pool)
        self._end(number, old, grace)
        for surplus in list(self.leaving)[:-LEAVING_MAX]:
            self.leaving[surplus].grace = 0.0

    def give_up(self) -> None:
        """The next one is not wanted any more."""
        if self.coming is not None:
            pool, self.coming = self.coming, None
            self._end(self.number + 1, pool, 0.0)

    def _end(self, number: int, pool: Any, grace: float) -> None:
        while number in self.leaving:  # of what never was current there may be several
            number += 1
        self.leaving[number] = pool
        pool.grace = grace
        pool.stopService().addCallback(lambda _: self.leaving.pop(number, None))

    def hurry(self, grace: float) -> None:
        """Whatever ends has no more time than this."""
        for _, pool in self.all():
            pool.grace = min(pool.grace, grace)

    def stop(self, grace: float) -> Deferred[Any]:
        """End them all; fires when nothing is left."""
        self.give_up()
        self.hurry(grace)
        ended = []
        for _, pool in self.all():
            gone: Deferred[None] = Deferred()
            pool.stopService().addCallback(_tell, gone)
            ended.append(gone)
        return DeferredList(ended)


def _tell(result: None, waiting: Deferred[None]) -> None:
    waiting.callback(result)
