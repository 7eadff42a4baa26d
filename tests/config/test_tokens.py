import pytest

from tinfront.config.finding import Findings
from tinfront.config.tokens import tokenise
from tinfront.errors import ConfigError


def tokens(text):
    """Sections as (header, line, {option: [(line, text)]}) and the findings."""
    findings = Findings()
    sections = [
        (
            section.header,
            section.place.line,
            {entry.name: [(place.line, line) for place, line in entry.lines] for entry in section.entries},
        )
        for section in tokenise(text, "t.ini", findings)
    ]
    try:
        findings.raise_if_any()
    except ConfigError as error:
        return sections, list(error.findings)
    return sections, []


def test_sections_options_and_lines():
    text = "# top\ninclude = x\n\n[server]\naccess_log = -\n; more\ngrace=30s\n[site:a]\n"
    assert tokens(text) == (
        [
            ("", 1, {"include": [(2, "x")]}),
            ("server", 4, {"access_log": [(5, "-")], "grace": [(7, "30s")]}),
            ("site:a", 8, {}),
        ],
        [],
    )


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (r"[route:demo ~ ^/u/\d+$]", r"route:demo ~ ^/u/\d+$"),
        ("[route:demo ~ ^/[a-z;#]+[0-9]$]", "route:demo ~ ^/[a-z;#]+[0-9]$"),
        ("[ route:demo = /a b]  ", "route:demo = /a b"),
        ("  [server]", "server"),
        ("[]", ""),
    ],
)
def test_headers_end_at_the_last_bracket(line, header):
    sections, findings = tokens(line)
    assert [section[0] for section in sections[1:]] == [header]
    assert findings == []


def test_text_behind_a_header_is_an_error_but_the_section_stands():
    sections, findings = tokens("[server] ; old habit\na = 1\n[app:x] y")
    assert [section[0] for section in sections] == ["", "server", "app:x"]
    assert sections[1][2] == {"a": [(2, "1")]}
    assert findings == [
        't.ini:1: [server]: "; old habit" stands behind the closing ]; comments stand on their own lines',
        't.ini:3: [app:x]: "y" stands behind the closing ]',
    ]


def test_an_open_header_swallows_its_options():
    findings = Findings()
    sections = tokenise("[server\na = 1\n", "t.ini", findings)
    assert sections[1].broken
    assert [entry.name for entry in sections[1].entries] == ["a"]
    with pytest.raises(ConfigError, match="has no closing ]"):
        findings.raise_if_any()


def test_deeper_lines_continue_a_value():
    text = "[s]\nhosts = a\n  b, c\n\n  # not this one\n  d\n\te = f\nnext =\n  x\n"
    assert tokens(text)[0][1][2] == {
        "hosts": [(2, "a"), (3, "b, c"), (6, "d"), (7, "e = f")],
        "next": [(9, "x")],
    }


def test_a_section_may_be_indented_as_a_whole():
    text = "[s]\n  a = 1\n    2\n  b = 3\n[t]\n\tc = 4\n"
    sections, findings = tokens(text)
    assert sections[1][2] == {"a": [(2, "1"), (3, "2")], "b": [(4, "3")]}
    assert sections[2][2] == {"c": [(6, "4")]}
    assert findings == []


def test_a_deeper_bracket_is_a_value():
    assert tokens("[l]\naddress =\n  [::1]:80\n")[0][1][2] == {"address": [(3, "[::1]:80")]}


@pytest.mark.parametrize("value", ["a=b", "a ; b", "a # b", "[x]", "a]", "a:b", '"q"', "%(x)s"])
def test_values_are_taken_as_they_stand(value):
    assert tokens(f"[s]\nx = {value}\n")[0][1][2] == {"x": [(2, value)]}


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("[s]\nhello\n", 't.ini:2: [s]: "hello" is neither a section header nor an option (name = value)'),
        (
            "[s]\na: b\n",
            't.ini:2: [s]: "a: b" is neither a section header nor an option (name = value); only = separates',
        ),
        ("[s]\n= b\n", 't.ini:2: [s]: "" is not the name of an option'),
        ("[s]\na b = c\n", 't.ini:2: [s]: "a b" is not the name of an option'),
        ("[s]\na = \x00b\n", "t.ini:2: [s]: control character \\x00"),
        ("a = 1\rb = 2\n", "t.ini:1: control character \\x0d"),
        ("[s]\na = \udcff\n", "t.ini:2: [s]: not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_noted(text, finding):
    assert tokens(text)[1] == [finding]


def test_the_continuation_of_a_bad_line_is_not_noted_again():
    sections, findings = tokens("[s]\na b = c\n   d\n   e\nx = 1\n")
    assert len(findings) == 1
    assert sections[1][2] == {"x": [(5, "1")]}


def test_nothing_stops_at_the_first_error():
    assert len(tokens("x\n[s\ny\n[t] z\n\x01\nfine = 1\n")[1]) == 5


def test_bom_and_crlf_are_tolerated():
    assert tokens("\ufeff[s]\r\na = 1\r\n  2\r\n") == ([("", 1, {}), ("s", 1, {"a": [(2, "1"), (3, "2")]})], [])


def test_other_line_ends_of_unicode_are_text():
    assert tokens("[s]\na = x\u2028y\x85z\n")[0][1][2] == {"a": [(2, "x\u2028y\x85z")]}
