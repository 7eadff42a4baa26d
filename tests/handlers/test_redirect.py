"""The redirect handler."""

from types import SimpleNamespace
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, make_head
from tinfront.config.option import settings
from tinfront.handlers.redirect import OPTIONS, make
from tinfront.interfaces import IHandler


def make_handler(target, **options):
    return make(settings(OPTIONS, {"redirect": target, **options}), SimpleNamespace())


def ask(redirect, path="/a/b", query="", mount="", **head):
    exchange = FakeExchange(make_head(path=path, query=query, **head), mount=mount)
    make_handler(redirect).handle(exchange)
    return exchange


def test_it_is_a_handler():
    assert verifyObject(IHandler, make_handler("/x"))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/new", "/new"),
        ("https://other.test/new", "https://other.test/new"),
        ("//cdn.test{path}", "//cdn.test/a/b"),
        ("https://other.test{uri}", "https://other.test/a/b?q=1"),
        ("https://other.test{path}{query}", "https://other.test/a/b?q=1"),
        ("https://{host}{uri}", "https://demo.test/a/b?q=1"),
        ("https://www.{host}{uri}", "https://www.demo.test/a/b?q=1"),
        ("/new{rest}", "/new/b"),
        ("/new{rest}{query}", "/new/b?q=1"),
        ("/search?from=old{query}", "/search?from=old&q=1"),
        ("{path}/", "/a/b/"),
        ("{rest}", "/b"),
        ("/x#part", "/x#part"),
    ],
)
def test_targets(target, expected):
    exchange = ask(target, query="q=1", mount="/a", authority="Demo.test:8080")
    assert exchange.status == 301
    assert exchange.fields["location"] == expected
    assert exchange.answer[1] == b"Moved Permanently\n"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_statuses(status):
    exchange = FakeExchange(make_head("POST"))
    make_handler("/x", status=str(status)).handle(exchange)
    assert exchange.status == status


def test_what_was_sent_is_kept_as_it_was():
    exchange = ask("https://other.test{uri}", path="/a/b/c", target="/a%2Fb/c?x=%20")
    assert exchange.fields["location"] == "https://other.test/a%2Fb/c?x=%20"


def test_nothing_to_add():
    assert ask("/search?a{query}").fields["location"] == "/search?a"
    assert ask("/new{rest}", path="/a", mount="/a").fields["location"] == "/new"
    assert ask("{rest}", path="/a", mount="/a").fields["location"] == "/"


def test_ip_addresses():
    assert ask("https://{host}/", authority="[::1]:80").fields["location"] == "https://[::1]/"
    assert ask("https://{host}/", authority="127.0.0.1").fields["location"] == "https://127.0.0.1/"


def test_a_host_is_needed_only_where_it_is_used():
    assert ask("https://{host}/", authority="").refusal[:2] == (400, "no-host")
    assert ask("https://{host}/", authority="a b").refusal[:2] == (400, "bad-host")
    assert ask("/x", authority="").status == 301


@pytest.mark.parametrize(
    "target",
    [
        "",
        "x",
        "{query}",
        "{host}/x",
        "https:{path}",
        "https://{path}",
        "https:///x",
        "//{path}",
        "javascript:alert(1)",
        "/a b",
        "/\u00e4",
        "/\\x",
        "/{nothing}",
        "/{path",
        "/path}",
        "/{{path}}",
        "/a\tb",
    ],
)
def test_bad_targets(target):
    with pytest.raises(ValueError, match=r"."):
        settings(OPTIONS, {"redirect": target})


latin = st.text(st.characters(max_codepoint=255))


@given(
    st.sampled_from(["{path}", "{uri}", "{rest}", "/{path}", "/{rest}{query}", "/x{uri}", "/x?y={query}", "/.{path}"]),
    latin,
    latin,
    st.booleans(),
)
def test_no_path_or_query_leads_to_another_site(target, path, query, whole):
    mount = "" if whole else "/mount"
    location = ask(target, f"{mount}/{path}", query, mount).fields["location"]
    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    assert not location.startswith(("//", "/\\"))
    assert urlsplit(urljoin("http://demo.test/", location)).netloc == "demo.test"


@given(latin, latin)
def test_no_path_or_query_changes_the_host(path, query):
    location = ask("https://other.test{uri}", "/" + path, query).fields["location"]
    assert urlsplit(location).netloc == "other.test"
