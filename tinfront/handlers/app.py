"""The ``app`` handler: gives the exchange, its body sealed, to the pool that runs the application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from tinfront.config.option import Option, app_name
from tinfront.interfaces import IHandler
from tinfront.routing.chain import Parts

OPTIONS = (
    Option(
        "app",
        app_name,
        doc="The [app:NAME] that answers. Under a prefix route, SCRIPT_NAME is the prefix without its last slash and "
        "PATH_INFO what follows it.",
        required=True,
    ),
)


@implementer(IHandler)
class AppHandler:
    """See ``IHandler``."""

    streams = False

    def __init__(self, pool: Any, mount: str) -> None:
        """:param pool: an ``IWorkerPool``; :param mount: becomes ``SCRIPT_NAME``."""
        self._submit = pool.submit
        self._cancel = pool.cancel
        self._mount = mount

    def handle(self, exchange: Any) -> None:
        """See ``IHandler``. If the client leaves, the pool hears of it."""
        exchange.when_gone = self._cancel
        self._submit(exchange, self._mount)


def make(settings: Mapping[str, Any], parts: Parts) -> AppHandler:
    """A handler for one route."""
    route = parts.route
    return AppHandler(parts.pools[settings["app"]], route.pattern.rstrip("/") if route.kind == "prefix" else "")
