"""The PROXY protocol: bytes in, addresses out."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.wire.proxy import V1_MAX, V2_MAX, Announcement, NotAnnounced, read

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"


def v2(block, command=0x21, kind=0x11, length=None):
    return SIGNATURE + bytes([command, kind]) + struct.pack("!H", len(block) if length is None else length) + block


INET = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack("!HH", 56324, 443)
INET6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    + struct.pack("!HH", 1, 65535)
)
UNIX = b"/run/client".ljust(108, b"\0") + b"/run/front.sock".ljust(108, b"\0")


def tlv(kind, value):
    return bytes([kind]) + struct.pack("!H", len(value)) + value


SSL = bytes([0x01]) + bytes(4) + tlv(0x21, b"TLSv1.3") + tlv(0x23, b"TLS_AES_128_GCM_SHA256")

HEADERS = {
    V1: (("192.0.2.1", 56324), ("198.51.100.2", 443)),
    b"PROXY TCP6 2001:DB8::1 ::ffff:10.0.0.1 0 65535\r\n": (("2001:db8::1", 0), ("10.0.0.1", 65535)),
    b"PROXY TCP6 ffff:f...f:ffff".replace(b"f...f", b"0:0:0:0:0:0") + b" ::1 1 2\r\n": (("ffff::ffff", 1), ("::1", 2)),
    b"PROXY UNKNOWN\r\n": (None, None),
    b"PROXY UNKNOWN ffff::1 whatever 99999 x\r\n": (None, None),
    v2(INET): (("192.0.2.1", 56324), ("198.51.100.2", 443)),
    v2(INET + b"\x04\0\x03abc"): (("192.0.2.1", 56324), ("198.51.100.2", 443)),  # and something after it
    v2(INET + bytes(V2_MAX - 16 - len(INET))): (("192.0.2.1", 56324), ("198.51.100.2", 443)),
    v2(INET6, kind=0x21): (("2001:db8::1", 1), ("2001:db8::2", 65535)),
    v2(UNIX, kind=0x31): (("", 0), ("/run/front.sock", 0)),
    v2(b"", command=0x20, kind=0): (None, None),
    v2(INET, command=0x20): (None, None),  # LOCAL: the addresses mean nothing
    v2(b"x" * 7, command=0x20, kind=0xFF): (None, None),
    v2(b"", kind=0): (None, None),
    v2(b"whatever", kind=0): (None, None),
}
SECURE = {
    v2(INET + tlv(0x20, SSL)): True,
    v2(INET + tlv(0x01, b"h2") + tlv(0x20, b"\x07" + bytes(4)) + tlv(0x04, b"")): True,
    v2(INET6 + tlv(0x20, SSL), kind=0x21): True,
    v2(UNIX + tlv(0x20, SSL), kind=0x31): True,
    v2(INET + tlv(0x20, b"\x06" + bytes(4))): False,  # a certificate, but no TLS
    v2(INET + tlv(0x21, SSL)): False,  # it has a meaning within the other only
    v2(INET): False,
    v2(INET + tlv(0x20, SSL), command=0x20): False,  # LOCAL: the proxy itself
    v2(tlv(0x20, SSL), kind=0): False,
    V1: False,
}


@pytest.mark.parametrize("header", SECURE)
def test_whether_the_client_came_by_tls(header):
    assert read(header + b"x").secure is SECURE[header]
    assert [read(header[:size]) for size in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", V1])
def test_headers(header, rest):
    assert read(header + rest) == Announcement(len(header), *HEADERS[header])


@pytest.mark.parametrize("header", HEADERS)
def test_any_split_gives_the_same(header):
    assert [read(header[:size]) for size in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"proxy TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY  TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 x\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        b"PROXY TCP4 192.0.2.1\t198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 ::1 ::1 56324 443\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY TCP6 1:::1 ::1 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY UNKNOWN \0\r\n",
        b"PROXY UNKNOWN \n\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"x" * V1_MAX,
        b"PROXY UNKNOWN " + b"x" * (V1_MAX - 14) + b"\r\n",
        SIGNATURE + b"\x11",
        SIGNATURE + b"\x22",
        SIGNATURE + b"\x21\x12",  # a datagram
        SIGNATURE + b"\x21\x01",
        SIGNATURE + b"\x21\x41",
        v2(INET[:-1]),
        v2(INET, kind=0x21),
        v2(UNIX[:-1], kind=0x31),
        v2(b"", length=V2_MAX - 15),
        v2(INET + b"\x04"),
        v2(INET + b"\x04\0"),
        v2(INET + b"\x04\0\1"),
        v2(INET + tlv(0x04, b"") + b"\x04\xff\xffabc"),
        v2(INET6 + b"\x04", kind=0x21),
        v2(UNIX + b"\x04", kind=0x31),
        v2(INET + tlv(0x20, b"")),
        v2(INET + tlv(0x20, b"\x01\0\0\0")),
        v2(INET + tlv(0x20, SSL + b"\x22")),
        v2(INET + tlv(0x20, SSL) * 2),
        v2(b"", command=0x20, length=65535),
    ],
)
def test_what_is_no_header(data):
    with pytest.raises(NotAnnounced):
        read(data)
    seen = [outcome(data[:size]) for size in range(len(data) + 1)]
    begins = seen.index("no")
    assert set(seen[:begins]) == {None}  # it is never one on the way
    assert set(seen[begins:]) == {"no"}


def outcome(data):
    try:
        return read(data)
    except NotAnnounced:
        return "no"


def test_a_line_of_the_greatest_length():
    line = b"PROXY UNKNOWN " + b"x" * (V1_MAX - 16) + b"\r\n"
    assert len(line) == V1_MAX
    assert read(line) == Announcement(V1_MAX)


def test_a_path_cannot_break_out_of_a_log_line():
    block = b"\0" * 108 + b"a\nb\x1b\xe4".ljust(108, b"\0")
    assert read(v2(block, kind=0x31)).destination == ("a?b?\xe4", 0)


_BLOCKS = st.one_of(st.binary(max_size=300), st.just(INET), st.just(INET6), st.just(UNIX))


@given(
    st.one_of(
        st.binary(max_size=64),
        st.binary(max_size=120).map(lambda tail: b"PROXY " + tail),
        st.text("PROXYTCUNK46 .:0123456789abcdef\r\n", max_size=110).map(lambda text: b"PROXY TCP" + text.encode()),
        st.builds(v2, _BLOCKS, st.sampled_from([0x20, 0x21, 0x11]), st.integers(0, 255)),
        st.binary(max_size=64).map(lambda tail: SIGNATURE + tail),
        st.binary(max_size=64).map(lambda tail: v2(INET + tail)),
        st.binary(max_size=64).map(lambda value: v2(INET + tlv(0x20, value))),
        st.sampled_from(list(HEADERS)).flatmap(lambda header: st.binary(max_size=9).map(lambda tail: header + tail)),
    )
)
def test_any_bytes_are_a_header_the_beginning_of_one_or_none(data):
    last = None
    for size in range(len(data) + 1):
        found = outcome(data[:size])
        if last is not None:
            assert found == last  # once it is known, more bytes change nothing
        last = found
        if isinstance(found, Announcement):
            assert found.size <= size
            for address, port in filter(None, (found.source, found.destination)):
                assert "\0" not in address
                assert 0 <= port <= 65535
