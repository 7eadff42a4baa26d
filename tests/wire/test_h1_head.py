from __future__ import annotations

import pytest

from tinfront.errors import ProtocolError
from tinfront.http.message import RequestHead
from tinfront.wire import h1_head
from tinfront.wire.h1_head import HeadLimits, HeadParser, request_line


def parse(text: str, limits: HeadLimits | None = None) -> RequestHead:
    """``text`` with LF for CRLF."""
    return HeadParser(limits or HeadLimits()).parse(text.replace("\n", "\r\n").encode("latin-1"))


def refused(text: str, limits: HeadLimits | None = None) -> tuple[int, str]:
    with pytest.raises(ProtocolError) as caught:
        parse(text, limits)
    return caught.value.status, caught.value.reason


def with_line(line: str) -> str:
    return f"POST / HTTP/1.1\nHost: demo.test\n{line}"


def test_a_whole_head() -> None:
    head = parse("GET /a%20b?c=d HTTP/1.1\nHost: Demo.Test:80\nX-Empty:\nAccept:\t a , b \t\nCOOKIE: x=1")
    assert (head.method, head.target, head.version) == ("GET", "/a%20b?c=d", "HTTP/1.1")
    assert (head.path, head.query, head.authority) == ("/a b", "c=d", "Demo.Test:80")
    assert head.fields == {"host": "Demo.Test:80", "x-empty": "", "accept": "a , b", "cookie": "x=1"}
    assert (head.length, head.expects_continue) == (0, False)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / a HTTP/1.1",
        "get / HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\xe9 HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTPS/1.1",
        "A" * 34 + " / HTTP/1.1",
    ],
)
def test_malformed_request_lines(line: str) -> None:
    assert refused(f"{line}\nHost: a") == (400, "bad-request-line")


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/2", "HTTP/9.9"])
def test_other_versions(version: str) -> None:
    assert refused(f"GET / {version}\nHost: a") == (505, "bad-version")


def test_the_preface_of_http_2_has_an_answer_of_its_own() -> None:
    assert refused("PRI * HTTP/2.0") == (505, "http2-on-plain-port")
    assert refused("PRI / HTTP/2.0") == (505, "bad-version")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"GET /a HTTP/1.1\r\nX", ("GET", "/a", "HTTP/1.1")),
        (b"Get /a b HTTP/2\n", ("Get", "/a b", "HTTP/2")),
        (b"get / HTTP/1.1\r\n", ("-", "-", "-")),  # its first byte is refused, whatever follows
        (b"GET /\xe9\x00\r HTTP/1.1\n", ("GET", "/\xe9\x00\r", "HTTP/1.1")),
        (b"GET /\r\n", ("GET", "/", "-")),
        (b"GET /a HTTP/1.1\x00\r\n", ("GET", "/a HTTP/1.1\x00", "-")),
        (b"GET /half", ("GET", "/half...", "-")),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n", ("GET", "/" + "a" * 507 + "...", "-")),
        (b"GET", ("-", "-", "-")),
        (b"GET \r\n", ("-", "-", "-")),
        (b"G\x00T / HTTP/1.1\r\n", ("-", "-", "-")),
        (b'G"T / HTTP/1.1\r\n', ("-", "-", "-")),
        (b"A" * 33 + b" / HTTP/1.1\r\n", ("-", "-", "-")),
        (b"\x16\x03\x01\x02", ("-", "-", "-")),
        (b"", ("-", "-", "-")),
    ],
)
def test_what_the_logs_show_of_a_refused_head(data: bytes, shown: tuple[str, str, str]) -> None:
    assert request_line(data) == request_line(bytearray(data)) == shown


@pytest.mark.parametrize("line", ["TRACE / HTTP/1.1", "CONNECT a:443 HTTP/1.1", "CONNECT / HTTP/1.1"])
def test_methods_that_are_never_served(line: str) -> None:
    assert refused(f"{line}\nHost: a") == (405, "method-not-allowed")


def test_methods_that_only_begin_like_them_are_anybodys() -> None:
    assert parse("TRACER / HTTP/1.1\nHost: a").method == "TRACER"
    assert parse("VERSION-CONTROL / HTTP/1.1\nHost: a").method == "VERSION-CONTROL"


@pytest.mark.parametrize(
    "line",
    [
        "",
        ":",
        ": a",
        "a",
        "a : b",
        "a\t: b",
        " a: b",
        "\ta: b",
        "a: b\n c",  # obs-fold
        "a: b\n\tc",
        "a: b\rc",
        "a: b\x0bc",
        "a: \x00",
        "a: \x7f",
        "a\x00: b",
        "a(b): c",
        "a\xe9: b",
        "a b: c",
        '"a": b',
    ],
)
def test_malformed_field_lines(line: str) -> None:
    assert refused(with_line(line)) == (400, "bad-header")


