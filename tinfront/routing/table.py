"""From a host to a site, and from a path to a route. Built once from the configuration, then only looked up.

Order of routes within a site: an exact path, then regular expressions as they stand in the file, then the longest
prefix. A prefix matches whole segments: ``/admin`` serves ``/admin`` and ``/admin/x``, never ``/administrator``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from tinfront.config.model import Route
from tinfront.http.location import encode_path, encode_query, local, redirection
from tinfront.http.message import ResponseHead
from tinfront.http.target import split_host

_ANSWERS_KEPT = 4096


class BoundRoute:
    """A route with everything a request needs, as flat tuples of bound methods.

    :ivar handle: the handler's ``handle``.
    :ivar streams: the handler wants to be called on the head.
    :ivar mount: what ``SCRIPT_NAME`` is: the prefix without its last slash; "" for other kinds.
    :ivar body_limit: bytes.
    :ivar observers: ``on_finish`` methods that want to know of each exchange.
    """

    __slots__ = (
        "body_limit",
        "handle",
        "kind",
        "model",
        "mount",
        "observers",
        "pattern",
        "request_filters",
        "response_filters",
        "streams",
    )

    def __init__(self, model: Route, handle: Callable[[Any], None], streams: bool = False) -> None:
        self.model = model
        self.kind = model.kind
        self.pattern = model.pattern
        self.mount = model.pattern.rstrip("/") if model.kind == "prefix" else ""
        self.handle = handle
        self.streams = streams
        self.body_limit = model.body_limit
        self.request_filters: tuple[Callable[[Any], Any], ...] = ()
        self.response_filters: tuple[Callable[[Any, ResponseHead], Any], ...] = ()
        self.observers: tuple[Callable[[Any], None], ...] = ()


class SiteTable:
    """The routes of one site."""

    __slots__ = ("_bare", "_exact", "_prefixes", "_regexes", "certificate", "name")

    def __init__(self, name: str, routes: Iterable[BoundRoute], certificate: object = None) -> None:
        """:param certificate: the key of the site's certificate, for the check of Host against SNI."""
        self.name = name
        self.certificate = certificate
        self._exact: dict[str, BoundRoute] = {}
        self._bare: dict[str, BoundRoute] = {}
        self._regexes: list[tuple[Callable[[str], object], BoundRoute]] = []
        prefixes: dict[str, BoundRoute] = {}
        for route in routes:
            if route.kind == "exact":
                self._exact[route.pattern] = route
            elif route.kind == "regex":
                self._regexes.append((re.compile(route.pattern).search, route))
            else:
                prefixes[route.pattern] = route
        # A prefix without its slash comes behind the regular expressions, if there are any.
        bare = self._bare if self._regexes else self._exact
        for pattern, route in prefixes.items():
            if not pattern.endswith("/"):
                bare.setdefault(pattern, route)
            elif pattern != "/":
                bare.setdefault(pattern[:-1], _slash_route(route))
        whole = {pattern.rstrip("/") + "/": route for pattern, route in prefixes.items()}
        self._prefixes = sorted(whole.items(), key=lambda item: -len(item[0]))

    def find(self, path: str) -> BoundRoute | None:
        """The route for a normalised path, or None."""
        route = self._exact.get(path)
        if route is not None:
            return route
        for matches, route in self._regexes:
            if matches(path):
                return route
        route = self._bare.get(path)
        if route is not None:
            return route
        for prefix, route in self._prefixes:
            if path.startswith(prefix):
                return route
        return None


class Table:
    """All sites by host: exact names, then the longest wildcard, then the default site.

    :ivar by_authority: a mapping from any Host value to the site it asks for, or None; raises ``ProtocolError`` (400)
        for a malformed one. Remembers a bounded number of answers.
    """

    def __init__(self) -> None:
        self.by_authority = _Answers(self._search)
        self._exact: dict[str, SiteTable] = {}
        self._wild: dict[str, SiteTable] = {}
        self._default: SiteTable | None = None

    def add(self, site: SiteTable, hosts: Iterable[str], default: bool = False) -> None:
        """Enter a site under its lower-case host names; ``*.name`` stands for all names below it."""
        for host in hosts:
            if host.startswith("*."):
                self._wild[host[2:]] = site
            else:
                self._exact[host] = site
        if default:
            self._default = site
        self.by_authority.clear()

    def close(self) -> None:
        """Another table is asked from now on: let go of the sites, as what runs holds its own and a circle is here."""
        self._exact.clear()
        self._wild.clear()
        self._default = None
        self.by_authority.clear()

    def _search(self, authority: str) -> SiteTable | None:
        if not authority:
            return self._default
        host, _ = split_host(authority)
        site = self._exact.get(host)
        rest = host
        while site is None and "." in rest:
            rest = rest.partition(".")[2]
            site = self._wild.get(rest)
        return site or self._default


class _Answers(dict[str, SiteTable | None]):
    """What was found before, so that the usual look-up is one of a dict."""

    def __init__(self, search: Callable[[str], SiteTable | None]) -> None:
        super().__init__()
        self._search = search

    def __missing__(self, authority: str) -> SiteTable | None:
        site = self._search(authority)
        if len(self) >= _ANSWERS_KEPT:
            self.clear()
        self[authority] = site
        return site


def _slash_route(route: BoundRoute) -> BoundRoute:
    """``/static`` asks for ``/static/``: relative links of the page would break otherwise.

    It is the route's own answer, so filters and observers see it.
    """
    slash = BoundRoute(route.model, _add_slash)
    slash.request_filters = route.request_filters
    slash.response_filters = route.response_filters
    slash.observers = route.observers
    return slash


def _add_slash(exchange: Any) -> None:
    """Made of the normalised path, which is the route's own: a target as sent could lead to another host."""
    head = exchange.head
    location = local(encode_path(head.path + "/") + encode_query(head.query))
    exchange.respond(*redirection(301 if head.method in ("GET", "HEAD") else 308, location))
