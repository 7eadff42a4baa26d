"""How many connections an address may have."""

import pytest

from tinfront.front import addresses as module
from tinfront.front.addresses import Addresses, Seldom
from tinfront.http.forwarded import Trust


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(module.log, "warn", lambda text, **values: lines.append(text.format(**values)))
    return lines


def test_up_to_the_limit(said):
    addresses = Addresses(2, Trust())
    assert [addresses.enter("192.0.2.1") for _ in range(4)] == [True, True, False, False]
    assert addresses.enter("192.0.2.2")
    addresses.leave("192.0.2.1")
    assert [addresses.enter("192.0.2.1") for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("not an address", "another", False),
    ],
)
def test_ipv6_counts_by_64(one, two, same, said):
    addresses = Addresses(1, Trust())
    assert addresses.enter(one)
    assert addresses.enter(two) is not same


def test_unix_peers_and_proxies_do_not_count(said):
    addresses = Addresses(1, Trust(["10.0.0.0/8"]))
    for _ in range(5):
        assert addresses.enter("")
        assert addresses.enter("10.1.2.3")
    assert len(addresses) == 0
    for _ in range(5):
        addresses.leave("")
        addresses.leave("10.1.2.3")
    assert said == []


def test_who_has_left_leaves_nothing_behind():
    addresses = Addresses(100, Trust())
    for number in range(100):
        addresses.enter(f"192.0.2.{number}")
        addresses.enter(f"2001:db8::{number}")
    for number in range(100):
        addresses.leave(f"2001:db8::{number}")
        addresses.leave(f"192.0.2.{number}")
    assert len(addresses) == 0


def test_one_line_a_minute(monkeypatch, said):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    addresses = Addresses(1, Trust())
    addresses.enter("2001:db8:0:1::5")
    for _ in range(50):
        addresses.enter("2001:db8:0:1::6")
    now[0] += 60
    addresses.enter("2001:db8:0:1::7")
    assert said == [
        "2001:db8:0:1::/64 has 1 connections, and more are closed: 1 since the last such line",
        "2001:db8:0:1::/64 has 1 connections, and more are closed: 50 since the last such line",
    ]


def test_what_is_seldom_said(said):
    seldom = Seldom("{who}: {count}")
    seldom.say(who="a")
    seldom.say(who="b")
    assert said == ["a: 1"]
