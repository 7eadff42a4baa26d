"""The redirect handler: ``redirect = TARGET`` sends the client elsewhere (RFC 9110 section 15.4).

What comes from the request is percent-encoded before it goes into Location, and it can only ever follow a host that
the configuration names, so that no link to this site can be made into a link to another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from zope.interface import implementer

from tinfront.config.option import Kind, Option, integer_choice
from tinfront.errors import ProtocolError
from tinfront.http.location import encode_path, encode_query, local, redirection, sent_uri
from tinfront.http.target import split_host
from tinfront.interfaces import IHandler

_placeholder = re.compile(r"(\{[^{}]*\})")
_begins = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*+:)?//(?:\{host\}|[^/?#{}]+)|/(?!/)|\{(?:path|rest|uri)\}").match
_is_literal = re.compile(r"[!#-;=?-\[\]_a-z~]*+").fullmatch  # RFC 3986 section 2, without braces


def _path(exchange: Any) -> str:
    return encode_path(exchange.head.path)


def _rest(exchange: Any) -> str:
    return encode_path(exchange.head.path[len(exchange.route.mount) :])


def _query(exchange: Any) -> str:
    return encode_query(exchange.head.query)


def _more_query(exchange: Any) -> str:
    return encode_query(exchange.head.query).replace("?", "&", 1)


def _uri(exchange: Any) -> str:
    return sent_uri(exchange.head.target)


def _host(exchange: Any) -> str:
    if not exchange.head.authority:
        raise ProtocolError(400, "no-host", "the redirect needs to know the host")
    host, _ = split_host(exchange.head.authority)
    return f"[{host}]" if ":" in host else host


_PLACEHOLDERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "{path}": _path,
    "{rest}": _rest,
    "{query}": _query,
    "{uri}": _uri,
    "{host}": _host,
}


def _target(text: str, directory: str) -> str:  # noqa: ARG001 - every parser is given the directory
    pieces = _placeholder.split(text)
    for piece in pieces[1::2]:
        if piece not in _PLACEHOLDERS:
            raise ValueError(f"{piece} is none of {', '.join(_PLACEHOLDERS)}")
    for piece in pieces[::2]:
        if not _is_literal(piece):
            raise ValueError(f'"{piece}" has a character that must be percent-encoded in a URL')
    if not _begins(text):
        raise ValueError(f'"{text}" begins neither with a scheme and a host nor with a path')
    return text


OPTIONS = (
    Option(
        "redirect",
        Kind("a URL or a path", _target),
        doc="Where to send the client. `{path}` is the path it asked for, `{rest}` what of it follows the route's "
        "prefix, with its slash (as in `/new{rest}`), `{query}` the query with its question mark, or nothing; `{uri}` "
        "is path and query as they were sent, and `{host}` is the host without its port.",
        required=True,
    ),
    Option(
        "status",
        integer_choice(301, 302, 303, 307, 308),
        301,
        "301 and 308 are permanent, 302, 303 and 307 are not. With 307 and 308 the client must repeat its method and "
        "body.",
    ),
)


def make(settings: Mapping[str, Any], parts: Any) -> RedirectHandler:  # noqa: ARG001
    """A handler for one route."""
    return RedirectHandler(settings["redirect"], settings["status"])


@implementer(IHandler)
class RedirectHandler:
    """Answers everything with one redirect."""

    streams = False

    def __init__(self, target: str, status: int) -> None:
        self._status = status
        self._pieces: list[str | Callable[[Any], str]] = []
        self._leaves = "//" in target.partition("{")[0].partition("?")[0]  # for the host that it names
        before = ""
        for piece in _placeholder.split(target):
            if piece == "{query}" and "?" in before:
                self._pieces.append(_more_query)
            else:
                self._pieces.append(_PLACEHOLDERS.get(piece, piece))
            before += piece

    def handle(self, exchange: Any) -> None:
        """See ``IHandler``."""
        try:
            location = "".join([piece if isinstance(piece, str) else piece(exchange) for piece in self._pieces])
        except ProtocolError as error:
            exchange.refuse(error.status, error.reason, error.detail)
            return
        exchange.respond(*redirection(self._status, location if self._leaves else local(location)))
