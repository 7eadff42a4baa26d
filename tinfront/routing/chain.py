"""From a route's model to a ``BoundRoute``: handler and filters are made and checked here, and never again.

Filters see requests in the order of the route's ``filters`` option, and responses in the opposite order: the last
one named stands next to the handler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from tinfront.config.model import Route, Server
from tinfront.errors import ConfigError
from tinfront.interfaces import IHandler, IObserver, IRequestFilter, IResponseFilter
from tinfront.routing.table import BoundRoute

_ROLES = (IRequestFilter, IResponseFilter, IObserver)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a handler is made of, beside its own settings.

    :ivar pools: ``IWorkerPool`` providers by the name of their app.
    :ivar stopping: whether the server has been told to stop.
    """

    route: Route
    server: Server
    pools: Mapping[str, Any]
    stopping: Callable[[], bool] = bool


def bind(route: Route, handler: Any, filters: Iterable[Any], observers: Iterable[Any] = ()) -> BoundRoute:
    """Put a route together.

    :raises ConfigError: an object does not provide what its place needs.
    """
    _verify(IHandler, handler, route)
    bound = BoundRoute(route, handler.handle, handler.streams)
    chain = list(filters)
    for member in chain:
        roles = [role for role in _ROLES if role.providedBy(member)]
        if not roles:
            raise ConfigError(
                f"{route.place.file}:{route.place.line}: filters: {member!r} provides none of "
                "IRequestFilter, IResponseFilter and IObserver"
            )
        for role in roles:
            _verify(role, member, route)
    bound.request_filters = tuple(member.on_request for member in chain if IRequestFilter.providedBy(member))
    bound.response_filters = tuple(
        member.on_response for member in reversed(chain) if IResponseFilter.providedBy(member)
    )
    watchers = [member for member in chain if IObserver.providedBy(member)]
    bound.observers = tuple(member.on_finish for member in (*observers, *watchers))
    return bound


def _verify(interface: Any, member: Any, route: Route) -> None:
    try:
        verifyObject(interface, member)
    except Invalid as error:
        raise ConfigError(f"{route.place.file}:{route.place.line}: {error}") from error
