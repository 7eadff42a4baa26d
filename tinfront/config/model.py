"""What a configuration means, as frozen values. Two equal models need no change between them.

Sizes are bytes, times are seconds (float), paths are absolute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written, for error messages. Equal to any other place, so that moving a line is no change."""

    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Something to listen on.

    :ivar kind: ``tcp``, ``unix``, ``systemd`` or ``fd``.
    :ivar host: for tcp, an IP address or name; ``""`` is all addresses.
    :ivar port: for tcp the port (0: any free one); for fd the descriptor.
    :ivar path: for unix the path, for systemd the socket's name.
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.kind == "tcp":
            return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f"{self.kind}:{self.path or self.port}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and deadlines of one listener's connections. Times in seconds, sizes in bytes."""

    line: int = 8 * 1024
    field: int = 8 * 1024
    head: int = 32 * 1024
    fields: int = 100
    head_timeout: float = 30.0
    body_timeout: float = 60.0
    body_rate: int = 500
    body_rate_grace: float = 30.0
    send_timeout: float = 60.0
    keepalive_timeout: float = 75.0
    keepalive_requests: int = 1000
    keepalive_time: float = 3600.0
    linger_time: float = 30.0
    linger_timeout: float = 5.0
    handshake_timeout: float = 30.0
    filter_timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """The ``[server]`` section.

    :ivar user: whose rights the front has once ports and keys are open, a name or number; None: whoever started it.
    :ivar group: None: the user's own.
    """

    access_log: str = "-"
    access_log_format: str = "combined"
    error_pages: str | None = None
    server_header: bool = True
    grace: float = 30.0
    drain_delay: float = 0.0
    spool_dir: str | None = None
    spool_memory: int = 64 * 1024
    spool_memory_max: int = 256 * 1024**2
    spool_max: int = 4 * 1024**3
    response_file_max: int = 1024**3
    static_cache: int = 32 * 1024**2
    connections_max: int = 0
    control: str | None = None
    user: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """A ``[listen:NAME]`` section: addresses of ours, or one Twisted endpoint string.

    :ivar trusted_proxies: addresses, networks, and ``unix:``; who else speaks for others is not believed.
    :ivar proxy_headers: ``x-forwarded`` or ``forwarded``: which fields of trusted proxies are believed.
    :ivar proxy_protocol: whether every connection begins with a header of the PROXY protocol.
    :ivar connections_per_address: how many one client address may have open; 0: any number.
    """

    name: str
    addresses: tuple[Address, ...] = ()
    endpoint: str | None = None
    tls: bool = False
    backlog: int = 4096
    trusted_proxies: tuple[str, ...] = ()
    proxy_headers: str = "x-forwarded"
    proxy_protocol: bool = False
    connections_per_address: int = 0
    limits: Limits = Limits()
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class App:
    """An ``[app:NAME]`` section.

    :ivar wsgi: ``package.module:object`` or ``package.module:factory()``.
    :ivar path: directories put first on the app's ``sys.path``.
    :ivar workers: processes (prefork); at least 1.
    :ivar threads: per worker (prefork), or in all (threads).
    :ivar timeout: seconds from the claim of a job to its first byte; 0: none.
    :ivar queue_max: jobs that may wait; more are refused with 503.
    :ivar queue_newest_after: seconds of the oldest one's wait from which on the newest is served first; 0: never.
    :ivar queue_fair: clients share the workers equally.
    :ivar user: whose rights its processes have (prefork), a name or number; None: those of the front.
    :ivar group: None: the user's own.
    :ivar virtualenv: directory of the virtual environment whose interpreter runs the app; None: the front's.
    :ivar workers_min: bounds, with ``workers_max``, how far the pool may shrink and grow; 0: not at all.
    :ivar max_requests: after which a worker is replaced, give or take ``max_requests_jitter`` more; 0: none.
    :ivar max_lifetime: seconds; 0: none. ``max_rss``: bytes of private memory; 0: none.
    :ivar post_fork: ``package.module:callable``, called in each worker; ``worker_exit`` likewise.
    """

    name: str
    wsgi: str
    path: tuple[str, ...] = ()
    chdir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    mode: str = "prefork"
    workers: int = 2
    threads: int = 1
    timeout: float = 60.0
    startup_timeout: float = 60.0
    queue_max: int = 1000
    queue_timeout: float = 60.0
    queue_newest_after: float = 5.0
    queue_fair: bool = True
    preload: bool = True
    user: str | None = None
    group: str | None = None
    virtualenv: str | None = None
    workers_min: int = 0
    workers_max: int = 0
    max_requests: int = 0
    max_requests_jitter: int = 0
    max_lifetime: float = 0.0
    max_rss: int = 0
    umask: int | None = None
    post_fork: str | None = None
    worker_exit: str | None = None
    place: Place = Place()

    @property
    def least(self) -> int:
        """Workers of a pool that has nothing to do."""
        return min(self.workers_min or self.workers, self.workers)

    @property
    def most(self) -> int:
        """Workers of a pool that has too much to do."""
        return max(self.workers_max, self.workers)


@dataclass(frozen=True, slots=True)
class Filter:
    """A ``[filter:NAME]`` section. ``settings`` are parsed by the rows of the filter's own OPTIONS."""

    name: str
    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Route:
    """A ``[route:SITE PATTERN]`` section.

    :ivar kind: ``prefix``, ``exact`` or ``regex``.
    :ivar handler: the handler's word, which is also the name of the option that chose it (``static``, ``app``, …).
    :ivar settings: the handler's parsed options, ``settings[handler]`` being its main one.
    :ivar filters: names of ``[filter:…]`` sections or of filter types that need no options, in order.
    :ivar body_limit: bytes of a request body; 0: none allowed.
    """

    site: str
    kind: str
    pattern: str
    handler: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    filters: tuple[str, ...] = ()
    body_limit: int = 1024**2
    access_log: bool = True
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Site:
    """A ``[site:NAME]`` section and its routes.

    :ivar hosts: lower-case names without port, ``*.name`` for a wildcard.
    :ivar certificate: path of a PEM chain; ``development`` for a self-signed one made on first start; None.
    :ivar encoded_slashes: ``pass`` or ``reject``.
    """

    name: str
    hosts: tuple[str, ...] = ()
    default: bool = False
    certificate: str | None = None
    certificate_key: str | None = None
    encoded_slashes: str = "pass"
    routes: tuple[Route, ...] = ()
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration.

    :ivar directory: of the main file; relative paths were made absolute with it. Run-time files that tinfront makes
        (development certificates) go to ``.tinfront`` in it.
    :ivar place: the main file.
    """

    directory: str
    server: Server = Server()
    listeners: tuple[Listener, ...] = ()
    sites: tuple[Site, ...] = ()
    apps: Mapping[str, App] = field(default_factory=dict)
    filters: Mapping[str, Filter] = field(default_factory=dict)
    place: Place = Place()
