"""The respond handler: ``respond = STATUS`` or ``respond = STATUS text`` is the whole answer, whatever was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from tinfront.config.option import Kind, Option
from tinfront.config.option import status as status_kind
from tinfront.handlers.kinds import media_type
from tinfront.http.message import ResponseHead
from tinfront.http.status import reason
from tinfront.interfaces import IHandler

_BODILESS = frozenset((204, 205))


def _answer(text: str, directory: str) -> tuple[int, str]:
    number, _, body = text.partition(" ")
    status = status_kind.parse(number, directory)
    if 300 <= status <= 399:
        raise ValueError(f"{status} needs a Location: use redirect = TARGET with status = {status}")
    if status == 206:
        raise ValueError("206 answers a range request, which this is not")
    if body and status in _BODILESS:
        raise ValueError(f"a {status} has no body")
    return status, body.strip()


def _show(value: tuple[int, str]) -> str:
    return f"{value[0]} {value[1]}".rstrip()


OPTIONS = (
    Option(
        "respond",
        Kind("a status and perhaps a text", _answer, _show),
        doc="The status of the answer, and perhaps a text to send. A status from 400 without a text sends the error "
        "page of that status.",
        required=True,
    ),
    Option("type", media_type, "text/plain; charset=utf-8", "The media type of the text."),
)


def make(settings: Mapping[str, Any], parts: Any) -> RespondHandler:  # noqa: ARG001
    """A handler for one route."""
    status, text = settings["respond"]
    return RespondHandler(status, text, settings["type"])


@implementer(IHandler)
class RespondHandler:
    """Gives the same answer to everything."""

    streams = False

    def __init__(self, status: int, text: str, media_type: str) -> None:
        self._status = status
        self._refuses = status >= 400 and not text
        if not text and status not in _BODILESS:
            text = reason(status)
        self._body = f"{text}\n".encode() if text else b""
        fields = [("Content-Type", media_type)] if text else []
        self._head = ResponseHead(status, fields, len(self._body)).freeze()

    def handle(self, exchange: Any) -> None:
        """See ``IHandler``."""
        if self._refuses:
            exchange.refuse(self._status, "configured")
        else:
            exchange.respond(self._head, self._body)
