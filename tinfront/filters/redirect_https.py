"""The redirect_https filter: what came without TLS is sent to the same URL with it.

Where a trusted proxy speaks for the client, its word on the scheme counts.

``/.well-known/acme-challenge/`` is exempt: certificate authorities ask there before there is a certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zope.interface import implementer

from tinfront.config.option import Option, integer_between, integer_choice
from tinfront.errors import ProtocolError
from tinfront.http.location import redirection, sent_uri
from tinfront.http.message import Answer
from tinfront.http.target import split_host
from tinfront.interfaces import IRequestFilter

_CHALLENGE: Final = "/.well-known/acme-challenge/"  # RFC 8555 section 8.3

OPTIONS = (
    Option(
        "status",
        integer_choice(301, 302, 307, 308),
        301,
        "The status for GET and HEAD. Other methods get 308, or 307 where this is 302 or 307, so that the client "
        "repeats its method and body.",
    ),
    Option("port", integer_between(1, 65535), 443, "The port that https is served on, as clients see it."),
)


def make(settings: Mapping[str, Any]) -> RedirectHttpsFilter:
    """A filter for any number of routes."""
    return RedirectHttpsFilter(settings["status"], settings["port"])


@implementer(IRequestFilter)
class RedirectHttpsFilter:
    """Redirects requests that came without TLS."""

    def __init__(self, status: int = 301, port: int = 443) -> None:
        self._status = status
        self._other_status = 307 if status in (302, 307) else 308
        self._port = "" if port == 443 else f":{port}"

    def on_request(self, exchange: Any) -> Answer | None:
        """See ``IRequestFilter``."""
        if exchange.secure:
            return None
        head = exchange.head
        if head.path.startswith(_CHALLENGE):
            return None
        try:
            if not head.authority:
                raise ProtocolError(400, "no-host", "without a Host there is nothing to redirect to")
            host, _ = split_host(head.authority)
        except ProtocolError as error:
            exchange.refuse(error.status, error.reason, error.detail)
            return None
        if ":" in host:
            host = f"[{host}]"
        status = self._status if head.method in ("GET", "HEAD") else self._other_status
        return redirection(status, f"https://{host}{self._port}{sent_uri(head.target)}")
