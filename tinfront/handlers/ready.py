"""The ready handler: ``ready = yes`` answers 200 when every app has a worker that can answer, else 503.

For the readiness probe of an orchestrator or load balancer; it turns 503 as soon as the server is told to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zope.interface import implementer

from tinfront.config.option import Option, choice
from tinfront.http.message import ResponseHead
from tinfront.interfaces import IHandler

OPTIONS = (
    Option(
        "ready",
        choice("yes"),
        doc="Answer 200 `ready` when every app has a worker that can answer, else 503 and the names of those that "
        "have none.",
        required=True,
    ),
)

_FIELDS = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))
_ALLOW = (("Allow", "GET, HEAD"),)


def make(settings: Mapping[str, Any], parts: Any) -> ReadyHandler:  # noqa: ARG001
    """A handler for one route."""
    return ReadyHandler(parts.pools, parts.stopping)


@implementer(IHandler)
class ReadyHandler:
    """Tells whether the pools are ready at the moment."""

    streams = False

    def __init__(self, pools: Mapping[str, Any], stopping: Callable[[], bool]) -> None:
        """:param pools: ``IWorkerPool`` providers by name; looked at, as ``stopping`` is asked, for each request."""
        self._pools = pools
        self._stopping = stopping

    def handle(self, exchange: Any) -> None:
        """See ``IHandler``."""
        method = exchange.head.method
        if method not in ("GET", "HEAD"):
            exchange.refuse(405, "method-not-allowed", f"{method} on a ready route", _ALLOW)
            return
        waiting = sorted(name for name, pool in self._pools.items() if not pool.ready)
        text = f"not ready: {', '.join(waiting)}\n" if waiting else "ready\n"
        if self._stopping():
            text = "stopping\n"
        body = text.encode()
        exchange.respond(ResponseHead(200 if text == "ready\n" else 503, [*_FIELDS], len(body)), body)
