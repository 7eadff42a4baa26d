import pytest

from tinfront.config import option
from tinfront.config.block import Block
from tinfront.config.finding import Findings
from tinfront.config.option import Option
from tinfront.config.tokens import tokenise
from tinfront.errors import ConfigError

ROWS = (
    Option("one", option.integer, 7),
    Option("many", option.paths, ()),
    Option("pairs", option.pairs, {}),
    Option("free", option.text, "default"),
    Option("must", option.word, required=True),
)


@pytest.fixture
def findings():
    return Findings()


def block(text, findings):
    section = tokenise(f"[app:x]\n{text}", "t.ini", findings)[1]
    section.directory = "/base"
    return Block(section, "x", findings)


def told(findings):
    try:
        findings.raise_if_any()
    except ConfigError as error:
        return list(error.findings)
    return []


def test_values_and_defaults(findings):
    found = block("one = 3\nmany = a\n  b c\nfree =\nmust = m", findings)
    expected = {"one": 3, "many": ("/base/a", "/base/b c"), "pairs": {}, "free": "", "must": "m"}
    assert found.parse(ROWS) == found.values == expected
    assert found.given.keys() == {"one", "many", "free", "must"}
    assert found.sound(*expected)
    assert told(findings) == []


def test_bad_values_stand_with_the_line_they_are_in(findings):
    found = block("one = x\npairs = A=1\n    B\n    C\nmust = a\n  b", findings)
    values = found.parse(ROWS)
    assert values == {"one": 7, "many": (), "pairs": {"A": "1"}, "free": "default", "must": None}
    assert not found.sound("one")
    assert not found.sound("free", "pairs")
    assert found.sound("free", "many")
    assert told(findings) == [
        't.ini:2: [app:x] one: "x" is not an integer',
        't.ini:4: [app:x] pairs: "B" is not of the form KEY=VALUE',
        't.ini:5: [app:x] pairs: "C" is not of the form KEY=VALUE',
        "t.ini:7: [app:x] must: takes one value on one line",
    ]


def test_what_is_missing(findings):
    found = block("one =\nmany =", findings)
    assert found.parse(ROWS)["many"] == ()
    assert not found.sound("must")
    assert told(findings) == [
        "t.ini:1: [app:x] must: is missing, expected a word",
        "t.ini:2: [app:x] one: has no value, expected an integer",
    ]


def test_an_option_given_twice(findings):
    found = block("must = a\none = 1\none = 2", findings)
    found.parse(ROWS)
    assert not found.sound("one")
    assert told(findings) == ["t.ini:4: [app:x] one: is given twice, first in line 3"]


def test_pairs_given_twice(findings):
    assert block("must = a\npairs = A=1\n  A=2", findings).parse(ROWS)["pairs"] == {}
    assert told(findings) == ['t.ini:3: [app:x] pairs: "A" is given twice']


def test_comments_behind_a_bad_value_are_explained(findings):
    block("must = a\none = 3 ; three", findings).parse(ROWS)
    assert told(findings) == ['t.ini:3: [app:x] one: "3 ; three" is not an integer; comments stand on their own lines']


def test_unknown_options(findings):
    found = block("mny = 1\nbody_limit = 1\nhinted = 1\nzebra = 1\nmust = a", findings)
    found.reject_unknown(ROWS, {"hinted": "; a hint"})
    assert told(findings) == [
        't.ini:2: [app:x] mny: unknown option, did you mean "many"?',
        "t.ini:3: [app:x] body_limit: unknown option; it belongs in [route:SITE PATTERN]",
        "t.ini:4: [app:x] hinted: unknown option; a hint",
        "t.ini:5: [app:x] zebra: unknown option",
    ]


def test_complaints_about_the_section_and_about_options(findings):
    found = block("\none = 1", findings)
    found.complain("", "whole")
    found.complain("one", "wrong")
    found.complain("many", "not there")
    assert told(findings) == [
        "t.ini:1: [app:x]: whole",
        "t.ini:1: [app:x] many: not there",
        "t.ini:3: [app:x] one: wrong",
    ]
