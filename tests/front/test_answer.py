from __future__ import annotations

import os
from typing import Any

import pytest

from tests.fakes import FakeExchange, make_head
from tests.transports import Producer
from tinfront.config.model import Route
from tinfront.front.answer import bodiless, change, discard, filtered, fit
from tinfront.http.message import FileSlice, OpenFile, ResponseHead
from tinfront.routing.table import BoundRoute


class Tail:
    """Holds back the last byte until the end."""

    def __init__(self, tail: bytes) -> None:
        self.held = b""
        self.tail = tail

    def feed(self, data: bytes) -> bytes:
        data = self.held + data
        self.held = data[-1:]
        return data[:-1]

    def finish(self) -> bytes:
        return self.held + self.tail


def through(head: ResponseHead, body: Any, *filters: Any, method: str = "GET") -> tuple[ResponseHead, Any, Any]:
    route = BoundRoute(Route("demo", "prefix", "/", "test"), lambda exchange: None)
    route.response_filters = filters
    exchange: Any = FakeExchange(make_head(method))
    return filtered(exchange, route, head, body)


def test_where_no_body_is_sent() -> None:
    assert bodiless("HEAD", 200)
    assert bodiless("GET", 204)
    assert bodiless("GET", 304)
    assert not bodiless("GET", 200)


def test_a_shared_head_is_copied_before_anybody_edits_it() -> None:
    shared = ResponseHead(200, [], 3).freeze()
    head, body, transforms = through(shared, b"abc", lambda exchange, head: head.set("X", "y"))
    assert shared.fields == []
    assert head.fields == [("X", "y")]
    assert (head.length, body, list(transforms)) == (3, b"abc", [])


def test_each_is_asked_once_and_sees_what_the_one_before_did() -> None:
    seen: list[int] = []

    def add(exchange: Any, head: ResponseHead) -> None:
        seen.append(len(head.fields))
        head.fields.append(("X", "y"))

    through(ResponseHead(200, []), b"", add, add, add)
    assert seen == [0, 1, 2]


def test_a_body_known_whole_is_changed_at_once() -> None:
    filters = (lambda exchange, head: Tail(b"!"), lambda exchange, head: Tail(b"?"))
    head, body, transforms = through(ResponseHead(200, [], 3), b"abc", *filters)
    assert (body, list(transforms), head.length) == (b"abc!?", [], None)


@pytest.mark.parametrize(("body", "method"), [([b"abc"], "GET"), (b"", "HEAD"), (Producer(), "GET")])
def test_other_bodies_are_changed_on_their_way(body: Any, method: str) -> None:
    tail = Tail(b"!")
    head, same, transforms = through(ResponseHead(200, [], 3), body, lambda exchange, head: tail, method=method)
    assert same is body
    assert list(transforms) == [tail]
    assert head.length is None


def test_change() -> None:
    assert change([], b"abc", True) == b"abc"
    assert change([Tail(b"!"), Tail(b"?")], b"abc", False) == b"a"
    assert change([Tail(b"!"), Tail(b"?")], b"", True) == b"!?"


@pytest.mark.parametrize(
    ("method", "status", "length", "body", "expected"),
    [
        ("GET", 200, None, b"abc", (3, b"abc")),
        ("GET", 200, 5, b"abc", (3, b"abc")),
        ("GET", 200, 5, b"", (0, b"")),
        ("GET", 200, None, b"", (0, b"")),
        ("HEAD", 200, None, b"abc", (3, b"")),
        ("HEAD", 200, None, b"", (None, b"")),
        ("HEAD", 200, 5, b"", (5, b"")),
        ("GET", 304, 5, b"", (5, b"")),
        ("GET", 204, None, b"x", (1, b"")),  # a codec never sends the length of a 204
    ],
)
def test_fit(method: str, status: int, length: int | None, body: bytes, expected: tuple[int | None, bytes]) -> None:
    given = ResponseHead(status, [], length).freeze()
    head, fitting = fit(method, given, body)
    assert (head.length, fitting) == expected
    assert given.length == length
    assert head.block is None or head is given


def test_a_discarded_producer_may_stop() -> None:
    producer = Producer()
    discard(producer)
    assert producer.told == ["stop"]
    for body in (b"abc", [b"abc"], FileSlice(OpenFile(os.dup(0)), 0, 1)):
        discard(body)