def test_a_bare_lf_is_no_line_end() -> None:
    with pytest.raises(ProtocolError, match="header line"):
        HeadParser(HeadLimits()).parse(b"GET / HTTP/1.1\r\nHost: a\nX: b")


def test_obs_text_in_values_is_kept_as_latin_1() -> None:
    assert parse(with_line("X: caf\xe9 \xa0")).fields["x"] == "caf\xe9 \xa0"


# --- names


@pytest.mark.parametrize("line", ["X_Y: 1", "Content_Length: 5", "Transfer_Encoding: chunked", "Proxy: a", "_: b"])
def test_names_that_an_environ_could_confuse_reach_nobody(line: str) -> None:
    head = parse(with_line(line))
    assert head.fields == {"host": "demo.test"}
    assert head.length == 0


def test_repeated_fields_are_joined() -> None:
    head = parse(with_line("Accept: a\nX: 1\nCookie: a=1\naccept: b\nCookie: b=2\nX_Y: 1\nX_Z: 2"))
    assert head.fields == {"host": "demo.test", "accept": "a, b", "x": "1", "cookie": "a=1; b=2"}


@pytest.mark.parametrize("name", sorted(h1_head.SINGLE - {"transfer-encoding", "content-length"}))
def test_fields_that_may_stand_there_once(name: str) -> None:
    value = "demo.test" if name == "host" else "100-continue" if name == "expect" else "a"
    twice = f"{name}: {value}\n{name.title()}: {value}"
    assert refused(f"GET / HTTP/1.1\n{twice}" if name == "host" else with_line(twice)) == (400, "duplicate-header")


# --- framing


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ("Content-Length: 0", 0),
        ("Content-Length:5", 5),
        ("Content-Length: 005 ", 5),
        ("Content-Length: 999999999999999999", 999999999999999999),
        ("Transfer-Encoding: chunked", None),
        ("Transfer-Encoding: ChunKed\t", None),
    ],
)
def test_lengths(lines: str, length: int | None) -> None:
    assert parse(with_line(lines)).length == length


@pytest.mark.parametrize(
    "value",
    ["", "+5", "-5", "-0", "5, 5", "5,5", "0x5", "5.0", "5e1", "5_0", "5 5", "\xb2", "a", "1" * 19, "5;", "\x0b5"],
)
def test_malformed_lengths(value: str) -> None:
    status, reason = refused(with_line(f"Content-Length: {value}"))
    assert (status, reason) in {(400, "bad-length"), (400, "bad-header")}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("Content-Length: 5\nContent-Length: 5", (400, "duplicate-header")),
        ("Content-Length: 5\nContent-Length: 6", (400, "duplicate-header")),
        ("Transfer-Encoding: chunked\nTransfer-Encoding: chunked", (400, "duplicate-header")),
        ("Transfer-Encoding: gzip\nTransfer-Encoding: chunked", (400, "duplicate-header")),
        ("Content-Length: 5\nTransfer-Encoding: chunked", (400, "length-and-chunked")),
        ("Transfer-Encoding: chunked\nContent-Length: 0", (400, "length-and-chunked")),
        ("Transfer-Encoding: identity\nContent-Length: 5", (400, "length-and-chunked")),
        ("Transfer-Encoding:", (400, "bad-transfer-encoding")),
        ("Transfer-Encoding: identity", (400, "bad-transfer-encoding")),
        ("Transfer-Encoding: xchunked", (400, "bad-transfer-encoding")),
        ("Transfer-Encoding: chunked;q=1", (400, "bad-transfer-encoding")),
        ("Transfer-Encoding: chunked, gzip", (400, "bad-transfer-encoding")),
        ("Transfer-Encoding: chunked\xa0", (400, "bad-transfer-encoding")),
        ("Transfer-Encoding: \x0bchunked", (400, "bad-header")),
        ('Transfer-Encoding: "chunked"', (400, "bad-transfer-encoding")),
        ("Transfer-Encoding: gzip, chunked", (501, "unknown-transfer-encoding")),
        ("Transfer-Encoding: chunked, chunked", (501, "unknown-transfer-encoding")),
        ("Transfer-Encoding: ,chunked", (501, "unknown-transfer-encoding")),
        ("Transfer-Encoding : chunked", (400, "bad-header")),
    ],
)
def test_doubtful_framing(lines: str, expected: tuple[int, str]) -> None:
    assert refused(with_line(lines)) == expected


def test_http_1_0_knows_no_transfer_encoding() -> None:
    assert refused("POST / HTTP/1.0\nTransfer-Encoding: chunked") == (400, "chunked-in-1.0")


# --- host


