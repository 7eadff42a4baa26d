"""The options of the static handler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tinfront.config import option
from tinfront.config.model import Place
from tinfront.config.option import Kind, Option
from tinfront.errors import ConfigError
from tinfront.handlers.kinds import field_value, media_type, parse_media_type
from tinfront.http.mediatypes import DEFAULT

_YEAR: Final = 365 * 24 * 3600


def _extension(text: str, directory: str) -> tuple[str, str]:  # noqa: ARG001 - every parser is given the directory
    extension, _, value = text.partition("=")
    extension = extension.strip().removeprefix(".").lower()
    if not extension or "." in extension:
        raise ValueError(f'"{text}" is not of the form EXTENSION=TYPE, where EXTENSION is what follows the last dot')
    return extension, parse_media_type(value.strip())


def _beneath(text: str, directory: str) -> str:  # noqa: ARG001
    if {".", ".."} & set(text.split("/")) or "\0" in text or text.endswith("/"):
        raise ValueError(f'"{text}" does not name a file beneath the directory')
    return text.lstrip("/")


def _suffix(text: str, directory: str) -> str:  # noqa: ARG001
    if "/" in text or "\0" in text:
        raise ValueError(f'"{text}" is not the end of a file name')
    return text


def _expires(text: str, directory: str) -> float | None:
    value: float | None = None if text == "off" else option.seconds.parse(text, directory)
    return value


def _show_expires(value: float | None) -> str:
    return "off" if value is None else option.show_seconds(value)


_file_names = replace(option.words, name="names of files, separated by commas or one a line", parse=_beneath)
_suffixes = replace(option.words, name="ends of file names, separated by commas or one a line", parse=_suffix)
_types = replace(option.pairs, name="EXTENSION=TYPE, one a line", parse=_extension)

OPTIONS = (
    Option(
        "static",
        option.existing,
        doc="The directory whose files are served. In a prefix route the rest of the path after the prefix is looked "
        "up in it, in an exact or regex route the whole path. It may also be a single file: an exact or regex route "
        "serves it for every path it matches, a prefix route for its prefix only.",
        required=True,
    ),
    Option(
        "index",
        _file_names,
        ("index.html",),
        "Files that answer for a directory; the first that exists does. Empty for none.",
    ),
    Option(
        "suffixes",
        _suffixes,
        (),
        "What may be added to a path that names nothing: with `.html`, /about is answered from about.html.",
    ),
    Option(
        "fallback",
        Kind("the path of a file beneath the directory", _beneath, blank=True),
        "",
        "The file that answers instead of a 404, with status 200, as a single-page application needs.",
    ),
    Option(
        "expires",
        Kind("a time such as 30d, or off", _expires, _show_expires),
        None,
        "How long a client may keep a file without asking again: sends `Cache-Control: max-age=…`. 0 makes it ask "
        "every time; `off` sends nothing.",
    ),
    Option(
        "immutable",
        option.boolean,
        False,
        "What stands under a name never changes, since the names hold a hash: adds `immutable` to Cache-Control. "
        "Without `expires` it means one year.",
    ),
    Option(
        "cache_control",
        field_value,
        "",
        "The whole value of Cache-Control, instead of `expires` and `immutable`.",
    ),
    Option("types", _types, {}, "Media types by extension, beside those built in or instead of them."),
    Option("default_type", media_type, DEFAULT, "The media type of names whose extension says nothing."),
    Option(
        "dotfiles",
        option.boolean,
        False,
        "Serve names that begin with a dot. `/.well-known/` is always served.",
    ),
    Option(
        "symlinks",
        option.choice("inside", "no", "any"),
        "inside",
        "Which symbolic links are followed beneath the directory: those that do not lead out of it, none, or any.",
    ),
    Option("listing", option.boolean, False, "Answer for a directory without index file with a list of its files."),
)


def cache_control(settings: Mapping[str, Any], place: Place) -> str | None:
    """The value of Cache-Control that the settings ask for, or None.

    :raises ConfigError: they contradict each other.
    """
    value: str = settings["cache_control"]
    expires: float | None = settings["expires"]
    immutable: bool = settings["immutable"]
    if value:
        if expires is not None or immutable:
            raise ConfigError(f"{place.file}:{place.line}: cache_control cannot stand beside expires or immutable")
        return value
    if expires is None and not immutable:
        return None
    age = _YEAR if expires is None else int(expires)
    return f"max-age={age}, immutable" if immutable else f"max-age={age}"
