"""Accepting, with a listening socket that does what the test says."""

import errno
import socket

import pytest
from twisted.internet.task import Clock

from tinfront.config.model import Limits
from tinfront.front.acceptor import AT_ONCE, BATCH, PAUSE, Acceptor, Entrance
from tinfront.front.roll import Capacity, Roll


class Listening:
    """Hands out what is queued: addresses, or errors."""

    def __init__(self, *queue, family=socket.AF_INET):
        self.queue = list(queue)
        self.family = family
        self.closed = False
        self.made = []

    def accept(self):
        if not self.queue:
            raise BlockingIOError
        found = self.queue.pop(0)
        if isinstance(found, OSError):
            raise found
        mine, theirs = socket.socketpair()
        self.made += [mine, theirs]
        return mine, found

    def getsockname(self):
        return ("127.0.0.1", 80)

    def fileno(self):
        return 99

    def close(self):
        self.closed = True


class Descriptors:
    def __init__(self):
        self.readers = {}

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]


class Keeping:
    """An opener that keeps what it gets."""

    def __init__(self, error=None):
        self.opened = []
        self.error = error

    def open(self, sock, connection, roll, secure):
        if self.error:
            raise self.error
        self.opened.append(connection)


@pytest.fixture
def hall():
    """An acceptor for a queue, with everything around it."""
    capacity = Capacity()
    made = []

    def build(*queue, opener=None, family=socket.AF_INET):
        listening = Listening(*queue, family=family)
        made.append(listening)
        descriptors, clock = Descriptors(), Clock()
        entrance = Entrance(
            "web",
            lambda arrival: arrival,
            Roll(capacity, Limits()),
            opener or Keeping(),
            descriptors,
            clock.callLater,
            Limits(),
            False,
        )
        acceptor = Acceptor(listening, entrance)
        acceptor.start()
        return acceptor, entrance, descriptors, clock

    yield build
    capacity.give_spares()
    for listening in made:
        for sock in listening.made:
            sock.close()


def ports(entrance):
    return [arrival.peer[1] for arrival in entrance.opener.opened]


def test_a_turn_opens_a_batch_at_most_and_accepts_many_more(hall):
    acceptor, entrance, descriptors, clock = hall(*[("10.0.0.1", port) for port in range(AT_ONCE + 1)])
    descriptors.readers[99]()
    assert ports(entrance) == list(range(BATCH))
    assert entrance.roll.accepted == entrance.roll.current == AT_ONCE
    assert len(acceptor.socket.queue) == 1
    assert [call.getTime() for call in clock.getDelayedCalls()] == [0]


def test_who_comes_later_is_opened_later(hall):
    acceptor, entrance, descriptors, clock = hall(*[("10.0.0.1", port) for port in range(2 * BATCH)])
    descriptors.readers[99]()
    acceptor.socket.queue = [("10.0.0.1", 2 * BATCH)]
    descriptors.readers[99]()
    assert len(entrance.opener.opened) == BATCH  # one batch a turn, however often it is woken
    clock.pump([0, 0, 0])
    assert ports(entrance) == list(range(2 * BATCH + 1))
    assert not clock.getDelayedCalls()
    acceptor.socket.queue = [("10.0.0.1", 9999)]
    descriptors.readers[99]()
    assert ports(entrance)[-1] == 9999


def test_those_in_the_lobby_count_as_connected(hall):
    acceptor, entrance, descriptors, _ = hall(*[("10.0.0.1", 5)] * (2 * BATCH))
    entrance.roll.capacity.limit = BATCH + 10
    descriptors.readers[99]()
    assert (len(entrance.opener.opened), entrance.roll.current) == (BATCH, BATCH + 10)
    descriptors.readers[99]()
    assert not descriptors.readers
    assert len(acceptor.socket.queue) == BATCH - 10


