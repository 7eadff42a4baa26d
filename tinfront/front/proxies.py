"""Who the client is when a proxy speaks for it: the header fields of trusted proxies, and of nobody else.

One per listener, on the ``Terms``. ``exchange.open`` calls ``settle`` before anybody sees the request, but only if
one of ``http.forwarded.FIELDS`` is there: to all others this costs nothing. What the application gets to see of the
client, its X-Forwarded-For, -Proto and -Host, is made anew where its environ is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from tinfront.http.forwarded import FIELDS, Trust, from_forwarded, from_x_forwarded

if TYPE_CHECKING:
    from tinfront.front.exchange import Exchange

log = Logger(namespace="tinfront.listen")

_NEAR = Trust(("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "::1", "fc00::/7", "unix:"))
"""Where a proxy of one's own would stand."""


class Proxies:
    """Whom a listener believes, and which of the two ways to say it: believing both is what forgers hope for.

    :param members: as ``Trust`` takes them.
    :param headers: ``x-forwarded`` or ``forwarded``.
    """

    __slots__ = ("_rfc7239", "_wondered", "trust")

    def __init__(self, members: Iterable[str] = (), headers: str = "x-forwarded") -> None:
        self.trust = Trust(members)
        self._rfc7239 = headers == "forwarded"
        self._wondered = False

    def settle(self, exchange: Exchange) -> None:
        """Take the proxies' fields off the request; those of a trusted one say who the client is.

        :raises ProtocolError: 400 for a Forwarded field that cannot be understood.
        """
        fields = exchange.head.fields
        said = {name: fields.pop(name) for name in FIELDS & fields.keys()}
        if not exchange.connection.trusted:
            self._wonder(exchange.peer[0], said)
            return
        if self._rfc7239:
            origin = from_forwarded(said.get("forwarded", ""), self.trust)
        else:
            origin = from_x_forwarded(said, self.trust)
            if said.get("x-forwarded-prefix", "")[:1] == "/":  # only the app knows what to make of it
                fields["x-forwarded-prefix"] = said["x-forwarded-prefix"]
        if origin.node is not None:
            exchange.peer = origin.node
        if origin.secure is not None:
            exchange.secure = origin.secure
        if origin.port is not None:
            exchange.local = exchange.local[0], origin.port
        if origin.host is not None:  # for the app only: a site is chosen by Host
            fields["x-forwarded-host"] = origin.host

    def _wonder(self, address: str, said: Collection[str]) -> None:
        """Somebody near by may well be a proxy that was forgotten. Said once; from afar it is but a lie."""
        if not self._wondered and address in _NEAR:
            self._wondered = True
            log.info(
                "{fields} from {address} {is_are} dropped: it is not in trusted_proxies of the listener",
                fields=", ".join(sorted(said)),
                address=address or "unix:",
                is_are="are" if len(said) > 1 else "is",
            )


NOBODY = Proxies()
"""For listeners that trust no proxy."""
