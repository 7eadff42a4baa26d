"""RFC 9112, HTTP/1.1, by section: bytes in, bytes out, through a whole connection."""

from __future__ import annotations

import pytest

from tests.transports import Front, Later, Producer, replies, statuses
from tinfront.config.model import Limits
from tinfront.http.message import ResponseHead

GET = b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n"
REASON = "<code>"


def post(body: bytes, *lines: bytes, head: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join((head, b"Host: demo.test", *lines, b"", body))


def refused(data: bytes, limits: Limits | None = None) -> tuple[int, str]:
    """Status and reason code of the one answer, after which the connection must end and understand nothing more."""
    front = Front(limits=limits)
    client = front.connect()
    [reply] = replies(client.send(data))
    assert reply.fields["connection"] == "close"
    assert reply.complete
    assert client.closed
    assert client.send(GET) == b""
    assert len(front.over) == 1
    assert not front.opened
    return reply.status, reply.body.decode().partition("<code>")[2].partition("</code>")[0]


class Taker:
    """Reads a body on its way through, and answers nothing."""

    def feed(self, data: bytes) -> None: ...

    def finish(self) -> None: ...

    def lost(self) -> None: ...


def answered(data: bytes, *methods: str) -> list[int]:
    return statuses(Front().exchange(data), *methods)


class TestMessages:
    """Section 2: parsing and robustness."""

    def test_an_empty_line_before_the_request_line_is_ignored(self) -> None:
        assert answered(b"\r\n" + GET) == [200]
        assert answered(GET + b"\r\n" + GET) == [200, 200]

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\nHost: demo.test\n\n",
            b"GET / HTTP/1.1\r\nHost: demo.test\n\r\n",
            b"GET / HTTP/1.1\r\nHost: demo.test\r\n\n",
            b"GET / HTTP/1.1\nHost: demo.test\r\n\r\n",
        ],
    )
    def test_a_bare_lf_ends_no_line(self, data: bytes) -> None:
        assert refused(data) == (400, "bare-lf")

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\nHost: demo.test\rX: y\r\n\r\n",
            b"GET / HTTP/1.1\r\r\nHost: demo.test\r\n\r\n",
            b"GET /\r HTTP/1.1\r\nHost: demo.test\r\n\r\n",
            b"GET / HTTP/1.1\rHost: demo.test\r\n\r\n",
        ],
    )
    def test_a_bare_cr_is_invalid(self, data: bytes) -> None:
        assert refused(data)[0] == 400

    def test_space_between_the_request_line_and_the_first_field(self) -> None:
        assert refused(b"GET / HTTP/1.1\r\n Host: demo.test\r\n\r\n") == (400, "bad-header")

    @pytest.mark.parametrize("control", [b"\0", b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1b", b"\x7f"])
    def test_controls_are_nowhere_in_a_head(self, control: bytes) -> None:
        for place in (b"G%bT / HTTP/1.1", b"GET /%b HTTP/1.1", b"GET / HTTP/1.1%b"):
            assert refused(place % control + b"\r\nHost: demo.test\r\n\r\n") == (400, "bad-request-line")
        for line in (b"X%b: y", b"X: y%bz", b"%bX: y", b"X:%by"):
            assert refused(post(b"", line % control)) == (400, "bad-header")

    def test_many_empty_lines_are_no_request_and_are_not_kept(self) -> None:
        client = Front().connect()
        assert client.send(b"\r\n" * 50_000) == b""
        assert not client.connection.codec.held
        assert statuses(client.send(GET)) == [200]

    def test_other_protocols(self) -> None:
        assert refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") == (400, "tls-on-plain-port")
        assert refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == (505, "http2-on-plain-port")
        assert refused(b"SSH-2.0-OpenSSH_9.9\r\n\r\n") == (400, "bad-request-line")
        assert refused(b"*1\r\n$4\r\nPING\r\n") == (400, "bad-request-line")
        assert refused(b"\0" * 100) == (400, "bad-request-line")


class TestVersion:
    """Section 2.3: the protocol version."""

    @pytest.mark.parametrize("version", [b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2", b"HTTP/2.0", b"HTTP/3.0"])
    def test_versions_that_are_not_spoken(self, version: bytes) -> None:
        assert refused(b"GET / %b\r\nHost: demo.test\r\n\r\n" % version) == (505, "bad-version")

    @pytest.mark.parametrize("version", [b"http/1.1", b"HTTP/1.1 ", b"HTTP/11", b"HTTP 1.1", b"HTTP/1.01", b"1.1"])
    def test_malformed_versions(self, version: bytes) -> None:
        assert refused(b"GET / %b\r\nHost: demo.test\r\n\r\n" % version) == (400, "bad-request-line")

    def test_http_0_9(self) -> None:
        assert refused(b"GET /\r\n\r\n") == (400, "bad-request-line")


class TestRequestLine:
    """Section 3: method, target, limits."""

    def test_exactly_one_space(self) -> None:
        assert refused(b"GET  / HTTP/1.1\r\nHost: demo.test\r\n\r\n") == (400, "bad-request-line")
        assert refused(b"GET /  HTTP/1.1\r\nHost: demo.test\r\n\r\n") == (400, "bad-request-line")
        assert refused(b"GET\t/\tHTTP/1.1\r\nHost: demo.test\r\n\r\n") == (400, "bad-request-line")
        assert refused(b"GET /a b HTTP/1.1\r\nHost: demo.test\r\n\r\n") == (400, "bad-request-line")

    def test_methods_are_case_sensitive(self) -> None:
        assert refused(b"get / HTTP/1.1\r\nHost: demo.test\r\n\r\n") == (400, "bad-request-line")
        assert answered(b"PURGE / HTTP/1.1\r\nHost: demo.test\r\n\r\n") == [200]

    @pytest.mark.parametrize("method", [b"A" * 33, b"G@T", b"G/T", b"", b"1GET", b"G\xc9T"])
    def test_methods_that_are_none(self, method: bytes) -> None:
        assert refused(b"%b / HTTP/1.1\r\nHost: demo.test\r\n\r\n" % method) == (400, "bad-request-line")

    def test_a_request_line_too_long_is_414(self) -> None:
        assert refused(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: demo.test\r\n\r\n") == (414, "line-too-long")
        assert refused(b"GET /" + b"a" * 50_000) == (414, "line-too-long")


class TestTarget:
    """Section 3.2: the request target and Host."""

    def test_a_host_is_needed(self) -> None:
        assert refused(b"GET / HTTP/1.1\r\n\r\n") == (400, "no-host")
        assert refused(b"GET http://demo.test/ HTTP/1.1\r\n\r\n") == (400, "no-host")
        assert answered(b"GET / HTTP/1.0\r\n\r\n") == [200]

    def test_an_empty_host_is_nobody(self) -> None:
        for line in (b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET http://demo.test/ HTTP/1.1", b"OPTIONS * HTTP/1.1"):
            assert refused(line + b"\r\nHost: \r\n\r\n") == (400, "bad-host")

    def test_one_host_only(self) -> None:
        assert refused(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == (400, "duplicate-header")
        assert refused(b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n") == (400, "duplicate-header")

    @pytest.mark.parametrize(
        "host",
        [
            *(b"a b", b"a/b", b"a@b", b"a:b", b"a:99999", b"[::1", b"a\\b", b"a?", b"a#", b"\xe9", b"%61"),
            *(b"a..b", b".", b"a." * 132, b"a, b", b":80"),
            *(b"[:.:.:]", b"[:::::::::]", b"[1.2.3.4]", b"[12345::]"),
        ],
    )
    def test_a_malformed_host(self, host: bytes) -> None:
        front = Front()
        [reply] = replies(front.exchange(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host))
        assert reply.status == 400
        assert b"bad-host" in reply.body
        assert reply.fields["connection"] == "close"
        assert [exchange.reason for exchange in front.over] == ["bad-host"]

    def test_absolute_form(self) -> None:
        [reply] = replies(Front().exchange(b"GET http://demo.test/a?b HTTP/1.1\r\nHost: demo.test\r\n\r\n"))
        assert reply.body == b"GET /a?b 0\n"
        assert refused(b"GET http://demo.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n") == (400, "host-mismatch")
        assert refused(b"GET ftp://demo.test/ HTTP/1.1\r\nHost: demo.test\r\n\r\n") == (400, "bad-target")
        [reply] = replies(Front().exchange(b"GET http://u@demo.test/ HTTP/1.1\r\nHost: u@demo.test\r\n\r\n"))
        assert reply.status == 400

    def test_authority_form_is_for_connect(self) -> None:
        assert refused(b"GET demo.test:80 HTTP/1.1\r\nHost: demo.test\r\n\r\n") == (400, "bad-target")

    def test_asterisk_form(self) -> None:
        [reply] = replies(Front().exchange(b"OPTIONS * HTTP/1.1\r\nHost: demo.test\r\n\r\n"))
        assert (reply.status, reply.body) == (204, b"")
        assert refused(b"GET * HTTP/1.1\r\nHost: demo.test\r\n\r\n") == (400, "bad-target")

    @pytest.mark.parametrize("target", [b"/%00", b"/a\\b", b"/%2e%2e/a", b"/..", b"/a/../../b", b"/%", b"/%zz", b"/%2"])
    def test_paths_that_are_refused(self, target: bytes) -> None:
        assert refused(b"GET %b HTTP/1.1\r\nHost: demo.test\r\n\r\n" % target) == (400, "bad-target")

    @pytest.mark.parametrize("target", [b"/a%2f..%2fb", b"/a%2F../b", b"/a/%2E%2e%2fb", b"/a%2f/."])
    def test_an_encoded_slash_beside_a_dot_segment_is_refused(self, target: bytes) -> None:
        assert refused(b"GET %b HTTP/1.1\r\nHost: demo.test\r\n\r\n" % target) == (400, "bad-target")

    def test_an_encoded_slash_is_a_slash_for_all_and_the_sent_target_is_kept(self) -> None:
        front = Front()
        [reply] = replies(front.exchange(b"GET /a%2Fb%5Cc HTTP/1.1\r\nHost: demo.test\r\n\r\n"))
        assert reply.body == b"GET /a/b\\c? 0\n"
        assert [exchange.head.target for exchange in front.over] == ["/a%2Fb%5Cc"]

    @pytest.mark.parametrize("target", [b"/#a", b"/\x7f", b"/\xc3\xbc", b"/\0", b'/"a b"'])
    def test_characters_that_are_refused(self, target: bytes) -> None:
        assert refused(b"GET %b HTTP/1.1\r\nHost: demo.test\r\n\r\n" % target) == (400, "bad-request-line")

    @pytest.mark.parametrize(
        ("target", "path"),
        [(b"/a/%2e%2e/b", b"/b"), (b"/a/./b", b"/a/b"), (b"//a", b"//a"), (b"/%41%2541", b"/A%41"), (b"/a/..", b"/")],
    )
    def test_what_is_routed_on_is_what_the_handler_sees(self, target: bytes, path: bytes) -> None:
        [reply] = replies(Front().exchange(b"GET %b HTTP/1.1\r\nHost: demo.test\r\n\r\n" % target))
        assert reply.body == b"GET %b? 0\n" % path


class TestStatusLine:
    """Section 4: what answers begin with."""

    def test_the_version_is_ours_and_the_space_stands_even_without_a_phrase(self) -> None:
        front = Front(lambda exchange: exchange.respond(ResponseHead(299, []), b""))
        assert front.exchange(GET).startswith(b"HTTP/1.1 299 \r\n")
        assert front.exchange(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 299 \r\n")

    def test_a_phrase_of_the_handlers_own(self) -> None:
        front = Front(lambda exchange: exchange.respond(ResponseHead(200, [], reason="Fine"), b""))
        assert front.exchange(GET).startswith(b"HTTP/1.1 200 Fine\r\n")


class TestFields:
    """Section 5: field syntax."""

    @pytest.mark.parametrize(
        "line",
        [
            b"X : y",
            b"X\t: y",
            b" X: y",
            b"X",
            b": y",
            b"X y: z",
            b"X: a\0b",
            b"X\0: a",
            b"X: a\x7f",
            b"X(: y",
            b"\xe9: y",
        ],
    )
    def test_malformed_lines(self, line: bytes) -> None:
        assert refused(b"GET / HTTP/1.1\r\nHost: demo.test\r\n%b\r\n\r\n" % line) == (400, "bad-header")

    def test_line_folding_is_refused(self) -> None:
        assert refused(b"GET / HTTP/1.1\r\nHost: demo.test\r\nX: a\r\n b\r\n\r\n") == (400, "bad-header")
        assert refused(b"GET / HTTP/1.1\r\nHost:\r\n demo.test\r\n\r\n") == (400, "bad-header")

    def test_limits_are_431(self) -> None:
        many = b"".join(b"X-%d: y\r\n" % number for number in range(101))
        assert refused(b"GET / HTTP/1.1\r\nHost: demo.test\r\n%b\r\n" % many) == (431, "too-many-headers")
        assert refused(b"GET / HTTP/1.1\r\nHost: demo.test\r\nX: " + b"a" * 9000 + b"\r\n\r\n") == (
            431,
            "header-too-long",
        )
        assert refused(b"GET / HTTP/1.1\r\nHost: demo.test\r\nX: " + b"a" * 50_000) == (431, "head-too-large")
        some = b"X: " + b"y" * 8000 + b"\r\n"
        assert refused(b"GET / HTTP/1.1\r\nHost: demo.test\r\n" + some * 5 + b"\r\n") == (431, "head-too-large")


class TestTransferEncoding:
    """Section 6.1: Transfer-Encoding."""

    @pytest.mark.parametrize(
        ("value", "status"),
        [
            (b"gzip", 400),
            (b"identity", 400),
            (b"chunked, identity", 400),
            (b"xchunked", 400),
            (b"chunked;a=b", 400),
            (b"", 400),
            (b"\x0bchunked", 400),
            (b"chunked\xa0", 400),
            (b"gzip, chunked", 501),
            (b"chunked, chunked", 501),
        ],
    )
    def test_only_chunked(self, value: bytes, status: int) -> None:
        assert refused(post(b"0\r\n\r\n", b"Transfer-Encoding: " + value))[0] == status

    def test_names_that_could_be_mistaken_for_it(self) -> None:
        for line in (b"Transfer-Encoding : chunked", b"Transfer-Encoding\0: chunked", b"Transfer Encoding: chunked"):
            assert refused(post(b"0\r\n\r\n", line)) == (400, "bad-header")
        [reply] = replies(Front().exchange(post(b"", b"Transfer_Encoding: chunked")))
        assert reply.body == b"POST /? 0\n"

    def test_with_content_length(self) -> None:
        lines = (b"Content-Length: 5", b"Transfer-Encoding: chunked")
        assert refused(post(b"0\r\n\r\n", *lines)) == (400, "length-and-chunked")
        assert refused(post(b"0\r\n\r\n", *reversed(lines))) == (400, "length-and-chunked")

    def test_twice(self) -> None:
        lines = (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity")
        assert refused(post(b"0\r\n\r\n", *lines)) == (400, "duplicate-header")

    def test_in_http_1_0(self) -> None:
        data = post(b"0\r\n\r\n", b"Transfer-Encoding: chunked", head=b"POST / HTTP/1.0")
        assert refused(data) == (400, "chunked-in-1.0")

    def test_none_is_sent_to_http_1_0(self) -> None:
        front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), Producer(b"abc", finish=True)))
        client = front.connect()
        [reply] = replies(client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
        assert reply.body == b"abc"
        assert "transfer-encoding" not in reply.fields
        assert reply.fields["connection"] == "close"
        assert client.closed


class TestContentLength:
    """Section 6.2: Content-Length."""

    @pytest.mark.parametrize(
        "value",
        [b"", b"+5", b"-5", b"5,5", b"5, 5", b"0x5", b"5 5", b"5.0", b"1e3", b"\xb2", b"5_0", b"9" * 19, b"a"],
    )
    def test_malformed(self, value: bytes) -> None:
        assert refused(post(b"hello", b"Content-Length: " + value)) == (400, "bad-length")

    def test_twice(self) -> None:
        for second in (b"5", b"6"):
            lines = (b"Content-Length: 5", b"Content-Length: " + second)
            assert refused(post(b"hello", *lines)) == (400, "duplicate-header")

    def test_over_the_limit_it_is_413_before_anything_is_read(self) -> None:
        front = Front()
        client = front.connect()
        [reply] = replies(client.send(post(b"hello", b"Content-Length: 999999999999999999")))
        assert reply.status == 413
        assert reply.fields["connection"] == "close"
        assert client.lingering
        assert [exchange.reason for exchange in front.over] == ["body-too-large"]

    def test_bodies(self) -> None:
        data = Front().exchange(post(b"hello" + GET, b"Content-Length: 5"))
        assert [reply.body for reply in replies(data)] == [b"POST /? 5\nhello", b"GET /? 0\n"]
        assert answered(post(GET, b"Content-Length: 0")) == [200, 200]

    def test_a_get_may_have_a_body(self) -> None:
        [reply] = replies(Front().exchange(post(b"hello", b"Content-Length: 5", head=b"GET / HTTP/1.1")))
        assert reply.body == b"GET /? 5\nhello"


class TestMessageBodyLength:
    """Section 6.3: what is not complete is not acted upon."""

    def test_an_incomplete_body_reaches_no_handler(self) -> None:
        front = Front()
        client = front.connect()
        assert client.send(post(b"hel", b"Content-Length: 5")) == b""
        client.end()
        assert client.closed
        assert not front.opened
        assert [(exchange.status, exchange.reason) for exchange in front.over] == [(499, "client-gone")]

    def test_no_body_in_answers_to_head_and_in_204_and_304(self) -> None:
        assert answered(post(b"", head=b"HEAD / HTTP/1.1") + GET, "HEAD", "GET") == [200, 200]
        for status in (204, 304):
            front = Front(lambda exchange, status=status: exchange.respond(ResponseHead(status, []), b"nothing"))
            client = front.connect()
            assert statuses(client.send(GET + GET)) == [status, status]
            assert b"nothing" not in client.transport.out

    def test_a_producer_for_head_is_stopped_unheard(self) -> None:
        producer = Producer(b"abc", finish=True)
        front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), producer))
        data = front.exchange(post(b"", head=b"HEAD / HTTP/1.1"))
        assert data.endswith(b"\r\n\r\n")
        assert producer.told == ["stop"]


class TestChunked:
    """Section 7.1: the chunked coding."""

    def test_it_is_decoded(self) -> None:
        body = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: y\r\n\r\n"
        [reply] = replies(Front().exchange(post(body, b"Transfer-Encoding: chunked")))
        assert reply.body == b"POST /? 6\nhello!"

    def test_trailers_are_dropped(self) -> None:
        seen: list[dict[str, str]] = []
        front = Front(
            lambda exchange: (seen.append(exchange.head.fields), exchange.respond(ResponseHead(204, []), b""))
        )
        front.exchange(post(b"0\r\nX-Trailer: y\r\n\r\n", b"Transfer-Encoding: chunked"))
        assert seen == [{"host": "demo.test", "transfer-encoding": "chunked"}]

    @pytest.mark.parametrize(
        "body",
        [
            b"5 \r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"-1\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5;\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"\r\n5\r\nhello\r\n0\r\n\r\n",
            b"FFFFFFFFFFFFFFFFF\r\n",
            b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n",
            b"5;\r\nhello\r\n0\r\n\r\n",
            b"5;a b\r\nhello\r\n0\r\n\r\n",
            b'5;a="b\r\nhello\r\n0\r\n\r\n',
            b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            b"5;a\0\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhell\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"0 \r\n\r\n",
            b"g\r\n",
        ],
    )
    def test_malformed_chunks(self, body: bytes) -> None:
        assert refused(post(body, b"Transfer-Encoding: chunked")) == (400, "bad-chunk")

    def test_extensions_that_outweigh_the_body_are_refused(self) -> None:
        body = (b"1;" + b"e" * 200 + b"\r\nx\r\n") * 200
        assert refused(post(body, b"Transfer-Encoding: chunked")) == (400, "bad-chunk")

    @pytest.mark.parametrize(
        "trailer", [b"X", b"X : y", b" X: y", b"X: y\r\n z", b"X: \0", b"X: y\nZ: a", b"X: " + b"y" * 9000]
    )
    def test_malformed_trailers(self, trailer: bytes) -> None:
        body = b"0\r\n%b\r\n\r\n" % trailer
        assert refused(post(body, b"Transfer-Encoding: chunked")) == (400, "bad-trailer")

    def test_a_chunk_beyond_the_limit_is_413(self) -> None:
        assert refused(post(b"FFFFFFFFFFFFFFF\r\n" + b"a" * (1 << 20 | 1), b"Transfer-Encoding: chunked")) == (
            413,
            "body-too-large",
        )

    @pytest.mark.parametrize(
        "name",
        [
            *(b"Content-Length", b"transfer-encoding", b"HOST", b"Trailer", b"TE", b"Connection", b"Upgrade"),
            *(b"Authorization", b"Proxy-Authorization", b"Cookie", b"Expect", b"Max-Forwards", b"Content-Type"),
            *(b"Forwarded", b"X-Forwarded-For", b"X-Forwarded-Proto", b"Content_Length"),
            *(b"X-Forwarded-Prefix", b"X-Forwarded-Ssl", b"X-Scheme", b"X-Forwarded-Server"),
        ],
    )
    def test_trailers_that_frame_or_route_are_refused(self, name: bytes) -> None:
        body = b"0\r\n%b: 5\r\n\r\n" % name
        assert refused(post(body, b"Transfer-Encoding: chunked")) == (400, "bad-trailer")

    def test_it_is_encoded(self) -> None:
        front = Front(
            lambda exchange: exchange.respond(ResponseHead(200, []), Producer(b"abc", b"d" * 26, finish=True))
        )
        client = front.connect()
        first, second = replies(client.send(GET + GET))
        assert first.fields["transfer-encoding"] == "chunked"
        assert (first.body, first.complete) == (b"abc" + b"d" * 26, True)
        assert second == first


class TestIncomplete:
    """Section 8: what is cut can be seen to be cut."""

    def test_a_chunked_answer_lacks_its_last_chunk(self) -> None:
        producer = Producer(b"abc")
        front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), producer))
        client = front.connect()
        data = client.send(GET + GET)
        producer.outbox.fail("app-failed")
        [reply] = replies(data + client.news())
        assert (reply.body, reply.complete) == (b"abc", False)
        assert client.closed

    def test_an_answer_of_known_length_is_short(self) -> None:
        producer = Producer(b"abc")
        front = Front(lambda exchange: exchange.respond(ResponseHead(200, [], 10), producer))
        client = front.connect()
        data = client.send(GET)
        producer.outbox.finish()
        [reply] = replies(data + client.news())
        assert (reply.body, reply.complete) == (b"abc", False)
        assert client.closed
        assert [exchange.reason for exchange in front.over] == ["bad-length"]

    def test_one_that_ends_with_the_connection_is_reset(self) -> None:
        producer = Producer(b"abc")
        front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), producer))
        client = front.connect()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        producer.outbox.fail("app-failed")
        client.news()
        assert "abort" in client.transport.calls
        assert "close" not in client.transport.calls


