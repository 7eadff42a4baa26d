import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.config import option
from tinfront.config.option import Option


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (option.text, "a = b ; c # d", "a = b ; c # d"),
        (option.text, "", ""),
        (option.word, "wort", "wort"),
        (option.boolean, "yes", True),
        (option.boolean, "On", True),
        (option.boolean, "TRUE", True),
        (option.boolean, "1", True),
        (option.boolean, "no", False),
        (option.boolean, "off", False),
        (option.boolean, "false", False),
        (option.boolean, "0", False),
        (option.integer, "-12", -12),
        (option.size, "0", 0),
        (option.size, "512", 512),
        (option.size, "8k", 8192),
        (option.size, "10M", 10 * 1024**2),
        (option.size, "1 g", 1024**3),
        (option.seconds, "0", 0.0),
        (option.seconds, "500ms", 0.5),
        (option.seconds, "100ms", 0.1),
        (option.seconds, "1.5s", 1.5),
        (option.seconds, "30 s", 30.0),
        (option.seconds, "5m", 300.0),
        (option.seconds, "1h", 3600.0),
        (option.seconds, "7d", 604800.0),
        (option.status, "204", 204),
        (option.path, "www/./static", "/base/www/static"),
        (option.path, "/etc/x", "/etc/x"),
        (option.module_object, "demo:application", "demo:application"),
        (option.module_object, "pkg.mod:make.app()", "pkg.mod:make.app()"),
        (option.words, "a, b c\nd,", ("a", "b", "c", "d")),
        (option.words, "", ()),
        (option.lines, "a b\n  c, d", ("a b", "c, d")),
        (option.paths, "a\n/b", ("/base/a", "/b")),
        (option.pairs, "A=1\nB = x=y", {"A": "1", "B": "x=y"}),
        (option.pairs, "EMPTY=", {"EMPTY": ""}),
        (option.fields, "X-A: b: c\nX-B:", (("X-A", "b: c"), ("X-B", ""))),
        (option.field_names, "X-A, X-B", ("X-A", "X-B")),
        (option.choice("a", "b"), "b", "b"),
        (option.integer_choice(301, 302), "302", 302),
        (option.integer_between(1, 3), "3", 3),
        (option.size_between(1024), "1k", 1024),
        (option.seconds_between(1, 60), "1m", 60.0),
    ],
)
def test_reads(kind, text, value):
    found = kind.read(text, "/base")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (option.word, "two words", '"two words" is not one word'),
        (option.word, "", "has no value, expected a word"),
        (option.boolean, "maybe", '"maybe" is neither yes nor no'),
        (option.integer, "1.5", '"1.5" is not an integer'),
        (option.integer, "١٢", "is not an integer"),
        (option.integer, "9" * 5000, "is not an integer"),
        (option.integer, "1\n2", "takes one value on one line"),
        (option.size, "-1", "must not be negative"),
        (option.size, "8kb", 'did you mean "8k"?'),
        (option.size, "8 MiB", 'did you mean "8m"?'),
        (option.size, "8x", '"x" is not a unit of size, use k, m or g'),
        (option.size, "big", '"big" is not a size'),
        (option.seconds, "30", '"30" has no unit of time, did you mean "30s"?'),
        (option.seconds, "30 sec", 'did you mean "30s"?'),
        (option.seconds, "5min", 'did you mean "5m"?'),
        (option.seconds, "5M", 'did you mean "5m"?'),
        (option.seconds, "5w", '"w" is not a unit of time, use ms, s, m, h or d'),
        (option.seconds, "-5s", "must not be negative"),
        (option.seconds, "soon", '"soon" is not a time'),
        (option.status, "101", "101 is not a final status, expected 200 to 599"),
        (option.status, "600", "600 is not a final status"),
        (option.module_object, "demo", 'did you mean "demo:application"?'),
        (option.module_object, "demo:app(1)", "is not of the form package.module:object"),
        (option.module_object, "demo:1", "is not of the form"),
        (option.pairs, "A", '"A" is not of the form KEY=VALUE'),
        (option.pairs, "=1", '"=1" is not of the form KEY=VALUE'),
        (option.pairs, "A=1\nA=2", '"A" is given twice'),
        (option.fields, "no colon", '"no colon" is not of the form Name: value'),
        (option.fields, "X A: b", "is not of the form Name: value"),
        (option.fields, "X-A: b\x01", 'the value of "X-A" has a character that no header field may hold'),
        (option.fields, "X-A: \u20ac", 'the value of "X-A" has a character that no header field may hold'),
        (option.field_names, "X(A", '"X(A" is not the name of a header field'),
        (option.choice("prefork", "threads"), "thread", 'not one of prefork, threads, did you mean "threads"?'),
        (option.integer_choice(301, 302), "303", "303 is not one of 301, 302"),
        (option.integer_between(1, 3), "4", "4 is out of bounds, expected 1 to 3"),
        (option.integer_between(1), "0", "0 is out of bounds, expected at least 1"),
        (option.size_between(1024, 2048), "4k", "4k is out of bounds, expected 1k to 2k"),
        (option.seconds_between(1.0, 60.0), "500ms", "500ms is out of bounds, expected 1s to 1m"),
        (option.regex, "^/(", '"^/(" is not a regular expression: missing ), unterminated subpattern at character 3'),
        (option.regex, "a{99999999999999999999}", "the regular expression is too large"),
    ],
)
def test_says_what_is_wrong(kind, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kind.read(text, "/base")


def test_regex_is_compiled_and_compared_by_value():
    assert option.regex.read(r"^/u/\d+$").search("/u/12")
    assert option.regex.read("a") == option.regex.read("a")
    assert option.regex.show(option.regex.read("a|b")) == "a|b"
    option.regex.read("[[a]")  # re has a FutureWarning for this; it is not the user's fault


def test_existing_paths(tmp_path):
    (tmp_path / "file").write_text("x")
    base = str(tmp_path)
    assert option.directory.read(".", base) == base
    assert option.file.read("file", base) == f"{base}/file"
    assert option.existing.read("file", base) == f"{base}/file"
    assert option.existing_paths.read("file\n.", base) == (f"{base}/file", base)
    for kind in (option.directory, option.file, option.existing, option.existing_paths):
        with pytest.raises(ValueError, match=f"{base}/nope: No such file or directory"):
            kind.read("nope", base)
    with pytest.raises(ValueError, match=f"{base}/file is not a directory"):
        option.directory.read("file", base)
    with pytest.raises(ValueError, match=f"{base} is a directory, expected a file"):
        option.file.read(".", base)
    with pytest.raises(ValueError, match="File name too long"):
        option.existing.read("x" * 300, base)


def test_a_path_that_may_not_be_looked_at_is_left_to_whoever_may(monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(option.os, "stat", refuse)
    monkeypatch.setattr(option.os.path, "exists", lambda _: False)
    assert option.directory.read("/secret/dir") == "/secret/dir"
    assert option.existing.read("/secret/key") == "/secret/key"


ROWS = (
    Option("set", option.fields, (), "Fields."),
    Option("size", option.size, 1024, "A size."),
    Option("name", option.word, doc="A name.", required=True),
)


def test_settings_are_parsed_or_default():
    assert option.settings(ROWS, {"name": "x", "set": "A: b"}) == {"set": (("A", "b"),), "size": 1024, "name": "x"}


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "name is required"),
        ({"name": "x", "siz": "1"}, 'unknown option siz, did you mean "size"?'),
        ({"name": "x", "size": "y"}, '"y" is not a size'),
    ],
)
def test_settings_refuse(given_, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        option.settings(ROWS, given_)


def test_options_are_values():
    assert Option("a", option.word) == Option("a", option.word, None, "", required=False)
    with pytest.raises(AttributeError):
        Option("a", option.word).name = "b"


@given(st.integers(0, 10**14))
def test_sizes_come_back(value):
    assert option.size.read(option.size.show(value)) == value


@given(st.integers(0, 10**12).map(lambda thousands: thousands / 1000))
def test_times_come_back(value):
    assert option.seconds.read(option.seconds.show(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.5, "500ms"), (1.5, "1500ms"), (30.0, "30s"), (90.0, "90s"), (300.0, "5m"), (86400.0, "1d")],
)
def test_times_are_shown_with_the_largest_whole_unit(value, text):
    assert option.show_seconds(value) == text


