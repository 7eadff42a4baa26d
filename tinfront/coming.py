"""A new generation of an app's workers from its start to its taking over, and what it says meanwhile.

Called by ``reload``: whoever asks for new code is told why it does not start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

if TYPE_CHECKING:
    from tinfront.config.model import App
    from tinfront.workers.generations import Generations

SAID_MAX = 32
"""Lines of an app that fails that whoever asked for the reload is shown; the log has all."""


class Coming:
    """A generation that is about to come.

    :ivar app: what it is made of.
    """

    def __init__(self, app: App, pool: Any, pools: Generations | None, witness: Witness) -> None:
        self.app = app
        self._pool = pool
        self._pools = pools
        self._witness = witness
        self._started = False

    @property
    def is_no_loss(self) -> bool:
        """Whether the app does not run now either."""
        return self._pools is not None and not self._pools.ready and bool(self._pools.trouble)

    def boot(self, clock: Any) -> Deferred[bool]:
        """Start it; fires with whether it can answer. It has as long as an import and a start may take."""
        self._started = True
        if self._pools is not None:
            ready = self._pools.boot(self._pool)
        else:
            self._pool.startService()
            ready = self._pool.when_ready()
        result: Deferred[bool] = Deferred()
        late = clock.callLater(2 * self.app.startup_timeout + 5.0, result.callback, False)

        def know(good: bool) -> None:
            if late.active():
                late.cancel()
                result.callback(good)

        ready.addCallback(know)
        return result

    def explain(self) -> str:
        """Why it cannot be started, with the traceback if there is one."""
        trouble = self._pool.trouble or "it was not ready in time"
        what = "cannot be started, as before" if self.is_no_loss else "the new one cannot be started"
        return "\n".join([f"[app:{self.app.name}] {what}: {trouble}", *(self._witness.lines or ())])

    def take_over(self, grace: float) -> None:
        """From now on it takes the exchanges."""
        self._witness.lines = None
        if self._pools is not None:
            self._pools.take_over(self.app, grace)

    def give_up(self, pools: Mapping[str, Generations]) -> Generations | None:
        """It will not come; returns what has to be ended besides, if it is the first of its app."""
        self._witness.lines = None
        if not self._started:
            return None
        if self._pools is None:
            return pools[self.app.name]
        self._pools.give_up()
        return None


@implementer(ILogObserver)
class Witness:
    """Hears what the log is told of one generation, and keeps its complaints.

    :ivar lines: the first of them; None: no more.
    """

    def __init__(self) -> None:
        self.lines: list[str] | None = []

    def __call__(self, event: dict[str, Any]) -> None:
        """See ``ILogObserver``."""
        globalLogPublisher(event)
        if self.lines is not None and event.get("log_level") in (LogLevel.error, LogLevel.critical):
            self.lines.append(formatEvent(event))
            del self.lines[SAID_MAX:]
