"""TLS on the socket itself, with real clients on both loops. What it shares with other transports is in test_tls."""

import gc
import socket
import ssl
import struct
import weakref

import pytest
from twisted.logger import globalLogPublisher

from tests.rig import Rig, certify, dial, read_all, shake, talk
from tinfront.front.records import RECORD
from tinfront.front.tls_transport import Handshake, TlsTransport


@pytest.fixture(params=["uvloop", "asyncio"])
def rig(request):
    rig = Rig(request.param)
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def pair(rig, certificates):
    """A client and its connection."""
    listener = rig.listen(certificates=certificates)
    client = rig.run(shake, listener)
    rig.until(lambda: rig.connections[-1].transport)
    with client:
        yield client, rig.connections[-1]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_large_things_both_ways(rig, certificates, version):
    listener = rig.listen(certificates=certificates)
    data = bytes(range(256)) * 8192
    with rig.run(shake, listener, version) as client:
        rig.until(lambda: rig.connections[-1].transport)
        rig.connections[-1].echo = False
        rig.run(client.sendall, data)
        rig.until(lambda: len(rig.connections[-1].received) == len(data))
        rig.connections[-1].echo = True
        assert rig.connections[-1].received == data
        assert rig.run(talk, client, data[:100_000]) == data[:100_000]


def test_a_goodbye_is_an_eof_and_is_answered(rig, pair):
    client, connection = pair
    plain = rig.run(client.unwrap)  # waits for our goodbye
    assert connection.calls == ["made", "eof"]
    with plain:
        assert rig.run(plain.recv, 1) == b""
    rig.until(lambda: connection.lost)
    assert connection.error is None


def test_what_was_buffered_leaves_before_the_goodbye(rig, pair):
    client, connection = pair
    client.suppress_ragged_eofs = False
    data = b"0123456789" * 1_000_000
    connection.transport.write(data)
    assert connection.transport.get_write_buffer_size() > 0
    connection.transport.close()
    assert rig.run(read_all, client) == data  # which stops at a goodbye only


@pytest.mark.parametrize("size", [1, 10_000_000])
def test_nothing_is_taken_after_close(rig, pair, size):
    client, connection = pair
    client.suppress_ragged_eofs = False
    transport = connection.transport
    transport.write(bytes(size))
    transport.close()
    transport.write(b"late")
    assert not transport.get_extra_info("records").free
    assert len(rig.run(read_all, client)) == size
    transport.write(b"too late")
    client.close()
    rig.until(lambda: connection.lost)
    transport.write(b"much too late")


def test_closing_amid_what_comes_in(rig, pair):
    client, connection = pair
    connection.take = lambda data: connection.transport.close()
    rig.run(client.sendall, bytes(5 * RECORD))
    assert rig.run(read_all, client) == b""
    client.close()
    rig.until(lambda: connection.lost)
    assert connection.error is None


def test_an_end_without_goodbye_is_no_eof(rig, pair):
    client, connection = pair
    socket.socket.shutdown(client, socket.SHUT_WR)
    rig.until(lambda: connection.lost)
    assert connection.calls == ["made"]
    assert connection.error is None


def test_a_reset_is_no_eof(rig, pair):
    client, connection = pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    rig.until(lambda: connection.lost)
    assert connection.calls == ["made"]


def test_garbage_is_an_error(rig, pair):
    client, connection = pair
    socket.socket.sendall(client, b"this is not a record, and it is longer than the head of one")
    rig.until(lambda: connection.lost)
    assert isinstance(connection.error, ssl.SSLError)


def test_abort_is_seen_by_the_client(rig, pair):
    client, connection = pair
    connection.transport.write(b"half")
    connection.transport.abort()
    with pytest.raises(ssl.SSLEOFError):
        rig.run(_strictly, client)
    assert connection.lost == 1
    assert connection.error is None


def test_what_comes_after_our_goodbye_is_dropped_and_does_not_cost_the_answer(rig, pair):
    client, connection = pair
    connection.transport.write(b"answer")
    connection.transport.close()
    rig.spin()
    rig.run(client.sendall, bytes(200_000))
    assert rig.run(read_all, client) == b"answer"
    client.close()
    rig.until(lambda: connection.lost)
    assert connection.received == b""
    assert connection.error is None


