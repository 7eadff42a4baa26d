"""A new configuration and new code for a running site, without losing a request.

The configuration is loaded and compared by value with what runs. What differs is made and started beside the old; only
when all of it works does it take over, in one turn of the reactor. Until then nothing has changed, and whatever goes
wrong, nothing will.

- Routes, handlers, filters and error pages are always made anew; requests that run keep what they have.
- An app gets a new generation of workers if its section or the files of its code have changed, or if the whole
  configuration has not: then somebody wants just that.
- Listeners with the same section go on; others share the sockets of those they replace.
- Certificates and keys are read again.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.logger import Logger

from tinfront.assembly import Content, access_log, line_of
from tinfront.coming import Coming, Witness
from tinfront.config.model import App, Config, Server
from tinfront.errors import ConfigError
from tinfront.workers.generations import Generations

if TYPE_CHECKING:
    from tinfront.config.source import Source
    from tinfront.front.accesslog import AccessLog
    from tinfront.front.listener import Listener
    from tinfront.front.tls import Selection
    from tinfront.notify import Notifier
    from tinfront.service import Site

log = Logger(namespace="tinfront")

FIXED = ("control", "user", "group")
"""Options of [server] that need a restart."""


@dataclass(slots=True)
class Outcome:
    """What has come of a reload.

    :ivar done: the new configuration is in force.
    :ivar failures: what went wrong, each with all that is known of it.
    :ivar notes: what else is worth knowing.
    """

    done: bool = False
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def answer(self) -> dict[str, Any]:
        """For the control socket."""
        told: dict[str, Any] = {"done": self.done, "notes": self.notes}
        if self.failures:
            told["error"] = "\n".join(self.failures)
        return told


class Reloads:
    """One reload at a time. Those that are asked for while one runs are one more, afterwards.

    :param read: loads the configuration from a source, or raises ``ConfigError``.
    """

    def __init__(self, site: Site, read: Callable[[Source], Config], notifier: Notifier) -> None:
        self._site = site
        self._read = read
        self._notifier = notifier
        self._running = self._closed = False
        self._asking: list[Deferred[Outcome]] = []
        self._change: Change | None = None

    def ask(self) -> Deferred[Outcome]:
        """Reload as soon as may be; fires with what has come of it, and never fails."""
        result: Deferred[Outcome] = Deferred()
        self._asking.append(result)
        if not self._running:
            self._running = True
            self._site.assembly.reactor.callLater(0, self._begin)  # signals that come together are one
        return result

    def close(self) -> None:
        """The site is stopping: what is under way is given up."""
        self._closed = True
        if self._change is not None:
            self._change.undo()

    def _begin(self) -> None:
        asking, self._asking = self._asking, []

        def tell(outcome: Outcome) -> None:
            _report(outcome)
            failed = "; the last reload has failed, see the log" if outcome.failures else ""
            self._notifier.ready(self._site.urls(), failed)
            self._running = bool(self._asking)
            if self._running:
                self._site.assembly.reactor.callLater(0, self._begin)
            for result in asking:
                result.callback(outcome)

        self._reload().addCallback(tell)
        # What the last one has replaced is full of circles, and the collector seldom looks.
        gc.collect()

    @inlineCallbacks
    def _reload(self) -> Any:
        outcome = Outcome()
        if self._closed:
            outcome.failures.append("the server is stopping")
            return outcome
        self._notifier.reloading()
        change: Change | None = None
        try:
            self._change = change = Change(self._site, self._load(), outcome)
            change.prepare()
            works = yield change.boot()
            if self._closed:
                outcome.failures.append("the server is stopping")
            elif works:
                change.take_over()
        except ConfigError as error:
            outcome.failures += error.findings
        except OSError as error:
            outcome.failures.append(str(error))
        except Exception as error:  # noqa: BLE001 - the next reload must be possible, whatever happens in this one
            log.failure("a bug in the reload")
            outcome.failures.append(f"a bug: {error!r}")
        if change is not None and not outcome.done:
            change.undo()
        self._change = None
        return outcome

    def _load(self) -> Config:
        return self._read(self._site.assembly.keeper.configuration())


class Change:
    """From what runs to what another configuration describes.

    ``prepare``, ``boot`` and ``take_over`` follow each other; ``undo`` may follow any but the last.
    """

    selection: Selection | None = None
    content: Content
    access_log: AccessLog | None = None

    def __init__(self, site: Site, config: Config, outcome: Outcome) -> None:
        self._site = site
        self._config = config
        self._outcome = outcome
        self._pools: dict[str, Generations] = {}
        self._coming: list[Coming] = []
        self._opened: list[Listener] = []
        self._kept: dict[str, Listener] = {}
        self._undone = False

    # --- making it

    def prepare(self) -> None:
        """Make all that differs, and open what is not open yet.

        :raises ConfigError: something cannot be made.
        :raises OSError: something cannot be opened.
        """
        site, config = self._site, self._config
        for name in FIXED:
            if getattr(config.server, name, None) != getattr(site.config.server, name, None):
                self._outcome.notes.append(f"[server] {name}: a change needs a restart")
        if any(model.tls for model in config.listeners):
            self.selection = site.assembly.certificates.read(config.sites)
        self._match_apps()
        self._choose_log(config.server)
        self.content = site.assembly.content(config, self._pools, self.access_log)
        self._open_listeners()

    def _match_apps(self) -> None:
        site = self._site
        same = self._config == site.config
        for name, app in self._config.apps.items():
            pools = site.pools.get(name)
            if pools is None or _differs(app, pools, same):
                self._renew(app, pools)
            elif app.mode == "threads" and (same or app != pools.app or pools.touched()):
                self._outcome.notes.append(
                    f"[app:{name}] runs in the server's own process (mode = threads): what is new there needs a restart"
                )
            if pools is not None:
                self._pools[name] = pools

    def _renew(self, app: App, pools: Generations | None) -> None:
        witness = Witness()
        pool = self._site.assembly.pool(app, Logger(namespace="tinfront.app", observer=witness))
        if pools is None:
            self._pools[app.name] = Generations(app, pool)
        self._coming.append(Coming(app, pool, pools, witness))

    def _choose_log(self, server: Server) -> None:
        if server.access_log == "off":
            return
        line_of(server)
        self.access_log = self._site.access_log
        if self.access_log is None:
            self.access_log = access_log(server, self._site.assembly.keeper)
            assert self.access_log is not None
            self.access_log.open()

    def _open_listeners(self) -> None:
        site = self._site
        models = {model.name: model for model in self._config.listeners}
        self._kept = {one.model.name: one for one in site.listeners if models.get(one.model.name) == one.model}
        certificates = site.assembly.certificates
        if self.selection is not None and not any(listener.model.tls for listener in site.terms):
            certificates.use(self.selection)  # nobody has needed one until now
        for model in self._config.listeners:
            if model.name not in self._kept:
                listener = site.make_listener(model, self.content)
                self._opened.append(listener)
                for predecessor in self._leaving():
                    listener.inherit(predecessor)
                listener.privilegedStartService()

    def _leaving(self) -> list[Listener]:
        return [listener for listener in self._site.listeners if listener.model.name not in self._kept]

    # --- seeing whether it works

    def boot(self) -> Deferred[bool]:
        """Start the new workers; fires with whether all apps have one that can answer, but for what never had."""
        clock = self._site.assembly.reactor
        return gatherResults([coming.boot(clock) for coming in self._coming]).addCallback(self._booted)

    def _booted(self, ready: list[bool]) -> bool:
        works = True
        for coming, good in zip(self._coming, ready, strict=True):
            if not good:
                self._outcome.failures.append(coming.explain())
                works = works and coming.is_no_loss
        return works

    # --- putting it in place

    def take_over(self) -> None:
        """From now on.

        :raises OSError: the access log cannot be opened; nothing has changed.
        """
        site, config = self._site, self._config
        self._change_log()
        certificates = site.assembly.certificates
        if self.selection is not None:
            certificates.use(self.selection)
            self.content.know(certificates)
        site.assembly.adjust(config.server)
        old, site.content = site.content, self.content
        for terms in site.terms.values():
            self.content.serve_by(terms)
        old.table.close()
        for coming in self._coming:
            coming.take_over(config.server.grace)
        for name, pools in site.pools.items():
            if name not in self._pools:
                site.retire(pools)
        self._note_changes()
        leaving, site.pools, site.config = self._leaving(), self._pools, config
        for listener in self._opened:
            listener.startService()
        present = {listener.model.name: listener for listener in (*self._kept.values(), *self._opened)}
        site.listeners = [present[model.name] for model in config.listeners]
        for listener in leaving:
            gone = listener.drain(config.server.grace)
            site.part(listener, gone.addCallback(_stop_for_good, listener))
        self._outcome.done = True

    def _change_log(self) -> None:
        site, server = self._site, self._config.server
        if self.access_log is None:
            return
        if self.access_log is not site.access_log:
            self.access_log.start()
            site.access_log = self.access_log
        else:
            self.access_log.change(server.access_log, line_of(server))

    def _note_changes(self) -> None:
        """Say what is different; for people."""
        old, new = self._site, self._pools
        lists = {
            "new code": [f"{coming.app.name} ({new[coming.app.name].number})" for coming in self._coming],
            "apps removed": [name for name in old.pools if name not in new],
            "opened": [listener.model.name for listener in self._opened],
            "closed": [listener.model.name for listener in self._leaving()],
        }
        said = [f"{what}: {', '.join(names)}" for what, names in lists.items() if names]
        said = said or ["no app or listener has changed"]
        if self.selection is not None:
            said.append("certificates and keys were read again")
        self._outcome.notes.append("; ".join(["reloaded", *said]))

    def undo(self) -> None:
        """As if nothing had been. Harmless twice."""
        if self._undone or self._outcome.done:
            return
        self._undone = True
        site = self._site
        for coming in self._coming:
            added = coming.give_up(self._pools)
            if added is not None:
                site.part(added, added.stop(0.0))
        for listener in self._opened:
            site.part(listener, listener.stopService())
        if self.access_log is not None and self.access_log is not site.access_log:
            self.access_log.stop()


def _differs(app: App, pools: Generations, same: bool) -> bool:
    """Whether an app needs another generation; ``same``: the whole configuration is as before."""
    if app.mode == pools.app.mode == "threads":
        return False  # it cannot be imported a second time into one process
    return same or app != pools.app or pools.touched()


def _stop_for_good(_: None, listener: Listener) -> Deferred[None]:
    return listener.stopService()


def _report(outcome: Outcome) -> None:
    for note in outcome.notes:
        log.info("{note}", note=note)
    for failure in outcome.failures:
        log.error("{failure}", failure=failure)
    if not outcome.done:
        log.error("the reload has changed nothing")
