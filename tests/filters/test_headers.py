"""The headers filter."""

import pytest
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange
from tinfront.config.option import settings
from tinfront.errors import ConfigError
from tinfront.filters.headers import OPTIONS, HeadersFilter, make
from tinfront.http.message import ResponseHead
from tinfront.interfaces import IResponseFilter


def edit(given, fields):
    member = make(settings(OPTIONS, given))
    assert verifyObject(IResponseFilter, member)
    head = ResponseHead(200, fields, 5)
    same = head.fields
    assert member.on_response(FakeExchange(), head) is None
    assert head.fields is same
    return head.fields


def test_set_replaces_in_any_case_and_repetition():
    assert edit({"set": "X-Frame-Options: DENY"}, [("x-frame-options", "a"), ("A", "b"), ("X-Frame-Options", "c")]) == [
        ("A", "b"),
        ("X-Frame-Options", "DENY"),
    ]


def test_set_several():
    given = {"set": "X-A: 1\nX-B: 2\nX-A: 3"}
    assert edit(given, [("X-A", "0")]) == [("X-A", "1"), ("X-B", "2"), ("X-A", "3")]


def test_add_keeps_what_is_there():
    assert edit({"add": "Link: <a>\nLink: <b>"}, [("Link", "<0>")]) == [
        ("Link", "<0>"),
        ("Link", "<a>"),
        ("Link", "<b>"),
    ]


def test_remove():
    assert edit({"remove": "X-Powered-By, x-runtime"}, [("x-powered-by", "a"), ("X-Runtime", "b"), ("C", "d")]) == [
        ("C", "d")
    ]


def test_removed_and_added():
    assert edit({"remove": "A", "add": "A: new"}, [("A", "old")]) == [("A", "new")]


def test_nothing_to_do():
    assert edit({}, [("A", "b")]) == [("A", "b")]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("set", "Content-Length: 5"),
        ("set", "transfer-encoding: chunked"),
        ("add", "Connection: close"),
        ("add", "Date: now"),
        ("set", "Server: other"),
        ("set", "Keep-Alive: timeout=5"),
        ("set", "Upgrade: h2c"),
        ("remove", "Date"),
        ("set", "No colon"),
        ("set", "Bad name: x"),
        ("set", ": x"),
        ("set", "X-A: a\x00b"),
        ("set", "X-A: a\x7f"),
        ("set", "X-A: \u00e4"),
        ("set", "X-A: a\u2028b"),
        ("remove", "bad:name"),
    ],
)
def test_bad_values(option, value):
    with pytest.raises(ValueError, match=r"."):
        settings(OPTIONS, {option: value})


@pytest.mark.parametrize(
    ("replaced", "added", "removed"),
    [
        ((("X-A", "a\r\nX-B: c"),), (), ()),
        ((), (("X A", "b"),), ()),
        ((), (), ("Content-Length",)),
        ((("Server", "x"),), (), ()),
        ((("X-A", " padded "),), (), ()),
    ],
)
def test_bad_settings_from_elsewhere(replaced, added, removed):
    with pytest.raises(ConfigError):
        make({"set": replaced, "add": added, "remove": removed})


def test_an_empty_filter_is_made_without_arguments():
    head = ResponseHead(200, [("A", "b")])
    HeadersFilter().on_response(FakeExchange(), head)
    assert head.fields == [("A", "b")]