def test_http_1_1_needs_a_host_and_1_0_does_not() -> None:
    assert refused("GET / HTTP/1.1") == (400, "no-host")
    assert refused("GET http://demo.test/ HTTP/1.1") == (400, "no-host")
    assert parse("GET / HTTP/1.0").authority == ""
    for text in ("GET / HTTP/1.1", "GET / HTTP/1.0", "GET http:/// HTTP/1.1", "OPTIONS * HTTP/1.1"):
        assert refused(f"{text}\nHost: ")[0] == 400
    assert refused("GET / HTTP/1.1\nHost:") == refused("GET http://a/ HTTP/1.1\nHost:\t") == (400, "bad-host")


def test_an_absolute_target_and_host_must_agree() -> None:
    head = parse("GET http://Demo.test/a HTTP/1.1\nHost: demo.test")
    assert (head.authority, head.path, head.target) == ("Demo.test", "/a", "http://Demo.test/a")
    assert refused("GET http://demo.test/ HTTP/1.1\nHost: evil.test") == (400, "host-mismatch")
    assert refused("GET http://demo.test/ HTTP/1.1\nHost: demo.test:80") == (400, "host-mismatch")
    head = parse("GET http://demo.test/ HTTP/1.0")
    assert head.fields == {"host": "demo.test"}


# --- expectations


def test_expect() -> None:
    assert parse(with_line("Expect: 100-Continue\nContent-Length: 5")).expects_continue
    assert parse(with_line("Expect: 100-continue\nTransfer-Encoding: chunked")).expects_continue
    assert not parse(with_line("Expect: 100-continue")).expects_continue  # RFC 9110 section 10.1.1: no content
    assert not parse("POST / HTTP/1.0\nExpect: 100-continue\nContent-Length: 5").expects_continue
    assert refused(with_line("Expect: 200-ok")) == (417, "unknown-expectation")


# --- limits


def test_limits() -> None:
    limits = HeadLimits(line=40, field=30, head=1000, fields=3)
    line = "GET /" + "a" * 26 + " HTTP/1.1"
    assert len(line) == 40
    assert parse(f"{line}\nHost: a\nX: {'b' * 27}\nY: c", limits)
    assert refused(f"{line.replace('/', '/a')}\nHost: a", limits) == (414, "line-too-long")
    assert refused(f"{line}\nHost: a\nX: {'b' * 28}", limits) == (431, "header-too-long")
    assert refused(f"{line}\nHost: a\nX: b\nY: b\nZ: b", limits) == (431, "too-many-headers")
    assert refused("GET / HTTP/1.1\n" + "X: \n" * 3 + "Host: a", limits) == (431, "too-many-headers")


def test_hostile_values_cost_one_pass() -> None:
    limits = HeadLimits(field=1 << 20)
    assert refused(with_line("X:" + "\t " * 200_000 + "\x7f"), limits) == (400, "bad-header")
    assert refused("GET " + "/a" * 200_000 + "\x7f HTTP/1.1\nHost: a", HeadLimits(line=1 << 20))[0] == 400


# --- the memo


def test_only_harmless_lines_are_remembered() -> None:
    parser = HeadParser(HeadLimits())
    text = (
        "GET / HTTP/1.1\nHost: demo.test\nUser-Agent: me\nCookie: a\nAuthorization: b\nReferer: c\nX-Forwarded-For: d\n"
        "If-None-Match: e\nRange: f\nX-Unknown: g\nX_Y: h\nAccept: " + "i" * 300 + "\nContent-Length: 0"
    )
    for _ in range(2):
        head = parser.parse(text.replace("\n", "\r\n").encode())
        assert head.fields["cookie"] == "a"
        assert "x_y" not in head.fields
    assert set(parser._memo) == {"Host: demo.test", "User-Agent: me"}


def test_the_memo_is_bounded() -> None:
    parser = HeadParser(HeadLimits())
    for number in range(h1_head._MEMO_ENTRIES + 10):
        parser.parse(b"GET / HTTP/1.1\r\nHost: h%d" % number)
    assert 0 < len(parser._memo) <= h1_head._MEMO_ENTRIES


def test_a_remembered_line_is_as_strict_as_the_first() -> None:
    parser = HeadParser(HeadLimits())
    for _ in range(3):
        with pytest.raises(ProtocolError, match="twice"):
            parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a")
        with pytest.raises(ProtocolError, match="malformed"):
            parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nAccept : a")


def test_an_empty_host_is_not_remembered_as_a_good_one() -> None:
    parser = HeadParser(HeadLimits())
    for _ in range(4):
        with pytest.raises(ProtocolError, match="empty"):
            parser.parse(b"GET / HTTP/1.1\r\nHost:\r\nAccept: a")
