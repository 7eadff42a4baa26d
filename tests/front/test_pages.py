from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes import FakeExchange, make_head
from tinfront.errors import ConfigError
from tinfront.front.pages import HINTS, Pages
from tinfront.http.message import ResponseHead


def page(pages: Pages, status: int = 404, accept: str = "", method: str = "GET") -> tuple[ResponseHead, str]:
    exchange = FakeExchange(make_head(method, fields={"accept": accept} if accept else None))
    exchange.request_id = "an-id"
    head, body = pages.make(exchange, status, "no-route")
    assert method == "HEAD" or head.length == len(body)
    return head, body.decode()


def test_the_page_that_comes_with_it() -> None:
    head, text = page(Pages())
    assert (head.status, head.get("content-type")) == (404, "text/html; charset=utf-8")
    assert head.get("cache-control") == "no-store"
    assert head.get("x-request-id") == "an-id"
    assert text.startswith("<!doctype html>")
    for word in ("404 Not Found", "no-route", "an-id"):
        assert word in text
    assert "{" not in text.replace(":root {", "").replace("body {", "").replace("h1 {", "").replace("p {", "").replace(
        "code {", ""
    )


def test_json_for_those_who_prefer_it() -> None:
    head, text = page(Pages(), 503, "application/json")
    assert head.get("content-type") == "application/json"
    assert json.loads(text) == {
        "status": 503,
        "phrase": "Service Unavailable",
        "reason": "no-route",
        "hint": "",
        "request_id": "an-id",
    }


def test_the_page_of_a_large_body_names_the_option() -> None:
    exchange = FakeExchange(make_head("POST"))
    exchange.request_id = "an-id"
    assert b"body_limit" in Pages().make(exchange, 413, "body-too-large")[1]


def test_a_page_without_a_hint_has_no_room_for_one() -> None:
    assert HINTS.get("no-route") is None
    text = page(Pages())[1]
    assert "<p></p>" not in text
    assert text.count("<p>") == 1
    exchange = FakeExchange(make_head())
    exchange.request_id = "an-id"
    assert b"<p>The site is busy." in Pages().make(exchange, 503, "queue-full")[1]


def test_every_hint_belongs_to_a_reason_that_is_explained() -> None:
    reasons = (Path(__file__).parents[2] / "docs" / "reasons.md").read_text("utf-8")
    assert [reason for reason in HINTS if f"`{reason}`" not in reasons] == []


def test_head_has_the_length_but_no_page() -> None:
    head, text = page(Pages(), method="HEAD")
    assert text == ""
    assert head.length == page(Pages())[0].length


def test_pages_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "404.html").write_text("<p>{status} {phrase} {reason} {request_id} { other } {x}", "utf-8")
    (tmp_path / "error.html").write_text("\xfc {status}", "utf-8")
    (tmp_path / "error.json").write_text('{"code": {status}}')
    (tmp_path / "notes.txt").write_text("not a page")
    (tmp_path / "200.html").write_text("not an error")
    pages = Pages(str(tmp_path))
    assert page(pages)[1] == "<p>404 Not Found no-route an-id { other } {x}"
    assert page(pages, 500)[1] == "\xfc 500"
    assert page(pages, 500, "application/json")[1] == '{"code": 500}'


def test_pages_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="error_pages"):
        Pages(str(tmp_path / "missing"))
    (tmp_path / "404.html").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="error_pages"):
        Pages(str(tmp_path))
    (tmp_path / "404.html").write_text("x" * (256 * 1024 + 1))
    with pytest.raises(ConfigError, match="characters at most"):
        Pages(str(tmp_path))
