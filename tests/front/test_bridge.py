"""``IDescriptors`` on a Twisted reactor, and what the bridge makes of a transport's callbacks."""

import os
import socket

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.rig import Echo, Rig
from tinfront.config.model import Limits
from tinfront.front.bridge import BridgeLink, ReactorDescriptors
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
