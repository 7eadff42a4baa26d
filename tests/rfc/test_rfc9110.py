"""RFC 9110, HTTP semantics, by section: bytes in, bytes out, through a whole connection."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.transports import Front, Later, replies, statuses
from tinfront.http.message import ResponseHead

GET = b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def request(head: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((head, b"Host: demo.test", *lines, b"", body))


class TestLists:
    """Section 5.3: fields that come more than once."""

    def test_lines_are_joined_in_order(self) -> None:
        seen: list[dict[str, str]] = []
        front = Front(
            lambda exchange: (seen.append(exchange.head.fields), exchange.respond(ResponseHead(204, []), b""))
        )
        front.exchange(request(b"GET / HTTP/1.1", b"Accept: a", b"X: 1", b"ACCEPT: b", b"Cookie: c=1", b"Cookie: d=2"))
        assert seen == [{"host": "demo.test", "accept": "a, b", "x": "1", "cookie": "c=1; d=2"}]


class TestHost:
    """Section 7.2: a request for a host that is nobody's gets nobody's page."""

    def test_unknown_hosts(self) -> None:
        front = Front()
        front.terms.table._default = None
        front.terms.table.by_authority.clear()
        data = b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n"
        assert statuses(front.exchange(data)) == [404]
        assert statuses(front.connect(secure=True).send(data)) == [421]
        assert [exchange.reason for exchange in front.over] == ["unknown-host"] * 2

    def test_another_sites_certificate_is_misdirected(self) -> None:
        front = Front(certificate_of=lambda transport: "other")
        assert statuses(front.connect(secure=True).send(GET)) == [421]
        assert statuses(front.connect().send(GET)) == [200]
        front.site.certificate = "other"
        assert statuses(front.connect(secure=True).send(GET)) == [200]


class TestConnection:
    """Section 7.6.1 and 7.8: what is meant for one connection."""

    @pytest.mark.parametrize("name", [b"h2c", b"websocket", b"TLS/1.2"])
    def test_an_upgrade_that_is_not_offered_is_ignored(self, name: bytes) -> None:
        lines = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + name, b"HTTP2-Settings: AAMAAABk")
        client = Front().connect()
        assert statuses(client.send(request(b"GET / HTTP/1.1", *lines) + GET)) == [200, 200]

    @pytest.mark.parametrize("name", [b"Content-Length", b"Transfer-Encoding", b"Host"])
    def test_connection_cannot_take_framing_or_routing_away(self, name: bytes) -> None:
        data = request(b"POST / HTTP/1.1", b"Connection: " + name, b"Content-Length: 5", body=b"hello")
        assert [reply.body for reply in replies(Front().exchange(data + GET))] == [b"POST /? 5\nhello", b"GET /? 0\n"]


class TestValues:
    """Section 5.5: white space around a value is not part of it, and of the rest nothing is lost."""

    @pytest.mark.parametrize("sent", [b"X:a b", b"X: a b", b"X:\t a b \t", b"X:   a b"])
    def test_white_space(self, sent: bytes) -> None:
        front = Front()
        front.exchange(request(b"GET / HTTP/1.1", sent))
        assert front.over[0].head.fields["x"] == "a b"

    def test_other_bytes_are_kept(self) -> None:
        front = Front()
        front.exchange(request(b"GET / HTTP/1.1", b"X: \x85\xa0caf\xe9\xff"))
        assert front.over[0].head.fields["x"] == "\x85\xa0caf\xe9\xff"


class TestNames:
    """Section 5.1 and RFC 3875 section 4.1.18: a name stands for itself only."""

    @pytest.mark.parametrize("line", [b"Content_Length: 5", b"X_Forwarded_For: ::1", b"Proxy: evil.test"])
    def test_names_that_could_pass_for_others_are_dropped(self, line: bytes) -> None:
        front = Front()
        assert statuses(front.exchange(request(b"GET / HTTP/1.1", line))) == [200]
        assert set(front.over[0].head.fields) == {"host"}

    @pytest.mark.parametrize("name", [b"Content-Type", b"User-Agent", b"Authorization", b"Referer", b"If-Range"])
    def test_a_field_that_may_stand_once_stands_once(self, name: bytes) -> None:
        client = Front().connect()
        data = client.send(request(b"GET / HTTP/1.1", name + b": a", name.lower() + b": a") + GET)
        assert statuses(data) == [400]
        assert b"duplicate-header" in data


class TestDate:
    """Section 6.6.1: every answer that is not interim has a date."""

    def test_good_and_bad_answers(self) -> None:
        for data in (GET, b"BROKEN\r\n\r\n", request(b"GET /%00 HTTP/1.1")):
            [reply] = replies(Front().exchange(data))
            assert reply.fields["date"] == "now"


class TestMethods:
    """Section 9: what is never served, and what needs no body."""

    @pytest.mark.parametrize("line", [b"TRACE / HTTP/1.1", b"CONNECT demo.test:443 HTTP/1.1", b"CONNECT / HTTP/1.1"])
    def test_trace_and_connect_are_405_and_say_what_is_allowed(self, line: bytes) -> None:
        front = Front()
        client = front.connect()
        [reply] = replies(client.send(request(line, b"Cookie: secret") + GET))
        assert reply.status == 405
        assert "GET" in reply.fields["allow"].split(", ")
        assert b"secret" not in reply.body
        assert client.closed
        assert not front.opened

    def test_head_has_the_length_of_get(self) -> None:
        get = replies(Front().exchange(GET))[0]
        head = replies(Front().exchange(request(b"HEAD / HTTP/1.1")), "HEAD")[0]
        assert int(head.fields["content-length"]) == len(get.body) + 1  # echo says HEAD, one letter more
        front = Front()
        front.exchange(request(b"HEAD / HTTP/1.1"))
        assert [exchange.sent for exchange in front.over] == [0]

    def test_a_refused_head_request_has_no_body_either(self) -> None:
        front = Front()
        client = front.connect()
        data = client.send(request(b"HEAD / HTTP/1.1", b"X : y"))
        [reply] = replies(data, "HEAD")
        assert (reply.status, reply.body) == (400, b"")
        assert int(reply.fields["content-length"]) > 0
        assert data.endswith(b"\r\n\r\n")
        assert client.closed

    def test_error_pages_for_head_have_no_body(self) -> None:
        front = Front(lambda exchange: exchange.refuse(500, "test"))
        data = front.exchange(request(b"HEAD / HTTP/1.1") + GET)
        assert statuses(data, "HEAD", "GET") == [500, 500]

    def test_options_asterisk(self) -> None:
        front = Front()
        assert statuses(front.exchange(b"OPTIONS * HTTP/1.1\r\nHost: demo.test\r\n\r\n")) == [204]
        assert not front.opened


class TestExpect:
    """Section 10.1.1: 100 Continue comes when the body is wanted, and only then."""

    def expecting(self, *lines: bytes) -> bytes:
        return request(b"POST / HTTP/1.1", b"Expect: 100-continue", *(lines or (b"Content-Length: 5",)))

    def test_it_is_sent(self) -> None:
        client = Front().connect()
        assert client.send(self.expecting()) == CONTINUE
        [reply] = replies(client.send(b"hello"))
        assert reply.body == b"POST /? 5\nhello"
        assert "connection" not in reply.fields

    def test_chunked(self) -> None:
        client = Front().connect()
        assert client.send(self.expecting(b"Transfer-Encoding: chunked")) == CONTINUE
        assert statuses(client.send(b"0\r\n\r\n")) == [200]

    def test_not_to_http_1_0(self) -> None:
        data = request(b"POST / HTTP/1.0", b"Expect: 100-continue", b"Content-Length: 5")
        assert Front().exchange(data) == b""

    def test_not_without_a_body(self) -> None:
        assert statuses(Front().exchange(request(b"POST / HTTP/1.1", b"Expect: 100-continue"))) == [200]

    def test_not_over_the_limit(self) -> None:
        client = Front().connect()
        [reply] = replies(client.send(self.expecting(b"Content-Length: 5000000")))
        assert reply.status == 413
        assert reply.fields["connection"] == "close"

    def test_not_without_a_route(self) -> None:
        front = Front()
        front.site._prefixes.clear()
        assert statuses(front.exchange(self.expecting())) == [404]

    def test_not_if_a_filter_answers(self) -> None:
        front = Front()
        front.route.request_filters = (lambda exchange: (ResponseHead(403, [], 2), b"no"),)
        [reply] = replies(front.exchange(self.expecting()))
        assert (reply.status, reply.body) == (403, b"no")
        assert not front.opened

    def test_not_before_a_filter_has_decided(self) -> None:
        waiting: Deferred[Any] = Deferred()
        front = Front()
        front.route.request_filters = (lambda exchange: waiting,)
        client = front.connect()
        assert client.send(self.expecting()) == b""
        waiting.callback(None)
        assert client.news() == CONTINUE

    def test_not_if_the_body_is_there_already(self) -> None:
        waiting: Deferred[Any] = Deferred()
        front = Front()
        front.route.request_filters = (lambda exchange: waiting,)
        client = front.connect()
        assert client.send(self.expecting() + b"hello") == b""
        waiting.callback(None)
        assert statuses(client.news()) == [200]

    def test_other_expectations_are_417(self) -> None:
        client = Front().connect()
        assert statuses(client.send(request(b"POST / HTTP/1.1", b"Expect: a-pony", b"Content-Length: 5"))) == [417]
        assert client.closed


class TestStatus:
    """Section 15: heads and bodies that must not be there."""

    @pytest.mark.parametrize("status", [204, 304])
    def test_no_length_in_204_and_no_body_in_either(self, status: int) -> None:
        later = Later()
        client = Front(later).connect()
        client.send(GET + GET)
        for _ in range(2):
            later.kept.pop().respond(ResponseHead(status, []), b"")
        first, second = replies(client.news())
        assert first == second
        assert first.body == b""
        assert "transfer-encoding" not in first.fields
        if status == 204:
            assert "content-length" not in first.fields

    def test_error_pages_are_json_for_those_who_prefer_it(self) -> None:
        front = Front(lambda exchange: exchange.refuse(503, "queue-full", "never shown", [("Retry-After", "1")]))
        [reply] = replies(front.exchange(request(b"GET / HTTP/1.1", b"Accept: application/json")))
        assert reply.fields["content-type"] == "application/json"
        assert reply.fields["retry-after"] == "1"
        assert b'"queue-full"' in reply.body
        assert b"never shown" not in reply.body
