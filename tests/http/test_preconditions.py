"""RFC 9110 sections 8.8.3 and 13."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import parse_etags as werkzeug_etags

from tinfront.http.dates import format_date
from tinfront.http.preconditions import CONDITIONAL, evaluate, parse_tags, strong_match, weak_match

NOW = 1_700_000_000.25
EARLIER, SAME, LATER = (format_date(NOW + offset) for offset in (-1, 0, 1))
ETAG = '"abc"'

opaque = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=8).filter(
    lambda text: not any(0x7F <= ord(character) < 0x80 for character in text)
)
tags = st.builds(lambda weak, text: f'{weak}"{text}"', st.sampled_from(["", "W/"]), opaque)


# --- entity tags


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a"', ['"a"']),
        ('""', ['""']),
        ('W/"a"', ['W/"a"']),
        ('"a", W/"b" ,"c,d"', ['"a"', 'W/"b"', '"c,d"']),
        (', ,"a",, "b",', ['"a"', '"b"']),
        ('"\xe4"', ['"\xe4"']),
        ("", None),
        ("*", None),
        ("abc", None),
        ('"a" "b"', None),
        ('"a', None),
        ('w/"a"', None),
        ('W/ "a"', None),
        ('"a b"', None),
        ('"a", *', None),
        ('"a", b', None),
    ],
)
def test_lists_of_tags(value, expected):
    assert parse_tags(value) == expected


@given(st.lists(tags, min_size=1), st.sampled_from([",", ", ", " ,\t", ",,"]))
def test_every_list_is_read_back(listed, separator):
    assert parse_tags(separator.join(listed)) == listed


@given(st.lists(tags.filter(lambda tag: not tag.endswith('""')), min_size=1))  # werkzeug reads "" as None
def test_matches_as_werkzeug_does(listed):
    theirs = werkzeug_etags(", ".join(listed))
    for tag in listed:
        name = tag.removeprefix("W/")[1:-1]
        ours = parse_tags(", ".join(listed))
        assert any(strong_match(f'"{name}"', other) for other in ours) == theirs.contains(name)
        assert any(weak_match(f'"{name}"', other) for other in ours) == theirs.contains_weak(name)


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [  # the table of section 8.8.3.2
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
    ],
)
def test_comparison(one, other, strong, weak):
    assert strong_match(one, other) is strong
    assert strong_match(other, one) is strong
    assert weak_match(one, other) is weak


# --- one field


@pytest.mark.parametrize(
    ("name", "value", "get", "put"),
    [
        ("if-match", ETAG, 200, 200),
        ("if-match", "*", 200, 200),
        ("if-match", '"x", "abc"', 200, 200),
        ("if-match", '"x"', 412, 412),
        ("if-match", 'W/"abc"', 412, 412),
        ("if-match", "abc", 412, 412),
        ("if-match", "", 412, 412),
        ("if-none-match", ETAG, 304, 412),
        ("if-none-match", "*", 304, 412),
        ("if-none-match", 'W/"abc"', 304, 412),
        ("if-none-match", '"x", "abc"', 304, 412),
        ("if-none-match", '"x"', 200, 200),
        ("if-none-match", "abc", 200, 200),
        ("if-modified-since", EARLIER, 200, 200),
        ("if-modified-since", SAME, 304, 200),
        ("if-modified-since", LATER, 304, 200),
        ("if-modified-since", "tomorrow", 200, 200),
        ("if-unmodified-since", EARLIER, 412, 412),
        ("if-unmodified-since", SAME, 200, 200),
        ("if-unmodified-since", LATER, 200, 200),
        ("if-unmodified-since", "tomorrow", 200, 200),
    ],
)
def test_one_field(name, value, get, put):
    assert evaluate("GET", {name: value}, ETAG, NOW) == get
    assert evaluate("HEAD", {name: value}, ETAG, NOW) == get
    assert evaluate("PUT", {name: value}, ETAG, NOW) == put


def test_without_a_date_nothing_is_compared_with_it():
    assert evaluate("GET", {"if-modified-since": LATER}, ETAG, None) == 200
    assert evaluate("GET", {"if-unmodified-since": EARLIER}, ETAG, None) == 200


def test_without_a_tag_only_the_star_matches():
    assert evaluate("GET", {"if-match": ETAG}, None, NOW) == 412
    assert evaluate("GET", {"if-match": "*"}, None, NOW) == 200
    assert evaluate("GET", {"if-none-match": ETAG}, None, NOW) == 200
    assert evaluate("GET", {"if-none-match": "*"}, None, NOW) == 304


def test_a_weak_tag_of_ours_fails_if_match_and_satisfies_if_none_match():
    assert evaluate("GET", {"if-match": 'W/"abc"'}, 'W/"abc"', None) == 412
    assert evaluate("GET", {"if-none-match": '"abc"'}, 'W/"abc"', None) == 304


# --- several fields, section 13.2.2


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"if-match": ETAG, "if-unmodified-since": EARLIER}, 200),
        ({"if-match": '"x"', "if-none-match": ETAG}, 412),
        ({"if-match": ETAG, "if-none-match": ETAG}, 304),
        ({"if-unmodified-since": EARLIER, "if-none-match": ETAG}, 412),
        ({"if-unmodified-since": LATER, "if-modified-since": LATER}, 304),
        ({"if-none-match": '"x"', "if-modified-since": LATER}, 200),
        ({"if-none-match": ETAG, "if-modified-since": EARLIER}, 304),
        ({"if-none-match": "nonsense", "if-modified-since": LATER}, 200),
    ],
)
def test_tags_come_before_dates_and_matches_before_non_matches(fields, expected):
    assert evaluate("GET", fields, ETAG, NOW) == expected


values = st.one_of(st.sampled_from(["*", ETAG, '"x"', EARLIER, SAME, LATER, ""]), st.text(max_size=20), tags)


@given(
    st.sampled_from(["GET", "HEAD", "POST", "DELETE"]),
    st.dictionaries(st.sampled_from(sorted(CONDITIONAL)), values),
    st.none() | tags,
    st.none() | st.floats(0, 4e9),
)
def test_always_one_of_three_answers(method, fields, etag, modified):
    status = evaluate(method, fields, etag, modified)
    assert status in ((200, 304, 412) if method in ("GET", "HEAD") else (200, 412))
    if not fields:
        assert status == 200