@pytest.mark.parametrize("count", [3, BATCH + 1])
def test_one_that_cannot_be_taken_does_not_keep_the_lobby_shut(hall, monkeypatch, count):
    acceptor, entrance, descriptors, clock = hall(*[("10.0.0.1", port) for port in range(count)])
    monkeypatch.setattr(acceptor, "admit", lambda sock, arrival: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        descriptors.readers[99]()
    monkeypatch.undo()
    clock.pump([0, 0])
    assert ports(entrance) == list(range(1, count))


def test_who_leaves_the_socket_to_another_lets_in_whom_it_has_accepted(hall):
    acceptor, entrance, descriptors, clock = hall(*[("10.0.0.1", port) for port in range(2 * BATCH)])
    descriptors.readers[99]()
    acceptor.leave()
    clock.advance(0)
    assert ports(entrance) == list(range(2 * BATCH))


def test_trouble_with_one_client_does_not_stop_the_batch(hall):
    _, entrance, descriptors, _ = hall(
        ConnectionAbortedError(errno.ECONNABORTED, "x"), OSError(errno.EPERM, "x"), ("10.0.0.1", 5)
    )
    descriptors.readers[99]()
    assert entrance.roll.accepted == 1
    assert descriptors.readers


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_running_out_pauses_until_the_clock_or_a_close(hall, code):
    _, entrance, descriptors, clock = hall(OSError(code, "Out of it"), OSError(code, "Out of it"), ("10.0.0.1", 5))
    descriptors.readers[99]()
    assert not descriptors.readers
    clock.advance(PAUSE)
    descriptors.readers[99]()
    assert not descriptors.readers
    entrance.roll.enter()
    entrance.roll.leave()
    descriptors.readers[99]()
    assert entrance.roll.accepted == 2
    clock.advance(PAUSE)  # the timer that was not needed does no harm
    assert list(descriptors.readers) == [99]


def test_the_bound_holds_before_accept(hall):
    acceptor, entrance, descriptors, _ = hall(("10.0.0.1", 5), ("10.0.0.1", 6))
    entrance.roll.capacity.limit = 1
    descriptors.readers[99]()
    assert entrance.roll.current == 1
    assert (entrance.roll.capacity.pauses, len(descriptors.readers)) == (0, 1)  # maybe nobody else comes
    descriptors.readers[99]()
    assert entrance.roll.capacity.pauses == 1
    assert len(acceptor.socket.queue) == 1
    assert not descriptors.readers
    entrance.roll.leave()
    descriptors.readers[99]()
    assert acceptor.socket.queue == []


def test_stop_takes_the_queue_and_closes(hall):
    acceptor, entrance, descriptors, _ = hall(*[("10.0.0.1", 5)] * 100)
    acceptor.stop(2048)
    acceptor.stop(2048)
    assert len(entrance.opener.opened) == entrance.roll.accepted == 100
    assert acceptor.socket.closed
    assert not descriptors.readers
    acceptor.start()
    assert not descriptors.readers


def test_stop_takes_no_more_than_the_backlog(hall):
    acceptor, entrance, _, _ = hall(*[("10.0.0.1", 5)] * 1000)
    acceptor.stop(100)
    assert entrance.roll.accepted == 100


def test_stop_lets_in_who_is_in_the_lobby(hall):
    acceptor, entrance, descriptors, clock = hall(*[("10.0.0.1", port) for port in range(2 * BATCH)])
    descriptors.readers[99]()
    acceptor.stop(100)
    assert ports(entrance) == list(range(2 * BATCH))
    clock.advance(0)
    assert not clock.getDelayedCalls()


def test_addresses_of_both_families_on_one_socket(hall):
    _, entrance, descriptors, _ = hall(("::ffff:10.0.0.1", 5, 0, 0), ("2001:db8::1", 6, 0, 0), family=socket.AF_INET6)
    descriptors.readers[99]()
    assert [arrival.peer for arrival in entrance.opener.opened] == [("10.0.0.1", 5), ("2001:db8::1", 6)]


@pytest.mark.parametrize("error", [OSError(errno.ENOTCONN, "gone"), RuntimeError("bug")])
def test_what_cannot_be_opened_is_closed_and_counted_out(hall, error):
    acceptor, entrance, descriptors, _ = hall(("10.0.0.1", 5), ("10.0.0.1", 6), opener=Keeping(error))
    descriptors.readers[99]()
    assert entrance.roll.accepted == 2
    assert entrance.roll.current == 0
    assert acceptor.socket.made[0].fileno() == -1
