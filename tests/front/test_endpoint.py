"""Twisted endpoint strings as a way in. Those with TLS are in ``test_tls``."""

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.rig import Rig, dial, port_of, read_all, talk
from tinfront.config.model import Limits, Listener, Place
from tinfront.errors import ConfigError
from tinfront.front import endpoint as endpoint_module
from tinfront.front.endpoint import EndpointFactory, pair, parse_endpoint
from tinfront.front.listener import CannotListen
from tinfront.front.roll import Roll


@pytest.fixture
def rig():
    rig = Rig("reactor")
    yield rig
    rig.close()


def test_an_endpoint_string(rig):
    listener = rig.make(endpoint="tcp:0:interface=127.0.0.1")
    listener.privilegedStartService()
    listener.startService()
    assert listener.urls()[0].startswith("http://127.0.0.1:")
    client, connection = rig.connect(listener)
    assert rig.run(talk, client, b"endpoint") == b"endpoint"
    assert connection.arrival.peer == client.getsockname()
    assert connection.arrival.local == ("127.0.0.1", port_of(listener))
    assert listener.roll.current == 1
    rig.capacity.limit = 1
    connection.drain = lambda: None
    with dial(listener) as refused:
        assert rig.run(_read_or_reset, refused) == b""
    assert listener.roll.refused == 1
    client.close()
    rig.until(lambda: connection.lost)


def test_an_endpoint_string_that_makes_no_sense_is_a_config_error(rig):
    with pytest.raises(ConfigError, match=r"\[listen:web\] endpoint: nonsense:1: "):
        rig.make(endpoint="nonsense:1").privilegedStartService()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("systemd:domain=INET:index=0", r"IndexError\('list index out of range'\)"),
        ("systemd:domain=INET:name=web", r"KeyError\('web'\)"),
        ("tcp", r"TypeError\(.*port.*\)"),
        ("tcp:many", "invalid literal .*many.*"),
        ("ssl:0:privateKey=/nowhere/key.pem", ".*No such file or directory.*"),
    ],
)
def test_whatever_a_parser_raises_is_a_config_error(rig, text, why):
    with pytest.raises(ConfigError, match=rf"^site.ini:7: \[listen:web\] endpoint: {text}: {why}$"):
        parse_endpoint(Listener("web", endpoint=text, place=Place("site.ini", 7)), rig.reactor)


def test_an_endpoint_that_cannot_even_try_to_listen(rig, monkeypatch):
    class Broken:
        def listen(self, factory):
            raise LookupError("no onion today")

    monkeypatch.setattr(endpoint_module, "serverFromString", lambda reactor, text: Broken())
    with pytest.raises(ConfigError, match=r"endpoint: onion:80: LookupError\('no onion today'\)$"):
        rig.make(endpoint="onion:80").privilegedStartService()


def test_an_endpoint_that_cannot_listen(rig):
    taken = port_of(rig.listen())
    with pytest.raises(CannotListen) as caught:
        rig.make(endpoint=f"tcp:{taken}:interface=127.0.0.1").privilegedStartService()
    assert str(caught.value) == f"cannot listen on tcp:{taken}:interface=127.0.0.1: address already in use"


def test_an_endpoint_that_takes_its_time(rig, monkeypatch):
    class Slow:
        def __init__(self):
            self.listening = Deferred()
            self.stopped = False

        def listen(self, factory):
            return self.listening

        def stopListening(self):
            self.stopped = True

        def getHost(self):
            return IPv4Address("TCP", "10.0.0.1", 5)

    slow = [Slow(), Slow(), Slow()]
    waiting = slow.copy()
    monkeypatch.setattr(endpoint_module, "serverFromString", lambda reactor, text: waiting.pop(0))
    listeners = [rig.make(endpoint="slow:1") for _ in slow]
    for listener in listeners:
        listener.privilegedStartService()
        listener.startService()
        assert listener.urls() == ["slow:1"]
    slow[0].listening.callback(slow[0])
    assert listeners[0].urls() == ["http://10.0.0.1:5"]
    listeners[1].stop_accepting()
    slow[1].listening.callback(slow[1])
    assert slow[1].stopped
    slow[2].listening.errback(RuntimeError("no onion today"))  # is logged
    listeners[2].stop_accepting()


def test_a_connection_that_cannot_be_built_loses_its_endpoint_socket(rig):
    def fail(arrival):
        raise RuntimeError("no")

    roll = Roll(rig.capacity, Limits())
    link = EndpointFactory("web", fail, roll, rig.reactor).buildProtocol(None)
    transport = StringTransport()
    link.makeConnection(transport)
    assert transport.disconnecting
    link.connectionLost(Failure(ConnectionDone()))
    assert (roll.accepted, roll.current) == (1, 0)


def test_addresses():
    assert pair(IPv4Address("TCP", "10.0.0.1", 5)) == ("10.0.0.1", 5)
    assert pair(UNIXAddress("/run/s")) == ("", 0)


def _read_or_reset(sock):
    try:
        return read_all(sock)
    except ConnectionResetError:
        return b""
