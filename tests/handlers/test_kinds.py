"""Kinds of value that several handlers take."""

import pytest

from tinfront.handlers.kinds import field_value, media_type


def test_values():
    assert media_type.read("text/plain; charset=utf-8") == "text/plain; charset=utf-8"
    assert field_value.read("no-store") == "no-store"
    assert field_value.read("") == ""


@pytest.mark.parametrize(
    ("kind", "text"), [(media_type, ""), (media_type, "plain"), (field_value, "\x7f"), (field_value, "\u00e4")]
)
def test_bad_values(kind, text):
    with pytest.raises(ValueError, match=r"media type|header field"):
        kind.read(text)
