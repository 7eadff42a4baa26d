"""The control socket."""

import os
import socket

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport

from tinfront.control import Control


class Reactor(MemoryReactorClock):
    """Keeps the factory that would listen."""

    def listenUNIX(self, address, factory, backlog=50, mode=0o666, wantPID=0):
        self.listening = (address, factory, mode)
        return super().listenUNIX(address, factory, backlog, mode, wantPID)


@pytest.fixture
def reactor():
    return Reactor()


def converse(reactor, tmp_path, sent, answers):
    control = Control(str(tmp_path / "run" / "control"), reactor, answers)
    control.privilegedStartService()
    protocol = reactor.listening[1].buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.callLater = reactor.callLater
    protocol.dataReceived(sent)
    protocol.setTimeout(None)
    return transport


def test_a_word_is_answered_and_the_connection_closed(reactor, tmp_path):
    transport = converse(reactor, tmp_path, b"status\n", {"status": lambda: {"a": 1}})
    assert transport.value() == b'{"a": 1}\n'
    assert transport.disconnecting


def test_an_answer_may_come_later(reactor, tmp_path):
    later = Deferred()
    transport = converse(reactor, tmp_path, b"stacks\n", {"stacks": lambda: later})
    assert transport.value() == b""
    later.callback({"workers": []})
    assert transport.value() == b'{"workers": []}\n'


def test_an_unknown_word_names_those_that_are_known(reactor, tmp_path):
    transport = converse(reactor, tmp_path, b"stauts\n", {"status": dict, "stop": dict})
    assert b"unknown word 'stauts', known are status, stop" in transport.value()


def test_only_the_owner_may_talk(reactor, tmp_path):
    converse(reactor, tmp_path, b"", {})
    assert reactor.listening[2] == 0o600


def test_a_stale_socket_is_removed(reactor, tmp_path):
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    Control(str(path), reactor, {}).privilegedStartService()
    assert not path.exists()


def test_a_server_that_runs_is_left_alone(reactor, tmp_path):
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(OSError, match="already answers there"):
            Control(str(path), reactor, {}).privilegedStartService()
    assert path.exists()


def test_a_file_is_never_removed(reactor, tmp_path):
    path = tmp_path / "control"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        Control(str(path), reactor, {}).privilegedStartService()
    assert os.path.getsize(path) == 8