def test_a_slow_client_holds_little(pair):
    _, connection = pair
    transport = connection.transport
    records = transport.get_extra_info("records")
    while records.free:
        records.take(memoryview(bytes(64 * 1024)))
    assert 0 < transport.get_write_buffer_size() <= RECORD
    assert connection.calls == ["made", "pause"]


def test_a_connection_that_fails_is_closed_and_logged(rig, pair):
    client, connection = pair
    failures = []
    observe = lambda event: failures.extend([event["log_failure"].value] if "log_failure" in event else [])  # noqa: E731

    def take(data):
        raise RuntimeError("clumsy")

    connection.take = take
    globalLogPublisher.addObserver(observe)
    try:
        rig.run(client.sendall, b"x")
        rig.until(lambda: connection.lost)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert [str(failure) for failure in failures] == ["clumsy"]


def test_a_handshake_that_is_given_up_is_told_once(certificates):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    told = []
    rig = Rig("uvloop")
    certificates.load()
    secure = certificates.context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
    with secure, theirs:
        handshake = Handshake(rig.loop, secure, told.append)
        handshake.go_on()
        handshake.abort()
        handshake.abort()
    rig.close()
    assert [type(error) for error in told] == [ConnectionAbortedError]


def test_a_handshake_that_fails_is_counted(rig, certificates):
    listener = rig.listen(certificates=certificates)
    with dial(listener) as client:
        client.sendall(b"\x16\x03\x01\x00\x05hello")
        rig.until(lambda: listener.roll.handshake_failed == 1)
    assert (listener.roll.current, listener.roll.pending, rig.connections[-1].calls) == (0, {}, [])


class _Stalling:
    """An ``ssl.SSLSocket`` whose client has changed its keys while there is no room to write."""

    family = socket.AF_UNIX

    def __init__(self, sock):
        self.sock = sock
        self.room = False
        self.farewells = 0

    def fileno(self):
        return self.sock.fileno()

    def read(self, count):
        if not self.room:
            self.room = True
            raise ssl.SSLWantWriteError
        try:
            return self.sock.recv(count)
        except BlockingIOError:
            raise ssl.SSLWantReadError from None

    def write(self, data):
        return self.sock.send(data)

    def unwrap(self):
        self.farewells += 1
        raise ssl.SSLWantReadError

    def shutdown(self, how):
        self.sock.shutdown(how)

    def recv(self, count):
        return self.sock.recv(count)

    def close(self):
        self.sock.close()


def test_reading_that_needs_room_to_write_goes_on_when_there_is_some(rig):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = _Link()
    transport = TlsTransport(rig.loop, _Stalling(ours), link)
    with theirs:
        theirs.sendall(b"data")
        rig.until(lambda: link.received == b"data")
        transport.abort()
        rig.until(lambda: link.lost)


class _Link:
    connection = None

    def __init__(self):
        self.received = b""
        self.lost = 0

    def data_received(self, data):
        self.received += data

    def part(self):
        pass

    def connection_lost(self, error):
        self.lost += 1


def test_closing_while_reading_needs_room_to_write(rig):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link, secure = _Link(), _Stalling(ours)
    transport = TlsTransport(rig.loop, secure, link)
    with theirs:
        theirs.sendall(b"data")
        rig.until(lambda: secure.room)
        transport.close()
        assert secure.farewells == 1
        theirs.shutdown(socket.SHUT_WR)
        rig.until(lambda: link.lost)
    assert secure.farewells == 1


def test_a_lost_connection_waits_for_no_collector(rig):
    """What TLS keeps is large: in a circle it would lie about until the collector's last generation."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = _Link()
    link.transport = transport = TlsTransport(rig.loop, _Stalling(ours), link)
    gone = weakref.ref(transport._socket)
    gc.collect()
    gc.disable()
    try:
        transport.abort()
        rig.spin()
        assert link.lost
        del transport, link
        rig.spin()
        assert gone() is None
    finally:
        gc.enable()
        theirs.close()


def _strictly(client):
    client.suppress_ragged_eofs = False
    return read_all(client)
