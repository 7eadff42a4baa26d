"""What ``start_response`` may be given."""

from __future__ import annotations

from typing import Any

import pytest

from tinfront.workers import headers as room
from tinfront.workers.frames import HEAD_MAX, decode_head
from tinfront.workers.headers import BadHeader, check_headers, remember


def test_good_headers() -> None:
    fields = check_headers(
        "200 OK", [("Content-Type", "text/html"), ("X-A", ""), ("Set-Cookie", "\xe9=1"), ("Set-Cookie", "b")]
    )
    assert fields == [("Content-Type", "text/html"), ("X-A", ""), ("Set-Cookie", "\xe9=1"), ("Set-Cookie", "b")]
    assert (fields.status, fields.length, fields.flush, fields.bodiless) == ("200 OK", None, False, False)
    assert decode_head(fields.raw) == (200, "OK", list(fields))


def test_what_belongs_to_the_server_is_taken_out() -> None:
    fields = check_headers(
        "200 OK",
        [
            *[
                ("Date", "x"),
                ("server", "y"),
                ("Connection", "close"),
                ("Keep-Alive", "1"),
                ("TE", "a"),
                ("Trailer", "b"),
            ],
            *[
                ("Transfer-Encoding", "chunked"),
                ("UPGRADE", "h2c"),
                ("Proxy-Connection", "x"),
                ("Proxy-Authenticate", "x"),
            ],
            *[("Content-Length", "12"), ("X-Accel-Buffering", "yes"), ("X-Kept", "1")],
        ],
    )
    assert fields == [("X-Kept", "1")]
    assert fields.length == 12


@pytest.mark.parametrize(
    ("headers", "flush"),
    [
        ([("Content-Type", "text/event-stream")], True),
        ([("content-type", "Text/Event-Stream; charset=utf-8")], True),
        ([("X-Accel-Buffering", "no")], True),
        ([("x-accel-buffering", " NO ")], True),
        ([("X-Accel-Buffering", "yes")], False),
        ([("Content-Type", "text/plain")], False),
    ],
)
def test_what_must_not_wait(headers: Any, flush: bool) -> None:
    fields = check_headers("200 OK", headers)
    assert fields.flush is flush
    assert "accel" not in fields.raw.decode().lower()


@pytest.mark.parametrize(("status", "bodiless"), [("204 No Content", True), ("304 Not Modified", True), ("200", False)])
def test_statuses_without_body(status: str, bodiless: bool) -> None:
    fields = check_headers(status, [("Content-Length", "5")])
    assert fields.bodiless is bodiless
    assert fields.length == (None if status.startswith("204") else 5)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        *[
            (b"200 OK", "must be str"),
            (200, "must be str"),
            (None, "must be str"),
            ("OK", "final code"),
            ("20 OK", "final code"),
        ],
        *[("200 O\nK", "final code"), ("100 Continue", "final code"), ("600 X", "final code"), ("200OK", "final code")],
        *[("\u0662\u0660\u0660 OK", "final code"), ("200 \u20ac", "final code")],
    ],
)
def test_bad_statuses(status: Any, told: str) -> None:
    with pytest.raises(BadHeader, match=told):
        check_headers(status, [])


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (None, "list of"),
        ({"A": "b"}, "list of"),
        (iter([("A", "b")]), "list of"),
        ([("A",)], r"must be \(name, value\)"),
        ([("A", "b", "c")], r"must be \(name, value\)"),
        ([("A", "b", "c"), ("d",)], r"must be \(name, value\)"),
        ([("A", b"b")], "must be str"),
        ([(b"A", "b")], "must be str"),
        ([("A", 5)], "must be str"),
        ([("A", None)], "must be str"),
        ([("A b", "c")], "not a token"),
        ([("A:", "c")], "not a token"),
        ([("", "c")], "not a token"),
        ([("A\r\nB", "c")], "not a token"),
        ([("A", "b\r\nSet-Cookie: c")], "the value of header A"),
        ([("A", "b\nc")], "the value of header A"),
        ([("A", "b\0c")], "the value of header A"),
        ([("A", "b\0X-B\0c")], "the value of header A"),
        ([("A", "\x7f")], "the value of header A"),
        ([("A", "\u20ac")], "the value of header A"),
        ([("Content-Length", "5"), ("Content-Length", "6")], "not the only one"),
        ([("Content-Length", "-1")], "no length"),
        ([("Content-Length", "5, 5")], "no length"),
        ([("Content-Length", "")], "no length"),
        ([("Content-Length", "\u0665")], "no length"),
        ([("A", "x" * HEAD_MAX)], "more than"),
    ],
)
def test_bad_headers_are_named(headers: Any, told: str) -> None:
    with pytest.raises(BadHeader, match=told):
        check_headers("200 OK", headers)


def test_a_length_given_twice_alike_is_one() -> None:
    assert check_headers("200 OK", [("Content-Length", "5"), ("content-length", "5")]).length == 5


def test_what_is_remembered_has_a_bound() -> None:
    for number in range(2000):
        remember(f"200 OK\0A\0{number}", check_headers("200 OK", [("A", str(number))]))
    assert len(room.known) <= 512
    fields = check_headers("200 OK", [("A", "x" * 2000)])
    remember("x" * 2000, fields)
    assert "x" * 2000 not in room.known
