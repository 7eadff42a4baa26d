"""The headers filter: sets, adds and removes fields of every response of its routes, error pages included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from zope.interface import implementer

from tinfront.config import option
from tinfront.config.option import Option
from tinfront.errors import ConfigError
from tinfront.http.fields import is_token, is_value
from tinfront.http.message import ResponseHead
from tinfront.interfaces import IResponseFilter

_CODEC_FIELDS: Final = frozenset(
    (
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "server",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Fields that the codec alone may send: they frame the message or belong to the connection."""


def _check(name: str, value: str = "") -> None:
    """Refuse what would break the message.

    :raises ValueError: with what is wrong.
    """
    if name.lower() in _CODEC_FIELDS:
        hint = ", see server_header in [server]" if name.lower() == "server" else ""
        raise ValueError(f"{name} is sent by the server itself{hint}")
    if not is_token(name):
        raise ValueError(f'"{name}" is not the name of a header field')
    if not is_value(value) or not value.isascii() or value != value.strip():
        raise ValueError(f'the value of "{name}" has a character that a header field must not hold')


def _field(text: str, directory: str) -> tuple[str, str]:
    name, value = option.fields.parse(text, directory)
    _check(name, value)
    return name, value


def _name(text: str, directory: str) -> str:
    name: str = option.field_names.parse(text, directory)
    _check(name)
    return name


OPTIONS = (
    Option(
        "set",
        replace(option.fields, parse=_field),
        (),
        "Fields to send, each instead of all that the response already has under its name.",
    ),
    Option("add", replace(option.fields, parse=_field), (), "Fields to send beside what the response already has."),
    Option("remove", replace(option.field_names, parse=_name), (), "Names of fields not to send."),
)


def make(settings: Mapping[str, Any]) -> HeadersFilter:
    """A filter for any number of routes.

    :raises ConfigError: a name or value that must not be sent.
    """
    try:
        return HeadersFilter(settings["set"], settings["add"], settings["remove"])
    except ValueError as error:
        raise ConfigError(str(error)) from None


@implementer(IResponseFilter)
class HeadersFilter:
    """Edits the fields of responses."""

    def __init__(
        self,
        replaced: Iterable[tuple[str, str]] = (),
        added: Iterable[tuple[str, str]] = (),
        removed: Iterable[str] = (),
    ) -> None:
        """:raises ValueError: a name or value that must not be sent."""
        replaced = tuple(replaced)
        self._fields = (*replaced, *added)
        self._dropped = frozenset(name.lower() for name in (*removed, *(name for name, _ in replaced)))
        for name, value in self._fields:
            _check(name, value)
        for name in self._dropped:
            _check(name)

    def on_response(self, exchange: Any, head: ResponseHead) -> None:
        """See ``IResponseFilter``."""
        fields = head.fields
        if self._dropped:
            dropped = self._dropped
            fields[:] = [field for field in fields if field[0].lower() not in dropped]
        fields += self._fields