_KEYS = st.from_regex(r"[A-Z_]{1,8}", fullmatch=True)
_PLAIN = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True)


@given(st.dictionaries(_KEYS, _PLAIN))
def test_pairs_come_back(value):
    assert option.pairs.read(option.pairs.show(value)) == value


@given(st.lists(st.tuples(st.from_regex(r"[A-Za-z-]{1,8}", fullmatch=True), _PLAIN)).map(tuple))
def test_fields_come_back(value):
    assert option.fields.read(option.fields.show(value)) == value


@given(st.lists(st.from_regex(r"[a-z./]{1,8}", fullmatch=True)).map(tuple))
def test_words_come_back(value):
    assert option.words.read(option.words.show(value)) == value
    assert option.lines.read(option.lines.show(value)) == value


@given(st.booleans())
def test_booleans_come_back(value):
    assert option.boolean.read(option.boolean.show(value)) is value


@given(st.text())
def test_no_text_makes_a_kind_raise_anything_but_value_error(text):
    kinds = [kind for kind in vars(option).values() if isinstance(kind, option.Kind)]
    assert len(kinds) > 15
    messages = []
    for kind in kinds:
        try:
            kind.read(text, "/nowhere")
        except ValueError as error:
            messages.append(str(error))
    assert all(messages)
