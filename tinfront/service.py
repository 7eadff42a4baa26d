"""From a configuration to running services: the only place that constructs everything.

The tree is a ``MultiService`` of pools and listeners. Stopping has an order of its own, which ``MultiService`` cannot
give: stop accepting, let exchanges finish within the grace, then stop the pools, then the log.
"""

from __future__ import annotations

import gc
import signal
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tinfront import __version__
from tinfront.catalog import Catalog, discover
from tinfront.config.model import Config, Route
from tinfront.config.model import Listener as ListenerModel
from tinfront.control import Control
from tinfront.errors import ConfigError
from tinfront.filters.encoded_slashes import EncodedSlashes
from tinfront.front.accesslog import FORMATS, AccessLog
from tinfront.front.atoms import compile_format
from tinfront.front.connection import Connection
from tinfront.front.listener import Capacity, Ground, Listener
from tinfront.front.pages import Pages
from tinfront.front.proxies import Proxies
from tinfront.front.report import Report
from tinfront.front.spool import Budget
from tinfront.front.terms import Terms
from tinfront.front.tls import Certificates
from tinfront.http.dates import format_date
from tinfront.keeper import LocalKeeper, raise_descriptor_limit
from tinfront.routing.chain import Parts, bind
from tinfront.routing.table import BoundRoute, SiteTable, Table
from tinfront.signals import Signals
from tinfront.status import log_stacks, stacks, status
from tinfront.wire.codec import Preamble
from tinfront.wire.h1_head import HeadLimits, HeadParser
from tinfront.workers.processes import ProcessPool
from tinfront.workers.threads import ThreadPool

log = Logger(namespace="tinfront")
app_log = Logger(namespace="tinfront.app")


