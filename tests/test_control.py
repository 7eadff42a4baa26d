"""The control socket, and what ``tinfront status`` makes of it."""

import os
import socket

import pytest
from twisted.internet.testing import MemoryReactorClock, StringTransport

from tinfront.control import Control, table

STATUS = {
    "version": "1.2",
    "pid": 42,
    "uptime": 90061.5,
    "stopping": False,
    "connections": {"open": 3, "limit": 1000, "pauses": 6},
    "listeners": [
        {
            "name": "web",
            "urls": ["http://a:80"],
            "open": 3,
            "accepted": 70,
            "refused": 1,
            "handshake_failed": 0,
            "unannounced": 2,
            "over_address": 4,
            "closed_idle": 5,
        }
    ],
    "apps": [
        {
            "name": "main",
            "generation": 3,
            "draining": False,
            "ready": False,
            "busy": 1,
            "idle": 2,
            "waiting": 3,
            "oldest_wait": 1.25,
            "shed": {"full": 4, "timeout": 5, "gone": 6},
            "trouble": "no module",
        }
    ],
    "spool": {
        "used": 1024,
        "limit": 2048,
        "memory": 512,
        "memory_limit": 4096,
        "spilled": 7,
        "full": 8,
        "cut": 9,
    },
    "log_lines_lost": 5,
}


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


def test_the_table_for_people():
    assert table(STATUS) == (
        "tinfront 1.2, pid 42, up for 1 d 01:01:01\n"
        "\n"
        "LISTEN  OPEN  ACCEPTED  REFUSED  PER ADDRESS  IDLEST  BAD TLS  NO PROXY  AT\n"
        "web     3     70        1        4            5       0        2         http://a:80\n"
        "\n"
        "APP   GEN  STATE      BUSY  IDLE  WAITING  OLDEST  FULL  TIMEOUT  GONE\n"
        "main  3    not ready  1     2     3        1.2 s   4     5        6     no module\n"
        "\n"
        "connections: 3 of 1,000; accepting has paused 6 times\n"
        "spool: 1,024 of 2,048 bytes; log lines lost: 5\n"
        "spool memory: 512 of 4,096 bytes; bodies on disk for lack of it: 7; no room on disk: 8; "
        "answers cut for that: 9\n"
    )
