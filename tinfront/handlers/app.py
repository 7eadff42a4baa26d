"""The ``app`` handler: gives the exchange to the pool that runs the application.

Its body is sealed by then, so that no slow client holds a worker; but for ``request_buffering = off``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from tinfront.config.option import Option, app_name, boolean
from tinfront.interfaces import IHandler
from tinfront.routing.chain import Parts

OPTIONS = (
    Option(
        "app",
        app_name,
        doc="The [app:NAME] that answers; or the WSGI application itself, such as mysite.wsgi:application, which is "
        "found beside this file and has the defaults of an [app:NAME] otherwise. Under a prefix route, SCRIPT_NAME is "
        "the prefix without its last slash and PATH_INFO what follows it.",
        required=True,
    ),
    Option(
        "request_buffering",
        boolean,
        True,
        "Whether a request's body is complete before the application is asked. With off it reads the body as it comes, "
        "and a slow client holds its worker; for uploads that are looked at on their way, or larger than any disk.",
    ),
    Option(
        "response_buffering",
        boolean,
        True,
        "Whether what the application yields may be gathered, and wait on disk for a slow client. With off each piece "
        "leaves at once and a slow client makes the application wait; as for one response with "
        "X-Accel-Buffering: no or Content-Type: text/event-stream.",
    ),
    Option(
        "retry",
        boolean,
        True,
        "Whether a GET, HEAD, OPTIONS, TRACE, PUT or DELETE whose worker died before it answered is given to another "
        "worker, once. Off for what must not run twice although its method says it may.",
    ),
)


@implementer(IHandler)
class AppHandler:
    """See ``IHandler``.

    :ivar streams: the app reads the body as it comes.
    """

    def __init__(self, pool: Any, mount: str, streams: bool = False, unbuffered: bool = False) -> None:
        """:param pool: an ``IWorkerPool``; :param mount: becomes ``SCRIPT_NAME``."""
        self.streams = streams
        self._pool = pool
        self._mount = mount
        self._unbuffered = unbuffered

    def handle(self, exchange: Any) -> None:
        """See ``IHandler``. If the client leaves, the pool hears of it.

        All is asked of the pool anew: a reload may have changed what they are.
        """
        pool = self._pool
        exchange.when_gone = pool.cancel
        exchange.when_shut = pool.shut
        pool.submit(exchange, self._mount, self._unbuffered)


def make(settings: Mapping[str, Any], parts: Parts) -> AppHandler:
    """A handler for one route."""
    route = parts.route
    mount = route.pattern.rstrip("/") if route.kind == "prefix" else ""
    streams, unbuffered = not settings["request_buffering"], not settings["response_buffering"]
    return AppHandler(parts.pools[settings["app"]], mount, streams, unbuffered)
