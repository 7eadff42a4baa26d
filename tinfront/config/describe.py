"""The model as text for people: what ``tinfront check`` prints.

Each site's routes stand in the order in which they are tried. Options are shown where they differ from their defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from tinfront.config.address import show_address
from tinfront.config.app_options import APP
from tinfront.config.listen_options import LIMITS, LISTEN
from tinfront.config.model import App, Config, Limits, Listener, Route, Server, Site
from tinfront.config.option import Option
from tinfront.config.pattern import show_pattern
from tinfront.config.schema import ROUTE, SERVER
from tinfront.config.vocabulary import Vocabulary


def describe(config: Config, vocabulary: Vocabulary | None = None) -> str:
    """The effective configuration as a tree of lines, listeners first.

    :param vocabulary: knows how plugins' options are written and what their defaults are; without it all are shown.
    """
    return "\n".join(_lines(config, vocabulary)) + "\n"


def matching_order(routes: Iterable[Route]) -> list[Route]:
    """Exact paths, then regular expressions as they stand in the file, then prefixes, the longest first."""
    ranks = {"exact": 0, "regex": 1, "prefix": 2}
    return sorted(routes, key=lambda route: (ranks[route.kind], -len(route.pattern) if route.kind == "prefix" else 0))


def _lines(config: Config, vocabulary: Vocabulary | None) -> Iterator[str]:
    yield f"server{_changed(SERVER, _values(config.server), _values(Server()))}"
    for listener in config.listeners:
        yield f"listen {_listener(listener)}"
    for site in config.sites:
        yield f"site {_site(site)}"
        for route in matching_order(site.routes):
            rows = vocabulary.handler(route.handler).OPTIONS if vocabulary else None
            yield f"    {_route(route, rows)}"
    for app in config.apps.values():
        named = app.name if app.name == app.wsgi else f"{app.name}: {app.wsgi}"
        yield f"app {named}, {_size(app)}{_changed(APP, _values(app), _app_defaults(app))}"
    for item in config.filters.values():
        rows = vocabulary.filter(item.type).OPTIONS if vocabulary else None
        yield f"filter {item.name}: {item.type}{_settings(item.settings, rows)}"


def _listener(listener: Listener) -> str:
    where = ", ".join(map(show_address, listener.addresses)) or f"endpoint {listener.endpoint}"
    defaults = {name: getattr(Limits(), field) for name, field in LIMITS.items()}
    values = {name: getattr(listener.limits, field) for name, field in LIMITS.items()}
    defaults["backlog"], values["backlog"] = Listener("").backlog, listener.backlog
    rows = [row for row in LISTEN if row.name in values]
    return f"{listener.name}: {where}{' (TLS)' if listener.tls else ''}{_changed(rows, values, defaults)}"


def _site(site: Site) -> str:
    hosts = ", ".join(site.hosts)
    default = ("all other hosts" if site.hosts else "all hosts") if site.default else ""
    certificate = f"; certificate {site.certificate}" if site.certificate else ""
    return f"{site.name}: {' and '.join(filter(None, (hosts, default)))}{certificate}"


def _route(route: Route, rows: Iterable[Option] | None) -> str:
    pattern = show_pattern(route.kind, route.pattern)
    main = _plain(route.settings.get(route.handler))
    others = {name: value for name, value in route.settings.items() if name != route.handler}
    through = f" through {', '.join(route.filters)}" if route.filters else ""
    core = _changed(ROUTE[1:], _values(route), _values(Route("", "", "", "")))
    return f"{pattern} -> {route.handler} {main}{through}{_settings(others, rows)}{core}"


def _settings(settings: Mapping[str, Any], rows: Iterable[Option] | None) -> str:
    """A plugin's options."""
    if rows is None:
        return "".join(f"; {name} = {_plain(value)}" for name, value in settings.items() if value)
    rows = list(rows)
    return _changed(rows, settings, {row.name: row.default for row in rows})


def _size(app: App) -> str:
    if app.mode == "threads":
        return f"{_count(app.threads, 'thread')} in the server"
    workers = _count(app.workers, "worker") if app.least == app.most else f"{app.least} to {app.most} workers"
    return f"{workers} of {_count(app.threads, 'thread')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _app_defaults(app: App) -> dict[str, Any]:
    shown = {"name": app.name, "wsgi": app.wsgi, "mode": app.mode, "workers": app.workers, "threads": app.threads}
    return _values(App("", "")) | shown


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _changed(rows: Iterable[Option], values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The options whose values differ from their defaults, in the words of the INI file."""
    return "".join(
        f"; {row.name} = {row.kind.show(values[row.name])}".replace("\n", ", ")
        for row in rows
        if row.name in values and values[row.name] != defaults[row.name]
    )


def _plain(value: Any) -> str:
    """A plugin's value, whose row is not at hand."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(": ".join(item) if isinstance(item, tuple) else str(item) for item in value)
    return str(getattr(value, "pattern", value))
