from __future__ import annotations

import string

import pytest

from tinfront.http.fields import HOP_BY_HOP, SINGLE, elements, is_token, is_value


def test_a_token_is_made_of_tchar_only() -> None:
    allowed = set("!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters)
    assert {chr(code) for code in range(256) if is_token(chr(code))} == allowed
    assert is_token("X-Forwarded-For")
    assert not is_token("")
    assert not is_token("a b")


def test_a_value_holds_no_controls_but_tab() -> None:
    refused = {code for code in range(256) if not is_value(chr(code))}
    assert refused == (set(range(32)) - {9}) | {127}
    assert is_value("")
    assert is_value("caf\xe9 \t x")
    assert not is_value("a\r\nb")
    assert not is_value("a\n")


def test_hostile_values_cost_one_pass() -> None:
    assert not is_value("\t " * 100_000 + "\n")
    assert not is_token("a" * 200_000 + " ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        (",", []),
        ("a", ["a"]),
        (" a ,b\t,, c,", ["a", "b", "c"]),
        ("chunked\xa0", ["chunked\xa0"]),  # what is no OWS belongs to the element
        ("\x85a", ["\x85a"]),
    ],
)
def test_elements_of_a_comma_list(value: str, expected: list[str]) -> None:
    assert elements(value) == expected


def test_names_are_lower_case() -> None:
    for name in HOP_BY_HOP | SINGLE:
        assert name == name.lower()
        assert is_token(name)
