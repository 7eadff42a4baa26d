"""Who comes next: by hand, and for any sequence of events against a model without cleverness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.workers import order
from tinfront.workers.order import BRIEFLY, Line, Shed, client_of


@pytest.fixture(scope="module", autouse=True)
def at_once() -> Iterator[None]:
    """The rules hold from the beginning, whatever the moments are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "BRIEFLY", -1e9)
        yield


class Exchange:
    def __init__(self, address: str) -> None:
        self.peer = (address, 1)


class Item:
    def __init__(self, address: str = "10.0.0.1", queued: float = 0.0) -> None:
        self.exchange: Any = Exchange(address)
        self.queued = queued

    def __repr__(self) -> str:
        return f"{self.exchange.peer[0]}@{self.queued}"


def fill(line: Line, *addresses: str) -> list[Item]:
    items = [Item(address, float(number)) for number, address in enumerate(addresses)]
    for item in items:
        line.add(item)
    return items


def drain(line: Line, now: float = 0.0) -> list[Any]:
    taken: list[Any] = []
    while line.count:
        taken.append(line.next(taken, now))
    return taken


def addresses(items: list[Any]) -> str:
    return "".join(item.exchange.peer[0] for item in items)


# --- turns


def test_one_client_is_served_in_its_order() -> None:
    line = Line()
    items = fill(line, "a", "a", "a")
    assert list(line) == items
    assert drain(line) == items
    assert line.count == 0


def test_who_has_waited_for_a_moment_only_is_served_in_the_order_of_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BRIEFLY", BRIEFLY)
    line = Line()
    items = [Item("many") for _ in range(4)] + [Item("one", BRIEFLY / 2)]
    for item in items:
        line.add(item)
    assert line.next([], BRIEFLY / 2) is items[0]
    assert line.next([items[0]], BRIEFLY / 2) is items[1]
    assert line.next(items[:2], BRIEFLY) is items[4]  # from now on it matters whose turn it is
    assert drain(line, BRIEFLY) == items[2:4]


def test_different_clients_are_served_in_their_order() -> None:
    line = Line()
    items = fill(line, *"abcdef")
    assert drain(line) == items


def test_who_has_many_stands_behind_who_has_one() -> None:
    line = Line()
    fill(line, *"aaaaabc")
    assert addresses(drain(line)) == "abcaaaa"


def test_what_the_workers_have_counts() -> None:
    line = Line()
    fill(line, *"aab")
    taken = [Item("a"), Item("a")]
    assert addresses([line.next(taken, 0.0)]) == "b"


def test_a_hundred_clients_against_one_with_as_many_connections() -> None:
    line = Line()
    fill(line, *["flood"] * 500, *map(str, range(100)))
    running: list[Any] = []
    served: Counter[str] = Counter()
    for _ in range(110):
        running.append(line.next(running, 0.0))
        served[running[-1].exchange.peer[0]] += 1
        del running[:-8]  # eight slots
    assert served["flood"] <= 10
    assert len(served) == 101


def test_shares_can_be_switched_off() -> None:
    line = Line(fair=False)
    items = fill(line, *"aaabc")
    assert drain(line) == items
    fill(line, *"aaa")
    assert line.crowd_out(Exchange("b"), 0.0) is None


def test_those_without_an_address_share_with_nobody() -> None:
    line = Line()
    items = fill(line, "", "", "a", "")
    assert drain(line) == items


def test_who_was_there_before_comes_first() -> None:
    line = Line(newest_after=1.0)
    fill(line, *"ab")
    back = [Item("a", -1.0), Item("c", -2.0)]
    for item in back:
        line.put_back(item)
    assert line.oldest() == -2.0
    assert line.count == 4
    assert drain(line, 100.0)[:2] == [back[1], back[0]]


# --- newest first


def test_newest_first_from_some_wait_on() -> None:
    line = Line(newest_after=5.0)
    items = fill(line, *"abcde")
    assert line.next([], 5.0) is items[0]
    assert line.next([], 7.0) is items[4]  # b has waited 6 s
    fresh = Item("f", 7.0)
    line.add(fresh)
    assert line.next([], 7.0) is fresh
    assert drain(line, 7.0) == items[3:0:-1]


def test_the_newest_of_the_fewest() -> None:
    line = Line(newest_after=5.0)
    items = fill(line, *"abab")
    newest = Item("a", 9.0)
    line.add(newest)
    assert line.next([], 9.0) is newest
    assert line.next([newest], 9.0) is items[3]
    assert line.next([newest, items[3], items[3]], 9.0) is items[2]


