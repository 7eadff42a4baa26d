"""``[route:…]`` and ``[filter:…]`` sections, most of whose options are declared by plugins. Called by ``load.py``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from tinfront.config.block import Block
from tinfront.config.finding import did_you_mean
from tinfront.config.model import App, Filter, Route
from tinfront.config.option import Option, module_object
from tinfront.config.pattern import parse_pattern
from tinfront.config.schema import FILTER, ROUTE
from tinfront.config.vocabulary import Module, Vocabulary
from tinfront.errors import ConfigError


def read_filter(block: Block, vocabulary: Vocabulary) -> Filter:
    """A ``[filter:…]`` section."""
    word = block.parse(FILTER)["type"]
    module = None
    if block.sound("type"):
        module = _find(block, "type", word, vocabulary.filter, vocabulary.filters)
    if module is None:
        return Filter(block.name, word, place=block.place)
    return Filter(block.name, word, _settings(block, FILTER, module), block.place)


class RouteReader:
    """Reads all routes; knows what they may refer to.

    :param filters: by name; a filter type that a route names directly is added, with the defaults of its options.
    :param apps: likewise, where a route names a WSGI application directly.
    """

    def __init__(
        self, vocabulary: Vocabulary, sites: Collection[str], apps: dict[str, App], filters: dict[str, Filter]
    ) -> None:
        self._vocabulary = vocabulary
        self._sites = sites
        self._apps = apps
        self._filters = filters
        self._handlers = list(vocabulary.handlers())

    def read(self, blocks: Iterable[Block]) -> dict[str, tuple[Route, ...]]:
        """The routes of each site, in order."""
        routes: dict[str, list[Route]] = {name: [] for name in self._sites}
        seen: dict[tuple[str, str, str], Block] = {}
        for block in blocks:
            route = self._route(block)
            if route.pattern:
                # /a and /a/ are the same prefix: both are asked for all that is below.
                pattern = route.pattern.rstrip("/") if route.kind == "prefix" else route.pattern
                first = seen.setdefault((route.site, route.kind, pattern), block)
                if first is not block:
                    place = f"{first.place.file}:{first.place.line}"
                    block.complain("", f"the site has a route for this already, {first.section.title} at {place}")
            routes.setdefault(route.site, []).append(route)
        return {name: tuple(of_site) for name, of_site in routes.items()}

    def _route(self, block: Block) -> Route:
        site, text = (*block.name.split(None, 1), "")[:2]
        kind, pattern = "", ""
        if site[:1] in "/=~^":
            block.complain("", "names no site, expected [route:SITE PATTERN]")
        else:
            if site not in self._sites:
                block.complain("", f"there is no [site:{site}]{did_you_mean(site, self._sites)}")
            try:
                kind, pattern = parse_pattern(text)
            except ValueError as error:
                block.complain("", str(error))
        core = block.parse(ROUTE)
        word = self._choose(block)
        settings = self._handler_settings(block, word) if word else {}
        for name in dict.fromkeys(core["filters"]):
            self._check_filter(block, name)
        return Route(site, kind, pattern, word, settings, **core, place=block.place)

    def _choose(self, block: Block) -> str:
        """The word of the handler that answers; empty, after a complaint, if that is not clear."""
        words = [name for name in block.given if name in self._handlers]
        if len(words) > 1:
            # The word of one handler may be an option of another.
            whole = [word for word in words if set(words) <= self._options_of(word)]
            if len(whole) != 1:
                block.complain(words[1], f"the route has two handlers, {words[0]} and {words[1]}; keep one of them")
                return ""
            words = whole
        if not words:
            self._complain_of_none(block)
            return ""
        return words[0]

    def _complain_of_none(self, block: Block) -> None:
        known = {row.name for row in ROUTE}.union(*map(self._options_of, self._handlers))
        near = False
        for name in block.given.keys() - known:
            hint = did_you_mean(name, self._handlers)
            near = near or bool(hint)
            if not hint:
                try:
                    self._vocabulary.handler(name)
                except ConfigError as error:  # its plugin is there, but broken
                    hint = f"; {error}"
                except LookupError:
                    hint = did_you_mean(name, known)
            block.complain(name, f"unknown option{hint}")
        if not near:
            block.complain("", f"the route has no handler, expected one of {', '.join(self._handlers)}")

    def _handler_settings(self, block: Block, word: str) -> dict[str, Any]:
        module = _find(block, word, word, self._vocabulary.handler, self._vocabulary.handlers)
        if module is None:
            return {}
        settings = _settings(block, ROUTE, module, self._hints(block, word, module))
        for row in module.OPTIONS:
            if row.kind.refers == "app" and block.sound(row.name) and settings.get(row.name) is not None:
                self._check_app(block, row.name, settings[row.name])
        return settings

    def _check_app(self, block: Block, option: str, name: str) -> None:
        if ":" in name:
            self._add_app(block, option, name)
        elif name not in self._apps:
            block.complain(option, f"there is no [app:{name}]{did_you_mean(name, self._apps)}")

    def _add_app(self, block: Block, option: str, wsgi: str) -> None:
        """An application that a route names directly: found beside the file that says so, and nothing else special."""
        try:
            module_object.parse(wsgi, block.section.directory)
        except ValueError as error:
            block.complain(option, str(error))
            return
        path = (block.section.directory,)
        app = self._apps.setdefault(wsgi, App(wsgi, wsgi, path, place=block.place))
        if app.path != path:
            block.complain(option, f'"{wsgi}" is that of {app.path[0]} already: write an [app:NAME] for each')

    def _hints(self, block: Block, word: str, module: Module) -> dict[str, str]:
        """What to say of options of other handlers. Those are imported only if an option is unknown."""
        if block.given.keys() <= {row.name for row in (*ROUTE, *module.OPTIONS)}:
            return {}
        hint = "; it is an option of {}, but this route is answered by {}"
        return {name: hint.format(other, word) for other in self._handlers for name in self._options_of(other)}

    def _options_of(self, word: str) -> set[str]:
        try:
            return {row.name for row in self._vocabulary.handler(word).OPTIONS}
        except (ConfigError, LookupError):
            return {word}  # only looked at for hints; it is reported if the route needs it

    def _check_filter(self, block: Block, name: str) -> None:
        if block.values["filters"].count(name) > 1:
            block.complain("filters", f'"{name}" is named twice')
        elif name not in self._filters:
            names = [*self._filters, *self._vocabulary.filters()]
            module = _find(block, "filters", name, self._vocabulary.filter, lambda: names)
            if module is None:
                return
            needed = [row.name for row in module.OPTIONS if row.required]
            if needed:
                block.complain(
                    "filters", f'"{name}" needs {", ".join(needed)}: write a [filter:NAME] with type = {name}'
                )
            else:
                settings = {row.name: row.default for row in module.OPTIONS}
                self._filters[name] = Filter(name, name, settings, block.place)


def _find(
    block: Block,
    option: str,
    word: str,
    lookup: Callable[[str], Module],
    names: Callable[[], Iterable[str]],
) -> Module | None:
    """What the vocabulary has for ``word``; None, after a complaint, if it has nothing that can be used."""
    try:
        return lookup(word)
    except LookupError:
        block.complain(option, f'there is no "{word}"{did_you_mean(word, names())}')
    except ConfigError as error:
        block.complain(option, str(error))
    return None


def _settings(
    block: Block, core: tuple[Option, ...], module: Module, hints: dict[str, str] | None = None
) -> dict[str, Any]:
    """The options that the module declares, parsed and checked."""
    core_names = {row.name for row in core}
    rows = tuple(row for row in module.OPTIONS if row.name not in core_names)
    settings = block.parse(rows)
    block.reject_unknown((*core, *rows), hints)
    check = getattr(module, "check", None)
    if check is not None and block.sound(*settings):
        for name, message in check(settings):
            block.complain(name, message)
    return settings
