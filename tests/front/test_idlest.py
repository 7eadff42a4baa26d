"""Who has to go when there is no room."""

import pytest

from tests.transports import Front, Later
from tinfront.config.model import Limits
from tinfront.front.idlest import LOOK_EVERY, MOST, YOUNG, Idlest
from tinfront.front.roll import Capacity, Roll

NOW = 1000.0


class Link:
    """A link that is its own connection, and leaves its roll at once when asked."""

    deadline = float("inf")

    def __init__(self, roll, idle, stays=False):
        self.connection = self
        self.told = False
        self.idle = idle
        self.looks = 0
        self.calls = []
        self._roll = roll
        self._stays = stays
        roll.made(self)

    def idle_since(self):
        self.looks += 1
        return self.idle

    def drain(self, farewell=0.0):
        self.calls.append("drain")
        if not self._stays:
            del self._roll.connections[self]

    def abort(self):
        self.calls.append("abort")
        del self._roll.connections[self]


@pytest.fixture
def rolls():
    capacity = Capacity()
    yield [Roll(capacity, Limits()), Roll(capacity, Limits())]
    capacity.give_spares()


def asked(links):
    return [number for number, link in enumerate(links) if link.calls]


def test_the_idlest_go_first_whatever_their_listener(rolls):
    idlest = Idlest(rolls)
    links = [Link(rolls[number % 2], NOW - idle) for number, idle in enumerate((10, 40, 20, 30))]
    for count, expected in ((1, [1]), (2, [1, 3]), (3, [1, 2, 3]), (4, [0, 1, 2, 3])):
        assert idlest.close_some(4, NOW)
        assert asked(links) == expected
        assert sum(roll.closed_idle for roll in rolls) == count
    assert not idlest.close_some(4, NOW)


def test_the_busy_and_the_young_stay(rolls):
    links = [Link(rolls[0], float("inf")), Link(rolls[0], NOW - YOUNG + 0.01)]
    idlest = Idlest(rolls)
    assert not idlest.close_some(2, NOW)
    assert asked(links) == []
    assert idlest.close_some(2, NOW + LOOK_EVERY)  # the one has become idle by now
    assert asked(links) == [1]


def test_an_eighth_goes_at_once_and_no_more_than_so_many(rolls):
    idlest = Idlest(rolls)
    links = [Link(rolls[0], NOW - 900 + number) for number in range(400)]
    idlest.close_some(80, NOW)
    assert asked(links) == list(range(10))
    idlest.close_some(10_000, NOW)
    assert asked(links) == list(range(10 + MOST))


def test_all_are_looked_at_only_now_and_then(rolls):
    idlest = Idlest(rolls)
    links = [Link(rolls[0], float("inf")) for _ in range(10)]
    for _ in range(100):
        assert not idlest.close_some(10, NOW)
    assert {link.looks for link in links} == {1}
    idlest.close_some(10, NOW + LOOK_EVERY)
    assert {link.looks for link in links} == {2}


def test_who_works_again_by_the_time_stays(rolls):
    idlest = Idlest(rolls)
    links = [Link(rolls[0], NOW - 900 + number) for number in range(4)]
    idlest.close_some(1, NOW)
    links[1].idle = float("inf")
    links[2].idle = NOW
    del rolls[0].connections[links[3]]
    assert not idlest.close_some(1, NOW)
    assert asked(links) == [0]


def test_those_on_their_way_out_are_waited_for_then_cut(rolls):
    idlest = Idlest(rolls)
    links = [Link(rolls[0], NOW - 900, stays=True), Link(rolls[0], NOW - 800)]
    assert idlest.close_some(1, NOW)
    assert idlest.close_some(1, NOW + LOOK_EVERY / 2)
    assert (links[0].calls, links[1].calls) == (["drain"], [])
    assert idlest.close_some(1, NOW + LOOK_EVERY)
    assert (links[0].calls, links[1].calls) == (["drain", "abort"], ["drain"])


def test_nobody_is_kept_in_mind_for_long(rolls):
    idlest = Idlest(rolls)
    for number in range(3000):
        Link(rolls[0], NOW - 900 + number / 10)
    idlest.close_some(8, NOW)
    assert len(idlest._found) <= 1024
    idlest.forget()
    assert not idlest._found


def test_when_a_connection_is_idle():
    later = Later()
    front = Front(later, Limits(keepalive_timeout=75.0, head_timeout=30.0))
    client = front.connect()
    begun = client.connection.idle_since()
    assert front.now <= begun <= front.now  # it has yet to ask
    client.send(b"GET / HT")
    assert client.connection.idle_since() == float("inf")  # a head is on its way
    client.send(b"TP/1.1\r\nHost: demo.test\r\n\r\n")
    assert client.connection.idle_since() == float("inf")  # an answer is due
    exchange = later.answer()
    assert client.connection.idle_since() == pytest.approx(exchange.ended)
    client.connection.drain()
    assert client.connection.idle_since() == float("inf")  # it is leaving


def test_a_client_that_does_not_read_is_not_idle():
    later = Later()
    front = Front(later)
    client = front.connect(room=0)
    client.send(b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n")
    later.answer(body=b"x" * 100_000)
    assert client.connection.idle_since() == float("inf")
