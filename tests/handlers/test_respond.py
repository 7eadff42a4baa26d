"""The respond handler."""

import pytest
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, make_head
from tinfront.config.option import settings
from tinfront.handlers.respond import OPTIONS, make
from tinfront.interfaces import IHandler


def ask(respond, method="GET", **options):
    handler = make(settings(OPTIONS, {"respond": respond, **options}), None)
    assert verifyObject(IHandler, handler)
    exchange = FakeExchange(make_head(method))
    handler.handle(exchange)
    return exchange


@pytest.mark.parametrize(
    ("respond", "status", "body"),
    [
        ("200", 200, b"OK\n"),
        ("200 pong", 200, b"pong\n"),
        ("200   all is well  ", 200, b"all is well\n"),
        ("200 gr\u00fc\u00df", 200, "gr\u00fc\u00df\n".encode()),
        ("202", 202, b"Accepted\n"),
        ("503 closed for today", 503, b"closed for today\n"),
        ("404 nothing", 404, b"nothing\n"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_answers(respond, status, body, method):
    exchange = ask(respond, method)
    assert exchange.status == status
    assert exchange.answer[1] == body
    assert exchange.answer[0].length == len(body)
    assert exchange.fields == {"content-type": "text/plain; charset=utf-8"}


@pytest.mark.parametrize("status", [204, 205])
def test_statuses_without_a_body(status):
    exchange = ask(str(status))
    assert exchange.status == status
    assert exchange.answer[1] == b""
    assert exchange.fields == {}


def test_type():
    assert ask('200 {"a": 1}', type="application/json").fields["content-type"] == "application/json"


@pytest.mark.parametrize("status", [403, 404, 410, 503])
def test_an_error_without_text_is_an_error_page(status):
    assert ask(str(status)).refusal[:2] == (status, "configured")


@pytest.mark.parametrize(
    "respond", ["", "OK", "100", "101", "600", "301", "304", "206", "204 text", "205 text", "20x", "200ok"]
)
def test_bad_values(respond):
    with pytest.raises(ValueError, match=r"."):
        settings(OPTIONS, {"respond": respond})


def test_values_can_be_shown_and_read_again():
    kind = OPTIONS[0].kind
    for text in ("204", "200 a  b"):
        assert kind.show(kind.read(text)) == text
