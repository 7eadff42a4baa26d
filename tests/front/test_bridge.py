"""``IDescriptors`` on a Twisted reactor, and what the bridge makes of a transport's callbacks."""

import os
import socket
from contextlib import suppress

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.rig import Echo, Rig
from tinfront.config.model import Limits
from tinfront.front.bridge import BridgeLink, ReactorDescriptors, ReactorOpener
from tinfront.front.roll import Roll
from tinfront.interfaces import IDescriptors


@pytest.fixture
def rig():
    rig = Rig("reactor")
    yield rig
    rig.close()


@pytest.fixture
def descriptors(rig):
    return ReactorDescriptors(rig.reactor)


def test_it_is_idescriptors(descriptors):
    assert verifyObject(IDescriptors, descriptors)


def test_both_directions_of_one_descriptor(rig, descriptors):
    one, two = socket.socketpair()
    with one, two:
        seen = []
        descriptors.add_writer(one.fileno(), seen.append, "w")
        descriptors.add_reader(one.fileno(), seen.append, "r")
        rig.until(lambda: "w" in seen)
        assert "r" not in seen
        assert descriptors.remove_writer(one.fileno()) is True
        seen.clear()
        two.send(b"x")
        rig.until(lambda: "r" in seen)
        assert "w" not in seen
        assert descriptors.remove_reader(one.fileno()) is True
        seen.clear()
        for _ in range(3):
            rig.spin()
        assert seen == []


def test_a_second_callback_replaces_the_first(rig, descriptors):
    reading, writing = os.pipe()
    seen = []
    descriptors.add_reader(reading, seen.append, "old")
    descriptors.add_reader(reading, seen.append, "new")
    os.write(writing, b"x")
    rig.until(lambda: seen)
    assert set(seen) == {"new"}
    descriptors.remove_reader(reading)
    os.close(reading)
    os.close(writing)


def test_removing_what_is_not_watched_is_harmless(descriptors):
    assert descriptors.remove_reader(5) is False
    assert descriptors.remove_writer(5) is False


def test_a_number_may_be_used_again(rig, descriptors):
    seen = []
    for turn in range(2):
        one, two = socket.socketpair()
        with one, two:
            two.send(b"x")
            descriptors.add_reader(one.fileno(), seen.append, turn)
            rig.until(lambda turn=turn: turn in seen)
            descriptors.remove_reader(one.fileno())


def test_a_callback_that_fails_goes_on_being_called(rig, descriptors):
    one, two = socket.socketpair()
    with one, two:
        seen = []

        def fail():
            seen.append(1)
            raise RuntimeError("bug")

        two.send(b"x")
        descriptors.add_reader(one.fileno(), fail)
        rig.until(lambda: len(seen) > 2)
        descriptors.remove_reader(one.fileno())


def test_the_other_end_of_a_pipe_is_closed(rig, descriptors):
    """The kernel says so with POLLHUP alone, on which Twisted drops the descriptor without reading it."""
    reading, writing = os.pipe()
    seen = []

    def read():
        seen.append(os.read(reading, 10))
        if not seen[-1]:
            descriptors.remove_reader(reading)

    descriptors.add_reader(reading, read)
    os.close(writing)
    rig.until(lambda: seen)
    for _ in range(3):
        rig.spin()
    assert seen == [b""]
    os.close(reading)


def test_the_reader_of_a_pipe_has_gone(rig, descriptors):
    reading, writing = os.pipe()
    seen = []

    def write():
        seen.append(1)
        descriptors.remove_writer(writing)

    descriptors.add_writer(writing, write)
    os.close(reading)
    rig.until(lambda: seen)
    os.close(writing)


class Reused:
    """The reactor finds two descriptors ready in one turn; the callback of the first closes the second.

    What is opened then gets its number, and is handed the event that was meant for the one before.
    """

    def __init__(self, rig, descriptors):
        self.rig, self.descriptors = rig, descriptors
        self.first, self._wake = socket.socketpair()
        self.number, self._other = os.pipe()  # whose end is POLLHUP alone

    def run(self, then):
        """Have ``then`` run when the number is free."""

        def close_the_second():
            self.descriptors.remove_reader(self.first.fileno())
            self.descriptors.remove_reader(self.number)
            os.close(self.number)
            then()

        self.descriptors.add_reader(self.first.fileno(), close_the_second)
        self.descriptors.add_reader(self.number, lambda: pytest.fail("it is closed"))
        self._wake.send(b"x")
        os.close(self._other)
        for _ in range(5):
            self.rig.spin()

    def close(self):
        self.first.close()
        self._wake.close()


@pytest.fixture
def reused(rig, descriptors):
    reused = Reused(rig, descriptors)
    yield reused
    reused.close()


def test_a_descriptor_outlives_an_event_of_the_one_before(rig, descriptors, reused):
    seen, ends = [], []

    def watch_another():
        ends[:] = socket.socketpair()
        one = ends[0] if ends[0].fileno() == reused.number else ends[1]
        assert one.fileno() == reused.number
        one.setblocking(False)

        def receive():
            with suppress(BlockingIOError):
                seen.append(one.recv(10))

        descriptors.add_reader(one.fileno(), receive)

    reused.run(watch_another)
    assert seen == []
    for one in ends:
        one.send(b"hello")
    rig.until(lambda: seen)
    assert seen == [b"hello"]
    descriptors.remove_reader(reused.number)
    for one in ends:
        one.close()


def test_a_client_outlives_an_event_of_the_descriptor_before(rig, reused):
    roll = Roll(rig.capacity, Limits())
    opener = ReactorOpener(rig.reactor, None)
    connection = Echo(_Arrival())
    client, ours = socket.socketpair()

    def open_a_client():
        roll.enter()
        opener.open(ours, connection, roll, False)

    reused.run(open_a_client)
    client.send(b"hello")
    rig.until(lambda: connection.received or connection.lost)
    assert connection.received == b"hello"
    connection.transport.abort()
    rig.until(lambda: roll.current == 0)
    client.close()


@pytest.fixture
def link(rig):
    roll = Roll(rig.capacity, Limits())
    roll.enter()
    link = BridgeLink(rig.reactor, Echo(_Arrival()), roll, False)
    link.makeConnection(StringTransport())
    return link


def test_the_end_of_reading_is_told_once(link):
    link.connection.keep_open = True
    link.readConnectionLost()
    link.readConnectionLost()
    assert link.connection.calls == ["made", "eof"]


@pytest.mark.parametrize(
    ("reason", "told"), [(ConnectionDone(), False), (ConnectionAborted(), False), (ConnectionLost(), True)]
)
def test_only_trouble_is_told_as_an_error(link, reason, told):
    link.connectionLost(Failure(reason))
    assert (link.connection.error is reason) is told
    assert (link.connection.error is None) is not told
    assert link.connection.lost == 1


def test_a_connection_that_fails_as_it_ends_is_still_counted_out(link):
    roll = link._roll
    link.connection.connection_lost = lambda error: 1 / 0
    link.connectionLost(Failure(ConnectionDone()))
    assert roll.current == 0
    assert not roll.connections


def test_a_transport_without_a_descriptor_still_tells_whether_it_is_full(link):
    transport = link._bridge
    assert transport.get_write_buffer_size() == 0
    transport._valve.pauseProducing()
    transport._valve.pauseProducing()
    assert transport.get_write_buffer_size() > 0
    transport._valve.resumeProducing()
    transport._valve.resumeProducing()
    assert link.connection.calls == ["made", "pause", "resume"]


class _Arrival:
    peer = ("10.0.0.1", 5)
