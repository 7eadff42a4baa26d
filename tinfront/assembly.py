"""From a configuration to the parts of a site: the only place that constructs everything. It starts nothing.

``service`` assembles once when the process starts, ``reload`` again for each new configuration; what is kept in an
``Assembly`` outlives them all.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.logger import Logger

from tinfront.catalog import Catalog, discover
from tinfront.config.model import App, Config, Route, Server
from tinfront.config.model import Listener as ListenerModel
from tinfront.errors import ConfigError
from tinfront.filters.encoded_slashes import EncodedSlashes
from tinfront.front.accesslog import FORMATS, AccessLog, Moments
from tinfront.front.atoms import compile_format
from tinfront.front.connection import Connection
from tinfront.front.listener import Capacity, Ground, Listener
from tinfront.front.pages import Pages
from tinfront.front.proxies import Proxies
from tinfront.front.report import Report
from tinfront.front.spool import Budget
from tinfront.front.terms import Terms
from tinfront.front.tls import Certificates
from tinfront.keeper.appoint import appoint
from tinfront.keeper.local import LocalKeeper, raise_descriptor_limit
from tinfront.routing.chain import Parts, bind
from tinfront.routing.table import BoundRoute, SiteTable, Table
from tinfront.wire.codec import Preamble
from tinfront.wire.h1_head import HeadLimits, HeadParser
from tinfront.workers.processes import ProcessPool
from tinfront.workers.threads import ThreadPool

log = Logger(namespace="tinfront")
app_log = Logger(namespace="tinfront.app")

SERVER_NAME = "tinfront"


@dataclass(slots=True)
class Content:
    """What requests find: made anew by each reload, and put in the place of the old one as a whole.

    :ivar sites: those of ``table``.
    :ivar pages: error pages.
    :ivar observers: ``on_finish`` methods for exchanges that found no route.
    """

    server: Server
    table: Table
    sites: list[SiteTable]
    pages: Pages
    observers: tuple[Callable[[Any], None], ...]

    def serve_by(self, terms: Terms) -> None:
        """Let the connections of a listener find this from their next request on."""
        terms.table = self.table
        terms.pages = self.pages
        terms.observers = self.observers
        terms.memory_max = self.server.spool_memory
        terms.file_max = self.server.response_file_max

    def know(self, certificates: Certificates) -> None:
        """Tell each site its certificate, for the check of Host against SNI."""
        for site in self.sites:
            site.certificate = certificates.key_for(site.name)


@dataclass(slots=True)
class _Making:
    """What routes are made of."""

    config: Config
    pools: Mapping[str, Any]
    catalog: Catalog
    access_log: AccessLog | None
    stopping: Callable[[], bool]

    def route(self, route: Route, first: list[Any]) -> BoundRoute:
        parts = Parts(route, self.config.server, self.pools, self.stopping)
        try:
            handler = self.catalog.handler(route.handler).make(route.settings, parts)
            filters = first + [self._filter(name) for name in route.filters]
        except ConfigError as error:
            where = f"{route.place.file}:{route.place.line}: [route:{route.site} {route.pattern}]"
            raise ConfigError(*(f"{where} {finding}" for finding in error.findings)) from error
        observers = [self.access_log] if self.access_log is not None and route.access_log else []
        return bind(route, handler, filters, observers)

    def _filter(self, name: str) -> Any:
        model = self.config.filters[name]
        return self.catalog.filter(model.type).make(model.settings)


class Assembly:
    """Makes parts.

    :ivar keeper: ``IKeeper``.
    :ivar capacity: bounds the connections of all listeners.
    :ivar budget: bounds the disk space of all bodies.
    :ivar preamble: the first lines of all responses.
    :ivar report: the error log's lines about requests.
    :ivar stopping: whether the server has been told to stop.
    """

    def __init__(self, config: Config, reactor: Any, loop: AbstractEventLoop | None) -> None:
        """:param loop: the loop for the fast transports; None: connections run on the reactor's own."""
        server = config.server
        self.reactor = reactor
        self._loop = loop
        self._call_soon: Any = loop.call_soon if loop else partial(reactor.callLater, 0)
        self.keeper = appoint(config)
        raise_descriptor_limit()
        self.certificates = Certificates(config.sites, self.keeper, config.directory)
        self.capacity = Capacity(server.connections_max)
        self._ground = Ground(reactor, self.keeper, self.capacity, loop, self.certificates)
        self.budget = Budget(server.spool_max, server.spool_dir, server.spool_memory_max)
        self.preamble = Preamble(SERVER_NAME if server.server_header else None)
        self.report = Report(log)
        self.stopping: Callable[[], bool] = bool

    def adjust(self, server: Server) -> None:
        """Have what is shared obey another ``[server]`` section."""
        self.capacity.bound(server.connections_max)
        self.budget.bound(server.spool_max, server.spool_dir, server.spool_memory_max)
        self.preamble.name(SERVER_NAME if server.server_header else None)

    def drop_privileges(self) -> None:
        """Become the user that the server is to run as; the keeper does from now on what that one may not."""
        self.keeper.drop(self._ground.descriptors)

    def pool(self, app: App, logger: Logger = app_log) -> Any:
        """An ``IWorkerPool`` for an app."""
        descriptors = self._ground.descriptors
        if app.mode == "threads":
            # Straight to the loop where that can be: the reactor's own way is a timer more.
            call_soon: Any = self._loop.call_soon_threadsafe if self._loop else self.reactor.callFromThread
            return ThreadPool(app, descriptors, call_soon, self.reactor, logger)
        return ProcessPool(app, descriptors, self.keeper, self.reactor, logger, self._call_soon)

    def content(self, config: Config, pools: Mapping[str, Any], access_log: AccessLog | None) -> Content:
        """Sites, routes, handlers and filters.

        :raises ConfigError: one of them cannot be made of its settings.
        """
        making = _Making(config, pools, discover(), access_log, self.stopping)
        table = Table()
        sites = []
        for site in config.sites:
            first = [EncodedSlashes()] if site.encoded_slashes == "reject" else []
            sites.append(SiteTable(site.name, [making.route(route, first) for route in site.routes]))
            table.add(sites[-1], site.hosts, site.default)
        observers = (access_log.on_finish,) if access_log is not None else ()
        return Content(config.server, table, sites, Pages(config.server.error_pages), observers)

    def listener(self, model: ListenerModel, terms: Terms) -> Listener:
        """A listener, whose connections live by ``terms``."""
        return Listener(model, partial(Connection, terms), self._ground)

    def terms(self, model: ListenerModel, content: Content) -> Terms:
        """What the connections of one listener share."""
        server, limits = content.server, model.limits
        return Terms(
            table=content.table,
            limits=limits,
            parser=HeadParser(HeadLimits(limits.line, limits.field, limits.head, limits.fields)),
            preamble=self.preamble,
            pages=content.pages,
            budget=self.budget,
            memory_max=server.spool_memory,
            file_max=server.response_file_max,
            descriptors=self._ground.descriptors,
            call_soon=self._call_soon,
            certificate_of=self.certificates.of,
            proxies=Proxies(model.trusted_proxies, model.proxy_headers),
            observers=content.observers,
            report=self.report,
        )


def line_of(server: Server) -> Callable[[Any, Moments], str]:
    """What makes the lines of the access log."""
    known = FORMATS.get(server.access_log_format)
    return known if known is not None else compile_format(server.access_log_format)


def access_log(server: Server, keeper: LocalKeeper) -> AccessLog | None:
    """The access log, not yet opened; None if it is off."""
    return None if server.access_log == "off" else AccessLog(server.access_log, line_of(server), keeper.open_log)
