import re
import sys

import pytest

from tinfront.config.address import (
    addresses,
    hosts,
    parse_address,
    parse_host,
    parse_proxy,
    proxies,
    show_address,
    unix_path,
)
from tinfront.config.model import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("tcp", "127.0.0.1", 8080)),
        ("localhost:0", Address("tcp", "localhost", 0)),
        ("my_host.internal:80", Address("tcp", "my_host.internal", 80)),
        ("[::1]:8080", Address("tcp", "::1", 8080)),
        ("[fe80::1%eth0]:80", Address("tcp", "fe80::1%eth0", 80)),
        ("*:80", Address("tcp", "", 80)),
        (":80", Address("tcp", "", 80)),
        ("unix:run/x.sock", Address("unix", path="/base/run/x.sock")),
        ("unix:/run/x.sock", Address("unix", path="/run/x.sock")),
        ("systemd:http", Address("systemd", path="http")),
        ("fd:3", Address("fd", port=3)),
    ],
)
def test_addresses(text, address):
    assert parse_address(text, "/base") == address
    assert parse_address(show_address(address), "/elsewhere") == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8080", '"8080" is a port without an address, did you mean "127.0.0.1:8080" or "*:8080"?'),
        ("127.0.0.1", '"127.0.0.1" has no port, did you mean "127.0.0.1:80"?'),
        ("[::1]", '"[::1]" has no port, did you mean "[::1]:80"?'),
        ("::1", '"::1" has no port, or no brackets, did you mean "[::1]:80"?'),
        ("::1:8080", '"::1:8080" has no port, or no brackets'),
        ("1:2:3:4:5:6:7:8:80", 'did you mean "[1:2:3:4:5:6:7:8]:80"?'),
        ("http://localhost:80", "without a scheme or a path"),
        ("127.0.0.1:http", '"http" is not a port'),
        ("127.0.0.1:65536", '"65536" is not a port, expected 0 to 65535'),
        ("127.0.0.1:-1", '"-1" is not a port'),
        ("127.0.0.1:", '"" is not a port'),
        ("300.0.0.1:80", '"300.0.0.1" is not an IPv4 address'),
        ("[x]:80", '"x" is not an IPv6 address'),
        ("a b:80", '"a b" is neither an IP address nor a host name'),
        ("a..b:80", '"a..b" is neither an IP address nor a host name'),
        ("unix:", '"unix:" is not of the form unix:PATH'),
        ("unix:" + "x" * 110, "is longer than the 107 bytes that the path of a unix socket may have"),
        ("systemd:", '"systemd:" is not of the form systemd:NAME'),
        ("fd:x", '"fd:x" is not of the form fd:N'),
    ],
)
def test_what_is_no_address(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_address(text, "/base")


def test_several_addresses_stand_one_a_line():
    value = addresses.read("*:80\n[::]:80", "/base")
    assert value == (Address("tcp", "", 80), Address("tcp", "::", 80))
    assert addresses.show(value) == "*:80\n[::]:80"


def test_unix_path_counts_bytes():
    assert unix_path("/" + "x" * 106, "/") == "/" + "x" * 106
    with pytest.raises(ValueError, match="longer than"):
        unix_path("/" + "ä" * 54, "/")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("demo.test", "demo.test"),
        ("Demo.TEST.", "demo.test"),
        ("*.demo.test", "*.demo.test"),
        ("localhost", "localhost"),
        ("my_app", "my_app"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("*.BÜCHER.test", "*.xn--bcher-kva.test"),
    ],
)
def test_hosts(text, host):
    assert parse_host(text, "") == host


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("demo.test:8080", 'a host has no port here, did you mean "demo.test"?'),
        ("[::1]:80", 'a host has no port here, did you mean "[::1]"?'),
        ("https://demo.test/x", 'did you mean "demo.test"?'),
        ("/", '"/" is not a host name'),
        ("*", "default = yes makes a site answer for all other hosts"),
        (".demo.test", 'did you mean "demo.test" and "*.demo.test"?'),
        ("a.*.test", "a * may only stand for the first labels"),
        ("*demo.test", "a * may only stand for the first labels"),
        ("*.*.test", "a * may only stand for the first labels"),
        ("-a.test", '"-a.test" is not a host name'),
        ("a..test", '"a..test" is not a host name'),
        ("a" * 64, "is not a host name"),
        (".".join(["a" * 60] * 5), "is not a host name"),
        ("a&b", '"a&b" is not a host name'),
        ("~^www", "is not a host name"),
        ("ü..test", "is not a host name"),
        ("\u2488com", "is not a host name"),
    ],
)
def test_what_is_no_host(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_host(text, "")


def test_without_the_idna_package_only_ascii_goes(monkeypatch):
    monkeypatch.setitem(sys.modules, "idna", None)
    assert parse_host("xn--bcher-kva.test", "") == "xn--bcher-kva.test"
    with pytest.raises(ValueError, match="write its xn-- form, or install the package idna"):
        parse_host("bücher.test", "")


def test_hosts_stand_with_commas_or_one_a_line():
    value = hosts.read("a.test, b.test\nc.test", "")
    assert value == ("a.test", "b.test", "c.test")
    assert hosts.show(value) == "a.test, b.test, c.test"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8:0::/48", "2001:db8::/48"),
        ("::1", "::1"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("unix:", "unix:"),
    ],
)
def test_proxies(text, value):
    assert parse_proxy(text, "") == value
    assert proxies.read(proxies.show((value,))) == (value,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("*", '"*" would believe everybody'),
        ("unix:/run/x", "unix: stands alone"),
        ("10.0.0.1/8", 'did you mean "10.0.0.0/8"?'),
        ("::ffff:10.0.0.1", 'did you mean "10.0.0.1"?'),
        ("10.0.0.0/33", "neither an address, nor a network"),
        ("lb.test", "neither an address, nor a network"),
        ("10.0.0.1:80", "neither an address, nor a network"),
        ("fe80::1%eth0", "neither an address, nor a network"),
    ],
)
def test_what_is_no_proxy(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_proxy(text, "")