def build(config: Config, loop: AbstractEventLoop | None) -> Site:
    """The service of a whole site; nothing is started or opened yet.

    :param loop: the loop for the fast transports; None: connections run on the reactor's own.
    :raises ConfigError: a handler or filter cannot be made of its settings.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - the command has chosen by now

    return Site(config, reactor, loop)


class Site(MultiService):
    """Everything that one configuration describes.

    :ivar pools: ``IWorkerPool`` providers by the name of their app.
    :ivar listeners: in the order of the file.
    :ivar capacity: bounds the connections of all listeners.
    :ivar started: monotonic seconds; ``stopping``: whether it is on its way out.
    """

    def __init__(self, config: Config, reactor: Any, loop: AbstractEventLoop | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._config = config
        self._reactor = reactor
        self._loop = loop
        self._call_soon: Any = loop.call_soon if loop else partial(reactor.callLater, 0)
        self._keeper = LocalKeeper()
        server = config.server
        raise_descriptor_limit()
        self.certificates = Certificates(config.sites, self._keeper, config.directory)
        self.capacity = Capacity(server.connections_max)
        self._ground = Ground(reactor, self._keeper, self.capacity, loop, self.certificates)
        self.access_log = self._make_access_log()
        self._preamble = Preamble("tinfront" if server.server_header else None)
        self._pages = Pages(server.error_pages)
        self._report = Report(log)
        self.budget = Budget(server.spool_max, server.spool_dir)
        self.pools = {app.name: self._make_pool(app) for app in config.apps.values()}
        self._sites: list[SiteTable] = []
        self._table = self._make_table(discover())
        self.listeners = [self._make_listener(model) for model in config.listeners]
        self._ticker = LoopingCall(self._tick)
        self._ticker.clock = reactor
        self._signals = Signals(
            reactor,
            {
                signal.SIGTERM: self.stop_soon,
                signal.SIGINT: self.stop_soon,
                signal.SIGQUIT: self.stop_now,
                signal.SIGHUP: self.refresh,
                signal.SIGUSR1: self.reopen_logs,
                signal.SIGUSR2: partial(log_stacks, self, log),
            },
        )
        self.stopping = False
        self.started = time.monotonic()
        if server.control is not None:
            self._make_control(server.control).setServiceParent(self)  # type: ignore[no-untyped-call]
        for service in (*self.pools.values(), *self.listeners):
            service.setServiceParent(self)

    # --- making

    def _make_control(self, path: str) -> Control:
        def done(act: Callable[[], object]) -> dict[str, Any]:
            act()
            return {"done": True}

        answers: dict[str, Callable[[], Any]] = {
            "status": partial(status, self),
            "stacks": partial(stacks, self),
            "reload": partial(done, self.refresh),
            "stop": partial(done, self.stop_soon),
        }
        return Control(path, self._reactor, answers)

    def _make_access_log(self) -> AccessLog | None:
        server = self._config.server
        if server.access_log == "off":
            return None
        line = FORMATS.get(server.access_log_format) or compile_format(server.access_log_format)
        return AccessLog(server.access_log, line)

    def _make_pool(self, app: Any) -> Any:
        if app.mode == "threads":
            # Straight to the loop where that can be: the reactor's own way is a timer more.
            call_soon: Any = self._loop.call_soon_threadsafe if self._loop else self._reactor.callFromThread
            return ThreadPool(app, self._ground.descriptors, call_soon, self._reactor, app_log)
        return ProcessPool(app, self._ground.descriptors, self._keeper, self._reactor, app_log, self._call_soon)

    def _make_table(self, catalog: Catalog) -> Table:
        table = Table()
        for site in self._config.sites:
            first = [EncodedSlashes()] if site.encoded_slashes == "reject" else []
            routes = [self._make_route(route, catalog, first) for route in site.routes]
            self._sites.append(SiteTable(site.name, routes))
            table.add(self._sites[-1], site.hosts, site.default)
        return table

    def _make_route(self, route: Route, catalog: Catalog, first: list[Any]) -> BoundRoute:
        parts = Parts(route, self._config.server, self.pools)
        try:
            handler = catalog.handler(route.handler).make(route.settings, parts)
            filters = first + [self._make_filter(name, catalog) for name in route.filters]
        except ConfigError as error:
            where = f"{route.place.file}:{route.place.line}: [route:{route.site} {route.pattern}]"
            raise ConfigError(*(f"{where} {finding}" for finding in error.findings)) from error
        observers = [self.access_log] if self.access_log is not None and route.access_log else []
        return bind(route, handler, filters, observers)

    def _make_filter(self, name: str, catalog: Catalog) -> Any:
        model = self._config.filters[name]
        return catalog.filter(model.type).make(model.settings)

    def _make_listener(self, model: ListenerModel) -> Listener:
        terms = self._make_terms(model)
        return Listener(model, partial(Connection, terms), self._ground)

    def _make_terms(self, model: ListenerModel) -> Terms:
        server, limits = self._config.server, model.limits
        return Terms(
            table=self._table,
            limits=limits,
            parser=HeadParser(HeadLimits(limits.line, limits.field, limits.head, limits.fields)),
            preamble=self._preamble,
            pages=self._pages,
            budget=self.budget,
            memory_max=server.spool_memory,
            file_max=server.response_file_max,
            descriptors=self._ground.descriptors,
            call_soon=self._call_soon,
            certificate_of=self.certificates.of,
            proxies=Proxies(model.trusted_proxies, model.proxy_headers),
            observers=(self.access_log.on_finish,) if self.access_log is not None else (),
            report=self._report,
        )

    # --- running

    def privilegedStartService(self) -> None:
        """Open the log, bind all addresses and read all keys, while there are the privileges to do so.

        :raises OSError: an address cannot be listened on.
        :raises ConfigError: a certificate cannot be used.
        """
        if self.access_log is not None:
            self.access_log.open()
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._know_certificates()

    def _know_certificates(self) -> None:
        """Tell each site its certificate, for the check of Host against SNI."""
        if any(listener.model.tls for listener in self.listeners):
            for site in self._sites:
                site.certificate = self.certificates.key_for(site.name)

    def startService(self) -> None:
        """Start the pools and begin to accept. The listeners were bound by ``privilegedStartService``."""
        if self.access_log is not None:
            self.access_log.start()
        self._ticker.start(1.0, now=True)
        _tune_collector()
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._announce)

    def _announce(self) -> None:
        """Say so only now that signals are minded: who reads it may stop us at once."""
        self._signals.install()
        log.info("tinfront {version} serves {urls}", version=__version__, urls=", ".join(self.urls()))

    def urls(self) -> list[str]:
        """Where it can be reached."""
        return [url for listener in self.listeners for url in listener.urls()]

    def _tick(self) -> None:
        """Once a second: a new Date, and the log lines of the last second."""
        self._preamble.tick(format_date(time.time()))
        self._report.tick()
        if self.access_log is not None:
            self.access_log.flush()
            self.access_log.report(log)

    def refresh(self) -> None:
        """Read the certificates and keys again; connections that are open keep theirs."""
        if not any(model.tls for model in self._config.listeners):
            log.info("there are no certificates to read again; other changes need a restart")
            return
        try:
            self.certificates.reload()
            self._know_certificates()
        except ConfigError as error:
            log.error("the old certificates stay: {error}", error=error)
        else:
            log.info("certificates and keys were read again; other changes need a restart")

    def reopen_logs(self) -> None:
        """Go on with new log files after the old ones were renamed."""
        if self.access_log is not None:
            self.access_log.reopen()

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
        """Stop without waiting for anybody."""
        for listener in self.listeners:
            listener.roll.abort_all()
        for pool in self.pools.values():
            pool.grace = 0.0
        if not self.stopping:
            self.stopping = True
            self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """Stop in order; fires when everything has ended."""
        self.stopping = True
        return self._stop()

    @inlineCallbacks
    def _stop(self) -> Any:
        for listener in self.listeners:
            listener.stop_accepting()
        grace = self._config.server.grace
        deadline = time.monotonic() + grace
        yield _all(listener.drain(grace) for listener in self.listeners)
        for pool in self.pools.values():  # one grace for all, not one after another
            pool.grace = min(pool.grace, max(0.0, deadline - time.monotonic()))
        yield super().stopService()  # type: ignore[no-untyped-call]
        if self._ticker.running:
            self._ticker.stop()
        if self.access_log is not None:
            self.access_log.stop()
        self._signals.restore()


def _tune_collector() -> None:
    """What is there now stays for good, and what a request leaves behind is no cycle: look at less, and less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _all(deferreds: Iterable[Deferred[None]]) -> Deferred[Any]:
    return DeferredList(list(deferreds), consumeErrors=True)
