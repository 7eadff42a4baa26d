"""Kinds of option value that several handlers take, beside those of ``config.option``."""

from __future__ import annotations

from tinfront.config.option import Kind
from tinfront.http.fields import is_value
from tinfront.http.mediatypes import is_media_type


def parse_media_type(text: str, directory: str = "") -> str:  # noqa: ARG001 - every parser is given the directory
    """Check a media type.

    :raises ValueError: it is none.
    """
    if not is_media_type(text):
        raise ValueError(f'"{text}" is not a media type such as text/plain; charset=utf-8')
    return text


def parse_field_value(text: str, directory: str = "") -> str:  # noqa: ARG001
    """Check the value of a header field.

    :raises ValueError: it has control or non-ASCII characters.
    """
    if not (text.isascii() and is_value(text)):
        raise ValueError("has a character that a header field must not hold")
    return text


media_type = Kind("a media type", parse_media_type)
field_value = Kind("the value of a header field", parse_field_value, blank=True)
