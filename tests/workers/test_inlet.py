"""The front's end of a body on its way: a real flow on one side, the app's stream on the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from tinfront.errors import BodyLost
from tinfront.front.flow import Flow
from tinfront.interfaces import IBodyReceiver
from tinfront.workers.inlet import Inlet
from tinfront.workers.live import live_input


class Rig:
    """A client that the test plays, a flow, an inlet, and an app that reads in a thread."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.held = False
        self.lost = 0
        self.flow = Flow(1 << 30, self._hold)
        self.inlet = Inlet(self.flow, loop, self._lose)
        self.input: Any = live_input(self.inlet.open().detach())
        self.read: list[Any] = []
        self._threads: list[threading.Thread] = []

    def _hold(self, hold: bool) -> None:
        self.held = hold

    def _lose(self) -> None:
        self.lost += 1

    def app(self, *counts: int) -> None:
        """Reads so much, again and again."""

        def run() -> None:
            for count in counts:
                try:
                    self.read.append(self.input.read(count))
                except OSError as error:
                    self.read.append(type(error))

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def send(self, data: bytes) -> None:
        """As a client would: nothing while nothing is taken."""
        for at in range(0, len(data), 65536):
            self.loop.until(lambda: not self.held or self.flow.paused is False)
            self.flow.feed(data[at : at + 65536])

    def close(self) -> None:
        self.flow.close()
        self.inlet.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        self.input.close()


@pytest.fixture
def rig(quiet_loop: Any) -> Iterator[Rig]:
    rig = Rig(quiet_loop)
    yield rig
    rig.close()


def test_a_body(rig: Rig) -> None:
    rig.app(3, -1)
    rig.loop.until(lambda: rig.inlet.started)
    rig.flow.feed(b"abcd")
    rig.flow.feed(b"ef")
    rig.flow.seal()
    rig.loop.until(lambda: len(rig.read) == 2)
    assert rig.read == [b"abc", b"def"]
    assert rig.lost == 0


def test_nothing_leaves_before_the_app_asks(rig: Rig) -> None:
    rig.flow.feed(b"abc")
    rig.loop.turn(0.0)
    assert rig.flow.paused
    assert rig.held
    assert not rig.inlet.started
    rig.app(-1)
    rig.loop.until(lambda: rig.inlet.started)
    rig.flow.seal()
    rig.loop.until(lambda: rig.read)
    assert rig.read == [b"abc"]


def test_a_body_that_is_complete_before_the_app_asks(rig: Rig) -> None:
    rig.flow.feed(b"abc")
    rig.flow.seal()
    rig.app(-1)
    rig.loop.until(lambda: rig.read)
    assert rig.read == [b"abc"]


def test_an_app_that_does_not_read_makes_the_client_wait(rig: Rig) -> None:
    rig.app(1)
    rig.loop.until(lambda: rig.inlet.started)
    sent = 0
    while not rig.flow.paused:
        rig.flow.feed(b"x" * 65536)
        sent += 65536
        assert sent < 1 << 24, "it never paused"
    assert rig.held
    rig.app(sent - 1)
    rig.loop.until(lambda: not rig.flow.paused)
    assert not rig.held
    rig.loop.until(lambda: len(rig.read) == 2)
    assert sum(map(len, rig.read)) == sent


def test_a_large_body_with_both_in_a_hurry(rig: Rig) -> None:
    data = bytes(range(256)) * 4 * 4096
    rig.app(-1)
    rig.loop.until(lambda: rig.inlet.started)
    for at in range(0, len(data), 65536):
        rig.loop.until(lambda: not rig.flow.paused)
        rig.flow.feed(data[at : at + 65536])
    rig.flow.seal()
    rig.loop.until(lambda: rig.read)
    assert rig.read == [data]


def test_an_end_that_does_not_fit_any_more_comes_later(rig: Rig) -> None:
    rig.app(1)
    rig.loop.until(lambda: rig.inlet.started)
    while not rig.flow.paused:
        rig.flow.feed(b"x" * 1000)
    rig.flow.seal()
    rig.app(-1)
    rig.loop.until(lambda: len(rig.read) == 2)
    assert rig.flow.length == sum(map(len, rig.read))


@pytest.mark.parametrize("asked", [True, False])
def test_a_client_that_leaves(rig: Rig, asked: bool) -> None:
    if asked:
        rig.app(3, -1)
        rig.loop.until(lambda: rig.inlet.started)
        rig.flow.feed(b"abcd")
        rig.flow.close()
        assert rig.lost == 1
        rig.loop.until(lambda: len(rig.read) == 2)
        assert rig.read == [b"abc", BodyLost]
    else:
        rig.flow.feed(b"abcd")
        rig.flow.close()
        rig.app(3)
        rig.loop.until(lambda: rig.read)
        assert rig.read == [BodyLost]
        assert rig.lost == 1


def test_a_job_that_is_given_up(rig: Rig) -> None:
    rig.app(-1)
    rig.loop.until(lambda: rig.inlet.started)
    rig.inlet.close()
    rig.flow.feed(b"for nobody")
    rig.flow.seal()
    rig.loop.until(lambda: rig.read)
    assert rig.read == [BodyLost]
    assert rig.lost == 0  # whoever says so knows


def test_an_app_that_reads_no_more_lets_the_rest_go_by(rig: Rig) -> None:
    rig.app(1)
    rig.loop.until(lambda: rig.inlet.started)
    while not rig.flow.paused:
        rig.flow.feed(b"x" * 65536)
    rig.loop.until(lambda: rig.read)
    rig.input.close()
    rig.loop.until(lambda: not rig.flow.paused)
    for _ in range(100):
        rig.flow.feed(b"x" * 65536)
        assert not rig.held
    rig.flow.seal()
    assert rig.lost == 0


def test_another_attempt(rig: Rig) -> None:
    """The first worker has died, or never took it: it has read nothing."""
    rig.input.close()
    rig.loop.turn()
    rig.input = live_input(rig.inlet.open().detach())
    rig.app(-1)
    rig.loop.until(lambda: rig.inlet.started)
    rig.flow.feed(b"abc")
    rig.flow.seal()
    rig.loop.until(lambda: rig.read)
    assert rig.read == [b"abc"]


def test_whose_fault_the_silence_is(rig: Rig) -> None:
    inlet, now = rig.inlet, monotonic()
    assert inlet.idle_since(now - 100.0, now) == now - 100.0  # it has not asked yet
    rig.app(1)
    rig.loop.until(lambda: inlet.started)
    later = now + 1000.0
    assert inlet.idle_since(now - 100.0, later) == later  # it waits for the client
    while not rig.flow.paused:
        rig.flow.feed(b"x" * 65536)
    assert now <= inlet.idle_since(now - 100.0, later) < later  # the client waits for it
    rig.app(-1)
    rig.flow.seal()
    rig.loop.until(lambda: len(rig.read) == 2)
    assert now <= inlet.idle_since(now - 100.0, later) < later  # it has all
    assert inlet.idle_since(later, later) == later


def test_the_interface(rig: Rig) -> None:
    verifyObject(IBodyReceiver, rig.inlet)
