import re

import pytest

from tinfront.config.pattern import parse_pattern, show_pattern


@pytest.mark.parametrize(
    ("text", "kind", "pattern"),
    [
        ("/", "prefix", "/"),
        ("/static/", "prefix", "/static/"),
        ("/a b;c#d]", "prefix", "/a b;c#d]"),
        ("= /health", "exact", "/health"),
        ("=/health", "exact", "/health"),
        (r"~ ^/u/\d+$", "regex", r"^/u/\d+$"),
        ("~^/x", "regex", "^/x"),
        ("/100%", "prefix", "/100%"),
        ("/.well-known/", "prefix", "/.well-known/"),
    ],
)
def test_patterns(text, kind, pattern):
    assert parse_pattern(text) == (kind, pattern)
    assert parse_pattern(show_pattern(kind, pattern)) == (kind, pattern)


@pytest.mark.parametrize("text", ["/über/", "= /über", "~ ^/über"])
def test_beyond_ascii_a_pattern_is_what_the_path_of_a_request_shows(text):
    kind, pattern = parse_pattern(text)
    assert pattern.endswith(text.split("/")[1].encode().decode("latin-1") + ("/" if text.endswith("/") else ""))
    assert show_pattern(kind, pattern) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no pattern, expected [route:SITE PATTERN]"),
        ("static", 'did you mean "/static"?'),
        ("= health", 'did you mean "/health"?'),
        ("~* ^/x", 'did you mean "~ (?i)^/x"?'),
        ("^~ /static/", '"^~ /static/" is not a pattern, did you mean "/static/" or "~ ^/static/"?'),
        ("~ ^/(", "is not a regular expression"),
        ("/a?b=c", "a pattern sees the path only"),
        ("/a%20b", 'did you mean "/a b"?'),
        ("/a/../b", "can never match"),
        ("= /.", "can never match"),
    ],
)
def test_what_is_no_pattern(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_pattern(text)
