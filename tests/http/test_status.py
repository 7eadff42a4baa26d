"""Reason phrases."""

from http import HTTPStatus

import pytest

from tinfront.http.status import REASONS, reason

RENAMED = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


@pytest.mark.parametrize("status", [status for status in HTTPStatus if status != 418])
def test_all_that_the_standard_library_knows(status):
    assert reason(status) == RENAMED.get(status, status.phrase)


def test_a_phrase_can_stand_in_a_status_line():
    assert all(100 <= status <= 599 for status in REASONS)
    assert all(phrase.isascii() and phrase.isprintable() for phrase in REASONS.values())


def test_an_unknown_status_has_no_phrase():
    assert reason(299) == ""
