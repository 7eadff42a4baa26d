"""The bounds and the books, without sockets."""

import resource

import pytest

from tinfront.config.model import Limits
from tinfront.front import roll as roll_module
from tinfront.front.addresses import Addresses
from tinfront.front.roll import PART, Arrival, Capacity, Roll
from tinfront.http.forwarded import Trust


class Link:
    """A link that is its own connection."""

    deadline = float("inf")

    def __init__(self, left=0):
        self.connection = self
        self.told = False
        self.left = left
        self.calls = []
        self.idle = float("inf")

    def buffered(self):
        return self.left

    def idle_since(self):
        return self.idle

    def drain(self, farewell=0.0):
        self.calls.append("drain")

    def expire(self, now):
        self.calls.append("expire")

    def abort(self):
        self.calls.append("abort")


@pytest.fixture
def capacity():
    capacity = Capacity()
    yield capacity
    capacity.give_spares()


@pytest.fixture
def roll(capacity):
    return Roll(capacity, Limits(send_timeout=60.0, linger_timeout=5.0, handshake_timeout=30.0))


@pytest.mark.parametrize(
    ("soft", "wanted", "limit"), [(1000, 0, 750), (1000, 100, 100), (1000, 5000, 750), (1, 0, 1), (-1, 0, 1024**2)]
)
def test_a_quarter_of_the_descriptors_is_kept_for_files(monkeypatch, soft, wanted, limit):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, soft))
    capacity = Capacity(wanted)
    assert capacity.limit == limit
    capacity.give_spares()


def test_those_who_wait_are_told_once_of_a_socket_given_back(capacity):
    told = []

    def resume():
        told.append(capacity.used)

    capacity.take()
    capacity.take()
    capacity.wait(resume, "full")
    capacity.wait(resume, "full")
    capacity.give_back()
    capacity.give_back()
    assert told == [1]


def test_who_waits_again_while_being_told_is_told_again(capacity):
    told = []

    def resume():
        told.append(1)
        capacity.wait(resume, "still full")

    capacity.take()
    capacity.take()
    capacity.wait(resume, "full")
    capacity.give_back()
    capacity.give_back()
    assert told == [1, 1]


def test_a_pause_is_counted_if_nobody_is_idle(capacity, roll, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(roll_module.time, "monotonic", lambda: now[0])
    busy, idle = Link(), Link()
    roll.made(busy)
    capacity.wait(print, "full")
    assert (capacity.pauses, busy.calls) == (1, [])
    idle.idle = 900.0
    roll.made(idle)
    roll.sweep(now[0] + 1)  # looks again on behalf of those who wait
    assert (idle.calls, idle.told, roll.closed_idle) == (["drain"], True, 1)
    assert (capacity.pauses, busy.calls) == (1, [])


def test_the_sweep_closes_nobody_while_there_is_room(capacity, roll):
    link = Link()
    link.idle = 0.0
    roll.sweep(1e6)
    capacity.wait(print, "out of descriptors")
    capacity.go_on(print)  # there are some again
    roll.made(link)
    roll.sweep(1e6)
    assert link.calls == []


def test_a_sweep_with_much_to_look_at_is_in_parts(roll):
    links = [Link() for _ in range(2 * PART + 1)]
    for link in links:
        link.deadline = 0.0
        roll.made(link)
    parts = roll.sweep_in_parts(1.0)
    looks = []
    for _ in parts:
        looks.append(sum(link.calls == ["expire"] for link in links))
        roll.lost(links[-1])  # between two parts: nobody looks at it any more
    assert looks == [PART, 2 * PART]
    assert links[-1].calls == []
    roll.sweep(1.0)
    assert [link.calls for link in links[:-1]] == [["expire", "expire"]] * 2 * PART


def test_an_address_has_its_share(capacity):
    roll = Roll(capacity, Limits(), Addresses(1, Trust()))
    arrival = Arrival("web", ("10.0.0.1", 5), ("10.0.0.2", 80), False)
    for _ in range(2):
        roll.enter()
    assert roll.admit("10.0.0.1")
    assert not roll.admit("10.0.0.1")
    roll.leave()
    assert (roll.over_address, roll.current) == (1, 1)
    roll.leave(arrival)
    assert roll.admit("10.0.0.1")
    link = Link()
    link.peer = arrival.peer
    roll.enter()
    roll.made(link)
    roll.lost(link)
    assert len(roll.addresses) == 0


def test_the_last_ones_have_until_the_next_sweep(roll):
    before, after = Link(), Link()
    roll.made(before)
    roll.closing = True
    roll.made(after)
    roll.drain()
    assert (before.calls, after.calls) == (["drain"], [])
    roll.sweep(0.0)
    roll.sweep(0.0)
    assert (before.calls, after.calls) == (["drain"], ["drain"])


def test_the_last_ones_may_leave_before_the_sweep(roll):
    link = Link()
    roll.closing = True
    roll.enter()
    roll.made(link)
    roll.lost(link)
    roll.sweep(0.0)
    assert link.calls == []


def test_a_connection_that_cannot_drain_is_cut(roll):
    link, good = Link(), Link()
    link.drain = lambda farewell: 1 / 0
    roll.made(link)
    roll.made(good)
    roll.drain()
    assert link.calls == ["abort"]
    assert good.calls == ["drain"]


def test_pending_sockets_are_cut_when_their_time_is_up(roll, monkeypatch):
    monkeypatch.setattr(roll_module.time, "monotonic", lambda: 100.0)
    link = Link()
    roll.wait(link, 30.0)
    roll.sweep(129.9)
    assert link.calls == []
    roll.sweep(130.0)
    assert link.calls == ["abort"]


def test_a_parting_link_that_still_sends_is_waited_for(roll, monkeypatch):
    monkeypatch.setattr(roll_module.time, "monotonic", lambda: 100.0)
    link = Link(1000)
    roll.part(link)
    roll.sweep(159.0)
    link.left = 500
    roll.sweep(160.0)
    roll.sweep(219.0)
    assert link.calls == []
    roll.sweep(220.0)
    assert link.calls == ["abort"]


def test_a_parting_link_that_has_sent_all_is_waited_for_briefly(roll, monkeypatch):
    monkeypatch.setattr(roll_module.time, "monotonic", lambda: 100.0)
    link = Link()
    roll.part(link)
    roll.sweep(104.9)
    assert link.calls == []
    roll.sweep(105.0)
    assert link.calls == ["abort"]


def test_emptied_fires_for_all_who_asked(roll):
    roll.enter()
    one, two = roll.emptied(), roll.emptied()
    assert not one.called
    roll.leave()
    assert one.called
    assert two.called
    assert roll.emptied().called
