"""What proxies say, believed from the right as far as they are trusted."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.errors import ProtocolError
from tinfront.http.forwarded import (
    FIELDS,
    HOPS_MAX,
    Origin,
    Trust,
    from_forwarded,
    from_x_forwarded,
    packed,
    parse_node,
    scheme,
)

TRUST = Trust(["10.0.0.0/8", "2001:db8:a::/48", "192.0.2.53"])


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("192.0.2.53", True),
        ("192.0.2.54", False),
        ("2001:db8:a::1", True),
        ("2001:db8:a:ffff::1", True),
        ("2001:db8:b::1", False),
        ("::ffff:10.0.0.1", True),
        ("::10.0.0.1", False),
        ("", False),
        ("unknown", False),
        ("fe80::1%eth0", False),
    ],
)
def test_trust(address, trusted):
    assert (address in TRUST) is trusted
    assert (address in TRUST) is trusted  # remembered


def test_trust_of_all_and_of_none():
    everybody = Trust(["0.0.0.0/0", "::/0", "unix:"])
    assert all(address in everybody for address in ("1.2.3.4", "::1", ""))
    assert not Trust()
    assert not any(address in Trust() for address in ("127.0.0.1", "::1", ""))
    assert Trust(["unix:"])
    assert "127.0.0.1" not in Trust(["unix:"])


@pytest.mark.parametrize("member", ["", "x", "10.0.0.0/33", "::/129", "10.0.0/8"])
def test_what_is_no_network(member):
    with pytest.raises(ValueError, match=re.escape(f'"{member}" is neither')):
        Trust([member])


def test_what_is_remembered_is_bounded():
    for number in range(5000):
        assert f"10.0.{number // 256}.{number % 256}" in TRUST
    assert len(TRUST._known) <= 1024


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("1.2.3.4", ("1.2.3.4", 0)),
        ("1.2.3.4:80", ("1.2.3.4", 80)),
        ("2001:DB8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:65535", ("2001:db8::1", 65535)),
        ("::ffff:1.2.3.4", ("1.2.3.4", 0)),
        ("[::]", ("::", 0)),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("1.2.3.4:", None),
        ("1.2.3.4:x", None),
        ("1.2.3.4:65536", None),
        ("1.2.3.04", None),
        ("1.2.3", None),
        ("[1.2.3.4]", None),
        ("[::1", None),
        ("::1]:80", None),
        ("fe80::1%eth0", None),
        ("1.2.3.4 ", None),
        ("\u00b9.2.3.4", None),
        ("localhost", None),
    ],
)
def test_nodes(text, node):
    assert parse_node(text) == node


@pytest.mark.parametrize(
    ("value", "node"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("6.6.6.6, 192.0.2.1", ("192.0.2.1", 0)),  # the left one is what the client had sent itself
        ("6.6.6.6, 192.0.2.1, 10.0.0.1,10.0.0.2", ("192.0.2.1", 0)),
        ("10.0.0.7, 10.0.0.2", ("10.0.0.7", 0)),  # all trusted: the farthest
        ("garbage, 192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1, garbage", None),
        ("192.0.2.1, garbage, 10.0.0.2", ("10.0.0.2", 0)),
        ("192.0.2.1,", None),
        ("unknown", None),
        ("192.0.2.1:4711", ("192.0.2.1", 4711)),
        ("[2001:db8::9]:1, 2001:db8:a::1", ("2001:db8::9", 1)),
        (", ".join(["6.6.6.6"] + ["10.0.0.1"] * HOPS_MAX), ("10.0.0.1", 0)),
        ("", None),
    ],
)
def test_x_forwarded_for(value, node):
    assert from_x_forwarded({"x-forwarded-for": value}, TRUST) == Origin(node)


@pytest.mark.parametrize(
    ("addresses", "schemes", "secure"),
    [
        ("192.0.2.1", "https", True),
        ("192.0.2.1", "HTTP", False),
        ("192.0.2.1", "wss", True),
        ("192.0.2.1", "gopher", None),
        ("192.0.2.1", "", None),
        ("192.0.2.1, 10.0.0.1", "https, http", True),  # the outer hop spoke TLS, the inner one did not
        ("192.0.2.1, 10.0.0.1", "https", True),
        ("6.6.6.6, 192.0.2.1", "https, http", False),  # the left one is the client's own invention
        ("6.6.6.6, 192.0.2.1", "https", True),
        ("", "https", True),
        ("_hidden", "https", True),
    ],
)
def test_the_scheme_is_that_of_the_same_hop(addresses, schemes, secure):
    said = {"x-forwarded-for": addresses, "x-forwarded-proto": schemes}
    assert from_x_forwarded(said, TRUST).secure is secure
    if addresses and schemes:
        elements = [
            f'for="{node}";proto={name or "x"}'
            for node, name in zip(addresses.split(", "), schemes.split(", "), strict=False)
        ]
        if len(elements) == len(addresses.split(", ")):
            assert from_forwarded(", ".join(elements), TRUST).secure is secure


@pytest.mark.parametrize(
    ("host", "understood"),
    [
        ("a.test", "a.test"),
        ("a.test:8443", "a.test:8443"),
        ("[::1]:80", "[::1]:80"),
        ("[:.:.:]", None),
        ("[1.2.3.4]:80", None),
        ("", None),
        ("a b", None),
        ("a.test/", None),
        ("a@b", None),
        ("evil.test, a.test", "a.test"),
    ],
)
def test_the_host(host, understood):
    assert from_x_forwarded({"x-forwarded-host": host}, TRUST).host == understood


@pytest.mark.parametrize(
    ("port", "understood"), [("443", 443), ("0", None), ("65536", None), ("x", None), ("", None), ("8, 9", 9)]
)
def test_the_port(port, understood):
    assert from_x_forwarded({"x-forwarded-port": port}, TRUST).port == understood


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("for=192.0.2.1", Origin(("192.0.2.1", 0))),
        ("For=192.0.2.1;Proto=https;by=10.0.0.1;host=a.test", Origin(("192.0.2.1", 0), True, "a.test")),
        ('for="[2001:db8::9]:4711"; proto="http"', Origin(("2001:db8::9", 4711), False)),
        (r'for="1\92.0.2.1"', Origin(("192.0.2.1", 0))),
        ('for="a,b;c=\\"d"', Origin()),
        ("for=6.6.6.6;proto=https, for=192.0.2.1;proto=http, for=10.0.0.1", Origin(("192.0.2.1", 0), False)),
        ("for=192.0.2.1;proto=https,for=_hidden;proto=http", Origin(None, False)),
        ("for=unknown", Origin()),
        ("proto=https", Origin(None, True)),
        (", for=192.0.2.1 ,", Origin(("192.0.2.1", 0))),
        (";;for=192.0.2.1;", Origin(("192.0.2.1", 0))),
        ("secret=x", Origin()),
        ("", Origin()),
    ],
)
def test_forwarded(value, origin):
    assert from_forwarded(value, TRUST) == origin


@pytest.mark.parametrize(
    "value",
    [
        "192.0.2.1",
        "for",
        "for=",
        "for=192.0.2.1 proto=https",
        "for = 192.0.2.1",
        "for=[::1]",  # needs quotes
        'for="192.0.2.1',
        'for="open, for=192.0.2.1',  # what a client sent swallows what the proxy adds
        "for=192.0.2.1;for=192.0.2.2",
        "for=a b",
        "for=192.0.2.1:80",
        "for=a\tb",
    ],
)
def test_a_malformed_forwarded_is_refused_whole(value):
    with pytest.raises(ProtocolError) as caught:
        from_forwarded(value, TRUST)
    assert (caught.value.status, caught.value.reason) == (400, "bad-forwarded")


def test_schemes():
    assert [scheme(name) for name in ("http", "HTTPS", "ws", "wss", "on", "")] == [False, True, False, True, None, None]


def test_the_names_are_lower_case():
    assert all(name == name.lower() for name in FIELDS)


_TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\0\r\n"), max_size=200)
_NEARLY = st.text('for=proto;host,"\\ 10.0.0.1:[]', max_size=200)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.one_of(_TEXT, _NEARLY)))
def test_whatever_is_said_gives_an_address_or_none(said):
    check(from_x_forwarded(said, TRUST))
    try:
        check(from_forwarded(said.get("forwarded", ""), TRUST))
    except ProtocolError:
        pass


def check(origin):
    if origin.node is not None:
        assert packed(origin.node[0]) is not None
        assert 0 <= origin.node[1] <= 65535


@given(_TEXT, st.ip_addresses().map(str))
def test_what_a_client_sends_never_hides_what_the_proxy_has_seen(lie, address):
    node = parse_node(address)
    if node and node[0] not in TRUST:
        assert from_x_forwarded({"x-forwarded-for": f"{lie}, {address}"}, TRUST).node == node
        try:
            assert (
                from_forwarded(f'{lie}, for="[{address}]"' if ":" in address else f"{lie}, for={address}", TRUST).node
                == node
            )
        except ProtocolError:
            pass  # refused, not believed
