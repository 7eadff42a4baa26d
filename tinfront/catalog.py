"""All handlers and filters that can be named in a configuration: the ``config.vocabulary`` of real life.

Finding them imports plugin files, which hold strings only; a module is imported when its word is first used. Who is
broken and not named costs a log line; who is broken and named is an error in the configuration.
"""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Iterable, Mapping
from types import ModuleType, TracebackType
from typing import Any

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.plugin import getPlugins
from zope.interface import implementer

import tinfront.plugins
import twisted
from tinfront.config.finding import did_you_mean
from tinfront.config.option import Option
from tinfront.config.vocabulary import Module
from tinfront.errors import ConfigError
from tinfront.interfaces import IFilterMaker, IHandlerMaker, IMaker

_MACHINERY = ("<frozen importlib", importlib.__file__, os.path.dirname(twisted.__file__) + os.sep, __file__)
"""Files between whoever asks for an import and the file that is imported."""


def discover(package: ModuleType = tinfront.plugins) -> Catalog:
    """Everything that the plugin files in ``package`` offer."""
    broken: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        failure = event.get("failure")
        if failure is not None:
            broken.append(explain(failure.value, failure.getTracebackObject()))

    # Twisted logs a plugin file that cannot be imported, and goes on. Listening is the only way to learn of it.
    globalLogPublisher.addObserver(observe)
    try:
        makers = list(getPlugins(IMaker, package))
    finally:
        globalLogPublisher.removeObserver(observe)
    return Catalog(makers, broken)


class Catalog:
    """Words, and what makes the things they stand for.

    :param makers: providers of ``IHandlerMaker`` and ``IFilterMaker``.
    :param broken: what was wrong with plugin files that could not be imported.
    """

    def __init__(self, makers: Iterable[Any], broken: Iterable[str] = ()) -> None:
        self.broken = tuple(dict.fromkeys(broken))
        self._handlers: dict[str, list[str]] = {}
        self._filters: dict[str, list[str]] = {}
        for maker in makers:
            for interface, words in ((IHandlerMaker, self._handlers), (IFilterMaker, self._filters)):
                if interface.providedBy(maker):
                    modules = words.setdefault(maker.name, [])
                    if maker.module not in modules:  # else the same plugin file is on the path twice
                        modules.append(maker.module)

    def handlers(self) -> list[str]:
        """The handlers' words, sorted."""
        return sorted(self._handlers)

    def filters(self) -> list[str]:
        """The filter types' words, sorted."""
        return sorted(self._filters)

    def handler(self, word: str) -> Module:
        """What makes the handler; its module is imported now.

        :raises LookupError: there is no such word.
        :raises ConfigError: it cannot be used; the message says why.
        """
        module = self._load("handler", word, self._handlers)
        if word not in {row.name for row in module.OPTIONS}:
            raise ConfigError(f'the handler "{word}" cannot be used: its OPTIONS have no row "{word}"')
        return module

    def filter(self, word: str) -> Module:
        """What makes filters of this type: a word, ``package.module`` or ``package.module:object``; imported now.

        :raises LookupError: there is no such word.
        :raises ConfigError: it cannot be used; the message says why.
        """
        if ":" in word or "." in word:
            return _import("filter", word, word)
        return self._load("filter", word, self._filters)

    def _load(self, what: str, word: str, words: Mapping[str, list[str]]) -> Module:
        modules = words.get(word)
        if modules is None:
            if not self.broken:
                raise LookupError(word)
            missing = f'there is no {what} "{word}"{did_you_mean(word, words)}'
            raise ConfigError(f"{missing}; but not every plugin could be imported: {'; '.join(self.broken)}")
        if len(modules) > 1:
            raise ConfigError(f'the {what} "{word}" is offered by several plugins: {", ".join(modules)}')
        return _import(what, word, modules[0])


def _import(what: str, word: str, name: str) -> Module:
    """The module, or the object in a module, with that name."""
    prefix = f'the {what} "{word}" cannot be used: '
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything
        raise ConfigError(prefix + explain(error, error.__traceback__)) from error
    for part in filter(None, path.split(".")):
        if not hasattr(found, part):
            raise ConfigError(f'{prefix}{module} has no "{part}"{did_you_mean(part, dir(found))}')
        found = getattr(found, part)
    options = getattr(found, "OPTIONS", None)
    if not isinstance(options, tuple) or not all(isinstance(row, Option) for row in options):
        raise ConfigError(f"{prefix}{name} has no OPTIONS, a tuple of Option rows")
    if not callable(getattr(found, "make", None)):
        raise ConfigError(f"{prefix}{name} has no function make")
    module_like: Module = found
    return module_like


def explain(error: BaseException, trace: TracebackType | None) -> str:
    """Where in the plugin's own file an import failed, and the last line of the traceback: ``FILE:LINE: Error: …``."""
    last = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {last}"
    for frame in traceback.extract_tb(trace):
        if not frame.filename.startswith(_MACHINERY):
            return f"{frame.filename}:{frame.lineno}: {last}"
    return last
