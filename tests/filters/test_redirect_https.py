"""The redirect_https filter."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, make_head
from tinfront.config.option import settings
from tinfront.filters.redirect_https import OPTIONS, make
from tinfront.interfaces import IRequestFilter


def ask(path="/a", method="GET", secure=False, options=None, **head):
    member = make(settings(OPTIONS, options or {}))
    assert verifyObject(IRequestFilter, member)
    exchange = FakeExchange(make_head(method, path, **head), secure=secure)
    answer = member.on_request(exchange)
    assert not (answer and exchange.finished)
    return answer, exchange


def location(*args, **kwargs):
    (head, _), _ = ask(*args, **kwargs)
    return head.get("location")


def test_with_tls_it_does_nothing():
    answer, exchange = ask(secure=True)
    assert answer is None
    assert not exchange.finished


def test_without_tls_it_redirects():
    (head, body), exchange = ask()
    assert (head.status, head.get("location")) == (301, "https://demo.test/a")
    assert head.length == len(body)
    assert not exchange.finished


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        ("301", "GET", 301),
        ("301", "HEAD", 301),
        ("301", "POST", 308),
        ("302", "GET", 302),
        ("302", "PUT", 307),
        ("307", "GET", 307),
        ("307", "POST", 307),
        ("308", "GET", 308),
        ("308", "POST", 308),
    ],
)
def test_status(status, method, expected):
    (head, _), _ = ask(method=method, options={"status": status})
    assert head.status == expected


@pytest.mark.parametrize(
    ("authority", "port", "expected"),
    [
        ("demo.test", "443", "https://demo.test/a"),
        ("Demo.Test:8080", "443", "https://demo.test/a"),
        ("demo.test:8080", "8443", "https://demo.test:8443/a"),
        ("[::1]:8080", "8443", "https://[::1]:8443/a"),
        ("127.0.0.1", "443", "https://127.0.0.1/a"),
    ],
)
def test_host_and_port(authority, port, expected):
    assert location(authority=authority, options={"port": port}) == expected


def test_the_uri_is_kept_as_it_was_sent():
    assert location("/a/b", target="/a%2Fb?x=%20", query="x=%20") == "https://demo.test/a%2Fb?x=%20"
    assert location("//evil.test", target="//evil.test") == "https://demo.test//evil.test"
    assert location("/a", target="http://demo.test/a?b") == "https://demo.test/a?b"
    assert location("*", method="OPTIONS", target="*") == "https://demo.test/"


def test_challenges_of_certificate_authorities_pass():
    answer, exchange = ask("/.well-known/acme-challenge/token")
    assert answer is None
    assert not exchange.finished
    assert location("/.well-known/security.txt") is not None


def test_without_a_host_there_is_nowhere_to_go():
    answer, exchange = ask(authority="")
    assert answer is None
    assert exchange.refusal[:2] == (400, "no-host")


def test_a_malformed_host():
    answer, exchange = ask(authority="a b")
    assert answer is None
    assert exchange.refusal[:2] == (400, "bad-host")


@pytest.mark.parametrize(("name", "value"), [("status", "303"), ("status", "200"), ("port", "0"), ("port", "65536")])
def test_bad_values(name, value):
    with pytest.raises(ValueError, match=r"."):
        settings(OPTIONS, {name: value})


@given(st.text(st.characters(max_codepoint=255)))
def test_no_target_changes_the_host(target):
    place = location("/x", target="/" + target)
    assert urlsplit(place).netloc == "demo.test"
    assert place.isascii()
    assert place.isprintable()
