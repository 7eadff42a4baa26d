"""A running site: what starts and stops, and in which order.

The parts come from ``assembly``; ``reload`` puts others in their place. Stopping has an order of its own: say that no
more is taken, stop accepting, let exchanges finish within the grace, then end the pools, then the log.
"""

from __future__ import annotations

import gc
import signal
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, inlineCallbacks
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from tinfront import __version__
from tinfront.assembly import Assembly, Content, access_log
from tinfront.config.model import Config
from tinfront.config.model import Listener as ListenerModel
from tinfront.config.source import Source
from tinfront.control import Answer, Control
from tinfront.front.listener import Listener
from tinfront.front.terms import Terms
from tinfront.http.dates import format_date
from tinfront.inspection import cautions
from tinfront.notify import Notifier
from tinfront.reload import Reloads
from tinfront.signals import Signals
from tinfront.status import log_stacks, stacks, status
from tinfront.workers.generations import Generations

log = Logger(namespace="tinfront")


def build(config: Config, loop: AbstractEventLoop | None, read: Callable[[Source], Config] | None = None) -> Site:
    """The service of a whole site; nothing is started or opened yet.

    :param loop: the loop for the fast transports; None: connections run on the reactor's own.
    :param read: reads the configuration again from a source, for a reload; None: there is no other.
    :raises ConfigError: a handler or filter cannot be made of its settings.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - the command has chosen by now

    return Site(config, reactor, loop, read)


class Site(Service):
    """Everything that one configuration describes.

    :ivar config: what runs now.
    :ivar assembly: makes parts.
    :ivar pools: by the name of their app.
    :ivar content: what requests find.
    :ivar listeners: in the order of the file; ``terms``: theirs, and of listeners that are drained.
    :ivar access_log: once there was one it stays open, so that it can be turned on again; None if there never was.
    :ivar parting: what is on its way out, until it is gone.
    :ivar started: monotonic seconds; ``stopping``: whether it is on its way out.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        loop: AbstractEventLoop | None,
        read: Callable[[Source], Config] | None = None,
    ) -> None:
        self.config = config
        self.assembly = assembly = Assembly(config, reactor, loop)
        self.stopping = False
        assembly.stopping = lambda: self.stopping
        self._reactor = reactor
        self.access_log = access_log(config.server, assembly.keeper)
        self.pools = {app.name: Generations(app, assembly.pool(app)) for app in config.apps.values()}
        self.content = assembly.content(config, self.pools, self.access_log)
        self.terms: dict[Listener, Terms] = {}
        self.listeners = [self.make_listener(model, self.content) for model in config.listeners]
        self.parting: dict[Any, Deferred[Any]] = {}
        self._delay: Deferred[Any] | None = None
        self._retired: dict[Generations, float] = {}
        self._ticker = LoopingCall(self._tick)
        self._ticker.clock = reactor
        self._notifier = Notifier(reactor)
        self._reloads = Reloads(self, read or (lambda _: config), self._notifier)
        self._signals = Signals(reactor, self._actions())
        self.started = time.monotonic()
        control = config.server.control
        self._control = (
            Control(control, reactor, self._answers(), assembly.keeper.owner) if control is not None else None
        )

    def _actions(self) -> dict[signal.Signals, Callable[[], object]]:
        return {
            signal.SIGTERM: self.stop_soon,
            signal.SIGINT: self.stop_soon,
            signal.SIGQUIT: self.stop_now,
            signal.SIGHUP: self._reloads.ask,
            signal.SIGUSR1: self.reopen_logs,
            signal.SIGUSR2: partial(log_stacks, self, log),
            signal.SIGTTIN: partial(self.resize, 1),
            signal.SIGTTOU: partial(self.resize, -1),
        }

    def _answers(self) -> dict[str, Callable[[], Any]]:
        def stop() -> Answer:
            self.stop_soon()
            return {"done": True}

        def reload() -> Deferred[Answer]:
            return self._reloads.ask().addCallback(lambda outcome: outcome.answer())

        return {"status": partial(status, self), "stacks": partial(stacks, self), "reload": reload, "stop": stop}

    def make_listener(self, model: ListenerModel, content: Content) -> Listener:
        """A listener that is neither bound nor started."""
        terms = self.assembly.terms(model, content)
        listener = self.assembly.listener(model, terms)
        self.terms[listener] = terms
        return listener

    # --- running

    def privilegedStartService(self) -> None:
        """Open the log, bind all addresses and read all keys, while there are the privileges to do so.

        :raises OSError: an address cannot be listened on.
        :raises ConfigError: a certificate cannot be used.
        """
        self.assembly.keeper.start()
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if self.access_log is not None:
            self.access_log.open()
        if self._control is not None:
            self._control.privilegedStartService()
        for listener in self.listeners:
            listener.privilegedStartService()
        if any(listener.model.tls for listener in self.listeners):
            self.content.know(self.assembly.certificates)

    def startService(self) -> None:
        """Start the pools and begin to accept. The listeners were bound by ``privilegedStartService``."""
        self.assembly.drop_privileges()
        for caution in cautions(self.config):
            log.warn("{caution}", caution=caution)
        super().startService()  # type: ignore[no-untyped-call]
        if self.access_log is not None:
            self.access_log.start()
        self._ticker.start(1.0, now=True)
        _tune_collector()
        for pool in self.pools.values():
            pool.start()
        for listener in self.listeners:
            listener.startService()
        self._reactor.callWhenRunning(self._announce)

    def _announce(self) -> None:
        """Say so only now that signals are minded: who reads it may stop us at once."""
        self._signals.install()
        log.info("tinfront {version} serves {urls}", version=__version__, urls=", ".join(self.urls()))
        self._notifier.start(self.urls(), [pool.when_ready() for pool in self.pools.values()])

    def urls(self) -> list[str]:
        """Where it can be reached."""
        return [url for listener in self.listeners for url in listener.urls()]

    def _tick(self) -> None:
        """Once a second: a new Date, and the log lines of the last second."""
        self.assembly.preamble.tick(format_date(time.time()))
        self.assembly.report.tick()
        if self.access_log is not None:
            self.access_log.flush()
            self.access_log.report(log)
        for pools, until in tuple(self._retired.items()):
            if time.monotonic() >= until or not self._in_use(pools.app.name):
                del self._retired[pools]
                self.part(pools, pools.stop(self.config.server.grace))

    def reload(self) -> None:
        """Load the configuration again; what comes of it is in the log."""
        self._reloads.ask()

    def resize(self, by: int) -> None:
        """Let each app that has processes have one more, or one less."""
        for name, pools in self.pools.items():
            if pools.app.mode == "prefork":
                log.info("[app:{name}] has {count} workers from now on", name=name, count=pools.resize(by))

    def reopen_logs(self) -> None:
        """Go on with new log files after the old ones were renamed."""
        if self.access_log is not None:
            self.access_log.reopen()

    # --- what a reload has no more use for

    def part(self, service: Any, gone: Deferred[Any]) -> None:
        """Remember what is on its way out; ``gone`` fires when it is."""
        told: Deferred[Any] = Deferred()
        self.parting[service] = told

        def forget(_: Any) -> None:
            del self.parting[service]
            self.terms.pop(service, None)
            told.callback(None)

        gone.addBoth(forget)

    def retire(self, pools: Generations) -> None:
        """An app is not in the configuration any more. Requests that are on their way to it still find it."""
        self._retired[pools] = time.monotonic() + self.config.server.grace

    def _in_use(self, app: str) -> bool:
        for listener in self.terms:
            for connection in listener.connections:
                for exchange in getattr(connection, "exchanges", {}).values():
                    if exchange.route is not None and exchange.route.model.settings.get("app") == app:
                        return True
        return False

    # --- stopping

    def stop_soon(self) -> None:
        """Stop with all running requests finished; asked again, at once."""
        if self.stopping:
            self.stop_now()
        else:
            self.stopping = True
            log.info("stopping; a second signal stops at once")
            self._reactor.stop()

    def stop_now(self) -> None:
        """Stop without waiting for anybody: what is due is refused, or cut."""
        for listener in self.terms:
            listener.hurry("the server was told to stop at once")
        for pools in self.all_pools():
            pools.hurry(0.0)
        if self._delay is not None:
            self._delay.cancel()
        if not self.stopping:
            self.stopping = True
            self._reactor.stop()

    def all_pools(self) -> list[Generations]:
        """Those of apps that are on their way out, too."""
        parting = [service for service in self.parting if isinstance(service, Generations)]
        return [*self.pools.values(), *self._retired, *parting]

    def stopService(self) -> Deferred[None]:
        """Stop in order; fires when everything has ended."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.stopping = True
        return self._stop()

    @inlineCallbacks
    def _stop(self) -> Any:
        server = self.config.server
        self._notifier.stopping()
        self._reloads.close()
        if server.drain_delay:
            yield self._wait(server.drain_delay)
        for listener in self.listeners:
            listener.stop_accepting()
        deadline = time.monotonic() + server.grace
        yield _all(listener.drain(server.grace) for listener in self.listeners)
        left = max(0.0, deadline - time.monotonic())  # one grace for all, not one after another
        ending = [pools.stop(left) for pools in self.all_pools()]
        ending += [listener.stopService() for listener in self.listeners]
        yield _all([*ending, *self.parting.values()])
        if self._control is not None:
            yield self._control.stopService()
        if self._ticker.running:
            self._ticker.stop()
        if self.access_log is not None:
            self.access_log.stop()
        self._notifier.close()
        self.assembly.keeper.close()
        self._signals.restore()

    def _wait(self, seconds: float) -> Deferred[Any]:
        """Serve on for a while, so that whoever asks whether this server is ready learns that it is not."""
        log.info("accepting for {seconds:g} s more (drain_delay)", seconds=seconds)
        delay: Deferred[Any] = deferLater(self._reactor, seconds)
        self._delay = delay
        return delay.addErrback(lambda failure: failure.trap(CancelledError))


def _tune_collector() -> None:
    """What is there now stays for good, and what a request leaves behind is no cycle: look at less, and less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _all(deferreds: Iterable[Deferred[Any]]) -> Deferred[Any]:
    return DeferredList(list(deferreds), consumeErrors=True)
