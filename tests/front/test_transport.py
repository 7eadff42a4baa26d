"""Both kinds of transports drive a connection alike: every test runs on uvloop, asyncio and Twisted."""

import os
import socket
import struct

import pytest
from twisted.logger import globalLogPublisher
from zope.interface.verify import verifyObject

from tests.rig import Rig, port_of, read_all, talk
from tinfront.config.model import Address
from tinfront.interfaces import ITransport

BIG = os.urandom(1024) * 10_240


@pytest.fixture(params=["uvloop", "asyncio", "reactor"])
def rig(request):
    rig = Rig(request.param)
    yield rig
    rig.close()


def test_bytes_go_in_and_out(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        assert rig.run(talk, client, b"hello") == b"hello"
    rig.until(lambda: connection.lost)
    assert connection.calls == ["made", "eof"]
    assert connection.lost == 1
    assert connection.error is None


def test_arrival_tells_who_came_and_where(rig):
    listener = rig.listen()
    client, connection = rig.connect(listener)
    with client:
        assert connection.arrival.peer == client.getsockname()
        assert connection.arrival.local == ("127.0.0.1", port_of(listener))
        assert connection.arrival.secure is False
        assert connection.arrival.listener == "web"
        assert connection.transport.get_extra_info("peername") == client.getsockname()


def test_ipv6(rig):
    if not _has_ipv6():
        pytest.skip("no IPv6 here")
    client, connection = rig.connect(rig.listen(Address("tcp", "::1", 0)))
    with client:
        assert rig.run(talk, client, b"six") == b"six"
        assert connection.arrival.peer == client.getsockname()[:2]


def test_unix_peers_have_no_address(rig, tmp_path):
    client, connection = rig.connect(rig.listen(Address("unix", path=str(tmp_path / "s"))))
    with client:
        assert rig.run(talk, client, b"unix") == b"unix"
        assert connection.arrival.peer == ("", 0)
        assert connection.arrival.local == (str(tmp_path / "s"), 0)


def test_a_small_write_leaves_at_once(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        connection.transport.write(b"head")
        assert connection.transport.get_write_buffer_size() == 0
        assert client.recv(10) == b"head"  # without a turn of the loop


def test_writelines_keeps_the_order(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        connection.transport.writelines([b"a", b"b", b"c"])
        rig.until(lambda: connection.transport.get_write_buffer_size() == 0)
        assert client.recv(10) == b"abc"


def test_a_slow_reader_pauses_and_resumes_the_connection(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        connection.transport.write(BIG)
        assert connection.calls == ["made", "pause"]
        first = connection.transport.get_write_buffer_size()
        assert 0 < first < len(BIG)
        got = rig.run(_read, client, 4 * 1024**2)
        rig.until(lambda: connection.transport.get_write_buffer_size() < first)
        got += rig.run(_read, client, len(BIG) - len(got))
        rig.until(lambda: connection.transport.get_write_buffer_size() == 0)
        assert got == BIG
        assert connection.calls == ["made", "pause", "resume"]


def test_a_high_mark_of_zero_tells_of_every_byte_buffered(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        connection.transport.set_write_buffer_limits(0)
        connection.transport.write(BIG)
        assert connection.calls == ["made", "pause"]
        assert rig.run(_read, client, len(BIG)) == BIG
        rig.until(lambda: connection.calls[-1] == "resume")
        assert connection.transport.get_write_buffer_size() == 0


def test_nothing_is_delivered_while_reading_is_paused(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        connection.transport.pause_reading()
        client.sendall(b"patience")
        other, _ = rig.connect(rig.listeners[0])
        with other:
            assert rig.run(talk, other, b"x") == b"x"
        assert connection.received == b""
        connection.transport.resume_reading()
        rig.until(lambda: connection.received == b"patience")


def test_a_half_closed_client_can_still_be_answered(rig):
    client, connection = rig.connect(rig.listen())
    connection.keep_open = True
    with client:
        client.shutdown(socket.SHUT_WR)
        rig.until(lambda: "eof" in connection.calls)
        assert not connection.transport.is_closing()
        connection.transport.write(b"answer")
        connection.transport.close()
        assert rig.run(read_all, client) == b"answer"
    rig.until(lambda: connection.lost)
    assert connection.calls == ["made", "eof"]


def test_an_eof_closes_where_the_connection_does_not_object(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        client.shutdown(socket.SHUT_WR)
        assert rig.run(read_all, client) == b""
    rig.until(lambda: connection.lost)


def test_write_eof_shuts_our_side_only_after_what_is_buffered(rig):
    client, connection = rig.connect(rig.listen())
    assert connection.transport.can_write_eof()
    connection.echo = False
    with client:
        connection.transport.write(BIG)
        connection.transport.write_eof()
        assert rig.run(read_all, client) == BIG
        client.sendall(b"still read")
        rig.until(lambda: connection.received == b"still read")
        connection.transport.close()
        assert connection.lost == 0  # never from within close
        rig.until(lambda: connection.lost)


def test_close_sends_what_is_buffered_first(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        connection.transport.write(BIG)
        connection.transport.close()
        assert connection.transport.is_closing()
        assert rig.run(read_all, client) == BIG
    rig.until(lambda: connection.lost)
    assert connection.error is None


def test_abort_drops_what_is_buffered(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        connection.transport.write(BIG)
        connection.transport.abort()
        rig.until(lambda: connection.lost)
        assert connection.transport.get_extra_info("socket", None) is None or connection.lost == 1
        assert len(rig.run(_read_or_reset, client)) < len(BIG)
    assert connection.error is None
    assert connection.lost == 1


def test_abort_from_within_data_received(rig):
    client, connection = rig.connect(rig.listen())
    connection.transport, transport = _Aborting(connection), connection.transport
    connection.real = transport
    with client:
        client.sendall(b"x")
        assert rig.run(_read_or_reset, client) == b""
    rig.until(lambda: connection.lost)
    assert connection.lost == 1


def test_a_reset_is_told_as_an_error_or_an_end(rig):
    client, connection = rig.connect(rig.listen())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    rig.until(lambda: connection.lost)
    assert isinstance(connection.error, Exception)
    assert connection.lost == 1


def test_everything_is_harmless_once_it_is_lost(rig):
    client, connection = rig.connect(rig.listen())
    client.close()
    rig.until(lambda: connection.lost)
    transport = connection.transport
    assert transport.is_closing()
    assert transport.get_write_buffer_size() == 0
    transport.pause_reading()
    transport.resume_reading()
    transport.close()
    transport.abort()
    rig.spin()
    assert connection.lost == 1


def test_the_socket_can_be_used_for_sendfile(rig, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"file")
    client, connection = rig.connect(rig.listen())
    with client, path.open("rb") as file:
        connection.transport.write(b"head ")
        assert connection.transport.get_write_buffer_size() == 0
        os.sendfile(connection.transport.get_extra_info("socket").fileno(), file.fileno(), 0, 4)
        assert rig.run(_read, client, 9) == b"head file"


def test_nagle_is_off(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_connection_that_fails_as_it_begins_is_closed(rig):
    rig.build, made = lambda arrival: _Broken(arrival, made), []
    listener = rig.listen()
    with socket.create_connection(("127.0.0.1", port_of(listener)), 10) as client:
        assert rig.run(_read_or_reset, client) == b""
    rig.until(lambda: listener.roll.current == 0)
    assert made == ["lost"]


def test_a_connection_that_fails_at_work_is_closed_and_logged(rig):
    failures = []

    def observe(event):
        if "log_failure" in event:
            failures.append(event["log_failure"].value)

    rig.build, build = lambda arrival: _Clumsy(build(arrival)), rig.build
    listener = rig.listen()
    globalLogPublisher.addObserver(observe)
    try:
        with socket.create_connection(("127.0.0.1", port_of(listener)), 10) as client:
            client.sendall(b"x")
            assert rig.run(_read_or_reset, client) == b""
            rig.until(lambda: listener.roll.current == 0)
    finally:
        globalLogPublisher.removeObserver(observe)
    if rig.fast:  # a Twisted reactor logs by itself
        assert [str(failure) for failure in failures] == ["clumsy"]
    assert rig.connections[0].lost == 1


def test_a_connection_that_cannot_be_built_is_closed(rig):
    def fail(arrival):
        raise RuntimeError("no")

    listener = rig.listen(build=fail)
    with socket.create_connection(("127.0.0.1", port_of(listener)), 10) as client:
        assert rig.run(_read_or_reset, client) == b""
    rig.until(lambda: listener.roll.accepted == 1)
    assert listener.roll.current == 0


def test_the_bridge_provides_the_interface():
    rig = Rig("reactor")
    client, connection = rig.connect(rig.listen())
    with client:
        assert verifyObject(ITransport, connection.transport)
    rig.close()


class _Aborting:
    """Aborts at the first write, which is within ``data_received``."""

    def __init__(self, connection):
        self.connection = connection

    def write(self, data):
        self.connection.real.abort()


class _Clumsy:
    """A connection that fails at the first byte."""

    deadline = float("inf")

    def __init__(self, connection):
        self.connection = connection

    def data_received(self, data):
        raise RuntimeError("clumsy")

    def __getattr__(self, name):
        return getattr(self.connection, name)


class _Broken:
    deadline = float("inf")

    def __init__(self, arrival, log):
        self.log = log

    def connection_made(self, transport):
        raise RuntimeError("broken")

    def data_received(self, data):
        self.log.append("data")

    def eof_received(self):
        return False

    def connection_lost(self, error):
        self.log.append("lost")


def _read(sock, count):
    data = b""
    while len(data) < count and (piece := sock.recv(min(65536, count - len(data)))):
        data += piece
    return data


def _read_or_reset(sock):
    try:
        return read_all(sock)
    except ConnectionResetError:
        return b""


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
