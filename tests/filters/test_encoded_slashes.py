"""A site's ``encoded_slashes = reject``."""

import pytest
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, make_head
from tests.transports import Front, replies
from tinfront.filters.encoded_slashes import EncodedSlashes
from tinfront.interfaces import IRequestFilter


def refused(target):
    head = make_head("GET", "/")
    head.target = target
    exchange = FakeExchange(head)
    assert EncodedSlashes().on_request(exchange) is None
    return exchange.finished and exchange.status


def test_it_is_a_filter():
    assert verifyObject(IRequestFilter, EncodedSlashes())


@pytest.mark.parametrize("target", ["/a%2Fb", "/a%2fb", "/%2f", "/a%5Cb", "/a%5c?b", "http://demo.test/a%2fb"])
def test_paths_with_an_encoded_slash_are_refused(target):
    assert refused(target) == 400


@pytest.mark.parametrize("target", ["/", "/a/b", "/a%20b", "/a%252Fb", "/a?b=%2F%5C", "/%25%32f", "*"])
def test_all_others_pass(target):
    assert not refused(target)


def test_through_a_connection():
    front = Front()
    front.route.request_filters = (EncodedSlashes().on_request,)
    data = b"".join(b"GET %b HTTP/1.1\r\nHost: demo.test\r\n\r\n" % target for target in (b"/a%2Fb", b"/a/b"))
    first, second = replies(front.exchange(data))
    assert (first.status, b"encoded-slash" in first.body) == (400, True)
    assert second.body == b"GET /a/b? 0\n"
    assert len(front.opened) == 1
