"""What the loader knows of handlers and filters: it is handed a ``Vocabulary``, so that it need not look for plugins.

``catalog.Catalog`` is the real one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from tinfront.config.option import Option


class Module(Protocol):
    """What makes a handler or filter: a module, or an object in its place.

    It may also have ``check(settings)``, for options that contradict each other: it yields pairs of an option's name
    and what is wrong with it. It is called only if every option could be parsed.
    """

    OPTIONS: tuple[Option, ...]
    make: Any


class Vocabulary(Protocol):
    """The words that may be used."""

    def handlers(self) -> Iterable[str]:
        """The handlers' words."""

    def filters(self) -> Iterable[str]:
        """The filter types' words."""

    def handler(self, word: str) -> Module:
        """What makes the handler.

        :raises LookupError: there is no such word.
        :raises ConfigError: it cannot be used; the message says why.
        """

    def filter(self, word: str) -> Module:
        """What makes filters of this type: a word, or ``package.module:object``.

        :raises LookupError: there is no such word.
        :raises ConfigError: it cannot be used; the message says why.
        """