class TestPersistence:
    """Section 9.3: connection management."""

    def test_http_1_1_persists(self) -> None:
        client = Front().connect()
        for _ in range(3):
            [reply] = replies(client.send(GET))
            assert "connection" not in reply.fields
        assert not client.closed

    def test_close(self) -> None:
        client = Front().connect()
        [reply] = replies(client.send(post(b"", b"Connection: close", head=b"GET / HTTP/1.1")))
        assert reply.fields["connection"] == "close"
        assert client.closed
        assert not client.lingering

    def test_http_1_0(self) -> None:
        client = Front().connect()
        [reply] = replies(client.send(b"GET / HTTP/1.0\r\n\r\n"))
        assert reply.fields["connection"] == "close"
        assert client.closed
        client = Front().connect()
        for _ in range(2):
            [reply] = replies(client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
            assert reply.fields["connection"] == "keep-alive"
        assert not client.closed

    def test_what_is_behind_close_is_not_read(self) -> None:
        front = Front()
        client = front.connect()
        data = client.send(post(b"", b"Connection: close", head=b"GET / HTTP/1.1") + GET)
        assert statuses(data + client.send(GET)) == [200]
        assert len(front.over) == 1
        assert client.lingering

    def test_the_number_of_requests_is_bounded(self) -> None:
        client = Front(limits=Limits(keepalive_requests=3)).connect()
        found = replies(client.send(GET * 5))
        assert [reply.fields.get("connection") for reply in found] == [None, None, "close"]
        assert client.closed


class TestPipelining:
    """Section 9.3.2: answers leave in the order of their requests."""

    def test_in_one_packet(self) -> None:
        data = b"".join(b"GET /%d HTTP/1.1\r\nHost: demo.test\r\n\r\n" % number for number in range(50))
        found = replies(Front().exchange(data))
        assert [reply.body for reply in found] == [b"GET /%d? 0\n" % number for number in range(50)]

    def test_only_one_is_with_a_handler(self) -> None:
        later = Later()
        front = Front(later)
        client = front.connect()
        data = b"".join(b"GET /%d HTTP/1.1\r\nHost: demo.test\r\n\r\n" % number for number in range(3))
        assert client.send(data) == b""
        for number in range(3):
            [exchange] = later.kept
            assert exchange.head.path == f"/{number}"
            later.answer(body=b"%d" % number)
            [reply] = replies(client.news())
            assert reply.body == b"%d" % number

    def test_an_error_behind_good_requests_is_answered_in_its_turn(self) -> None:
        later = Later()
        client = Front(later).connect()
        client.send(GET + b"BROKEN\r\n\r\n" + GET)
        later.answer()
        assert statuses(client.news()) == [200, 400]
        assert not later.kept


class TestTimeouts:
    """Section 9.5: who does not go on is told so where an answer can still be given."""

    def test_a_head_that_does_not_come_is_408(self, monkeypatch: pytest.MonkeyPatch) -> None:
        front = Front().freeze(monkeypatch)
        client = front.connect()
        client.send(b"GET /half HTTP/1.1\r\nHo")
        front.pass_time(front.limits.head_timeout + 2)
        assert statuses(client.news()) == [408]
        assert client.closed
        [exchange] = front.over
        assert (exchange.head.method, exchange.head.target, exchange.reason) == ("GET", "/half", "head-timeout")


class TestTearDown:
    """Section 9.6: closing so that the client can read the answer."""

    def test_what_still_comes_is_read_and_dropped(self) -> None:
        front = Front()
        client = front.connect()
        [reply] = replies(client.send(post(b"x" * 10, b"Content-Length: 5000000")))
        assert reply.status == 413
        assert client.transport.eof
        assert not client.transport.closing
        assert client.send(b"x" * 100_000) == b""
        client.end()
        assert client.transport.closing

    def test_tls_has_no_half_close(self) -> None:
        front = Front()
        client = front.connect(secure=True)
        client.send(post(b"x" * 10, b"Content-Length: 5000000"))
        assert client.lingering
        assert "write_eof" not in client.transport.calls
        assert not client.transport.closing

    def test_it_ends_when_nothing_comes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        front = Front().freeze(monkeypatch)
        client = front.connect()
        client.send(post(b"x" * 10, b"Content-Length: 5000000"))
        front.pass_time(front.limits.linger_timeout + 2)
        assert client.transport.calls[-1] == "abort"

    def test_it_ends_when_too_much_comes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        front = Front().freeze(monkeypatch)
        client = front.connect()
        client.send(post(b"x" * 10, b"Content-Length: 5000000"))
        for _ in range(int(front.limits.linger_time)):
            assert not client.transport.closing
            client.send(b"x")
            front.pass_time(1)
        front.pass_time(1)
        assert client.transport.calls[-1] == "abort"


class TestSmuggling:
    """Section 11.2: behind a request whose end is in doubt there is no other request."""

    @pytest.mark.parametrize(
        "data",
        [
            post(b"0\r\n\r\n", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
            post(b"hello", b"Content-Length: 5", b"Content-Length: 0"),
            post(b"hello", b"Content-Length: 5, 0"),
            post(b"0\r\n\r\n", b"Transfer-Encoding: chunked, identity"),
            post(b"0\r\n\r\n", b"Transfer-Encoding : chunked"),
            post(b"0\r\n\r\n", b"Transfer-Encoding: chunked", head=b"POST / HTTP/1.0"),
            post(b"0\n\n", b"Transfer-Encoding: chunked"),
            post(b"1;\n\r\n\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"),
            post(b"0\r\nContent-Length: 40\r\n\r\n", b"Transfer-Encoding: chunked"),
            b"GET / HTTP/1.1\nHost: demo.test\n\n",
            b"GET / HTTP/1.1\r\nHost: demo.test\r\nX:\r\n Y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: demo.test\r\nHost: demo.test\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: de mo.test\r\n\r\n",
            b"GET /%00 HTTP/1.1\r\nHost: demo.test\r\n\r\n",
            b"CONNECT demo.test:443 HTTP/1.1\r\nHost: demo.test\r\n\r\n",
            b"GET /\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
    )
    @pytest.mark.parametrize("size", [1, 17, 10_000])
    def test_nothing_behind_what_was_refused_is_answered(self, data: bytes, size: int) -> None:
        front = Front()
        client = front.connect()
        stream = data + GET * 3
        out = client.send(*(stream[at : at + size] for at in range(0, len(stream), size)))
        [reply] = replies(out)
        assert reply.status in (400, 405, 505)
        assert reply.fields["connection"] == "close"
        assert len(front.over) == 1
        assert not front.opened

    @pytest.mark.parametrize("size", [1, 3, 100, 10_000])
    @pytest.mark.parametrize(
        "request_",
        [post(b"hello", b"Content-Length: 5"), post(b"5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked")],
    )
    def test_one_that_was_answered_before_its_body_was_there_is_the_last(self, request_: bytes, size: int) -> None:
        early = Front(lambda exchange: exchange.respond(ResponseHead(204, []), b""))
        early.route.streams = True
        filtered = Front()
        filtered.route.request_filters = (lambda _: (ResponseHead(401, []), b""),)
        stream = request_ + GET * 3
        for front, status in ((early, 204), (filtered, 401)):
            client = front.connect()
            [reply] = replies(client.send(*(stream[at : at + size] for at in range(0, len(stream), size))))
            assert (reply.status, reply.fields["connection"]) == (status, "close")
            assert client.closed
            assert len(front.over) == 1

    def test_one_whose_body_had_come_is_not(self) -> None:
        front = Front(later := Later())
        front.route.streams = True
        client = front.connect()
        client.send(post(b"hello", b"Content-Length: 5"))
        later.answer()
        [reply] = replies(client.news())
        assert "connection" not in reply.fields
        assert not client.closed

    @pytest.mark.parametrize("size", [1, 3, 100, 10_000])
    @pytest.mark.parametrize(
        "request_",
        [
            post(b"a" * 200, b"Content-Length: 200"),
            post(b"c8\r\n" + b"a" * 200 + b"\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"),
        ],
    )
    @pytest.mark.parametrize("streams", [False, True])
    def test_one_over_the_limit_is_the_last_in_whatever_packets(
        self, request_: bytes, size: int, streams: bool
    ) -> None:
        front = Front(lambda exchange: exchange.body.read(Taker()))
        front.route.body_limit = 100
        front.route.streams = streams
        client = front.connect()
        stream = request_ + GET * 3
        [reply] = replies(client.send(*(stream[at : at + size] for at in range(0, len(stream), size))))
        assert (reply.status, reply.fields["connection"]) == (413, "close")
        assert client.closed
        assert [exchange.reason for exchange in front.over] == ["body-too-large"]


class TestSplitting:
    """Section 11.1: a handler cannot say more than one answer."""

    @pytest.mark.parametrize("line", [b"GET /%0d%0aSet-Cookie:a HTTP/1.1", b"GET /a?%0d%0aX:%20y HTTP/1.1"])
    def test_line_ends_of_a_target_do_not_come_back_as_such(self, line: bytes) -> None:
        front = Front(lambda exchange: exchange.refuse(404, "not-found", exchange.head.path))
        head = front.exchange(post(b"", head=line)).partition(b"\r\n\r\n")[0]
        assert b"Set-Cookie" not in head
        assert b"X:" not in head