def test_never_newest_first() -> None:
    line = Line()
    items = fill(line, *"abc")
    assert drain(line, 1e9) == items


# --- leaving without having been served


def test_one_that_leaves() -> None:
    line = Line()
    items = fill(line, *"aab")
    again = Item("c")
    line.put_back(again)
    assert line.holds(items[1].exchange)
    assert line.holds(again.exchange)
    assert line.remove(items[1].exchange) is items[1]
    assert not line.holds(items[1].exchange)
    assert line.remove(items[1].exchange) is None
    assert line.remove(again.exchange) is again
    assert line.count == 2
    assert drain(line) == [items[0], items[2]]


def test_those_that_have_waited_for_too_long() -> None:
    line = Line()
    items = fill(line, *"abab")
    again = Item("c", 0.5)
    line.put_back(again)
    assert line.expire(2.0) == [again, items[0], items[1]]
    assert list(line) == items[2:]
    assert line.count == 2
    assert line.oldest() == 2.0
    assert line.expire(10.0) == items[2:]
    assert line.oldest() == float("inf")


def test_the_fattest_makes_room() -> None:
    line = Line(newest_after=100.0)
    items = fill(line, *"aaab")
    assert line.crowd_out(Exchange("a"), 0.0) is None
    assert line.crowd_out(Exchange("c"), 0.0) is items[2]  # would have waited longest
    assert line.crowd_out(Exchange("b"), 0.0) is None  # no difference worth a refusal
    assert line.crowd_out(Exchange("c"), 1000.0) is items[0]
    assert line.crowd_out(Exchange("d"), 0.0) is None
    assert line.count == 2


def test_who_is_the_fattest_is_found_out_when_it_comes_again() -> None:
    line = Line()
    items = fill(line, *"aaaabbb")
    for item in items[:4]:
        line.remove(item.exchange)
    assert line.crowd_out(Exchange("b"), 0.0) is None
    assert line.crowd_out(Exchange("c"), 0.0) is items[6]


# --- any sequence


events = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(["a", "b", "c", ""])),
        st.tuples(st.sampled_from(["next", "leave", "back", "expire", "full"]), st.integers(0, 30)),
    ),
    max_size=120,
)


@given(events, st.booleans(), st.sampled_from([0.0, 5.0]))
def test_nobody_is_lost_or_served_twice(events: list[Any], fair: bool, newest_after: float) -> None:
    line = Line(fair, newest_after)
    inside: dict[int, Item] = {}
    taken: list[Item] = []
    for now, (event, what) in enumerate(events):
        gone: list[Any] = []
        if event == "add":
            item = Item(what, float(now))
            line.add(item)
            inside[id(item)] = item
        elif event == "next" and line.count:
            gone = [line.next(taken, float(now))]
            taken = (taken + gone)[-4:]
        elif event == "back" and taken:
            item = taken.pop()
            line.put_back(item)
            inside[id(item)] = item
        elif event == "leave" and inside:
            item = list(inside.values())[what % len(inside)]
            gone = [line.remove(item.exchange)]
            assert gone == [item]
        elif event == "expire":
            gone = line.expire(now - what)
            assert all(item.queued < now - what for item in gone)
        elif event == "full":
            gone = list(filter(None, [line.crowd_out(Exchange("c"), float(now))]))
        for item in gone:
            del inside[id(item)]  # it was there, once
        assert line.count == len(inside) == len(list(line))
        assert line.oldest() == min((item.queued for item in inside.values()), default=float("inf"))
        assert len(line._lanes) <= line.count
        assert sum(map(len, line._lanes.values())) + len(line._again) == line.count


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(1, 6))
def test_nobody_waits_for_more_than_a_round(clients: list[str], slots: int) -> None:
    """While somebody has less with the workers than another, the other does not come next."""
    line = Line()
    fill(line, *clients)
    taken: list[Any] = []
    while line.count:
        waiting = {item.exchange.peer[0] for item in line}
        item = line.next(taken, 0.0)
        have = Counter(one.exchange.peer[0] for one in taken)
        assert have[item.exchange.peer[0]] == min(have[client] for client in waiting)
        taken.append(item)
        del taken[:-slots]


# --- clients


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("not:an:address", "not:another", False),
    ],
)
def test_what_is_one_client(one: str, other: str, same: bool) -> None:
    assert (client_of(one) == client_of(other)) is same


def test_nothing_is_shed_at_first() -> None:
    shed = Shed()
    assert (shed.full, shed.timeout, shed.gone) == (0, 0, 0)
