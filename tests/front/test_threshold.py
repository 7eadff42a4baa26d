"""What comes before the transport: the PROXY protocol on real sockets, plain and before TLS. See also ``test_tls``."""

import socket
import ssl
import struct

import pytest
import trustme

from tests.rig import PATIENCE, Rig, dial, read_all, talk
from tinfront.config.model import Address, Limits, Site
from tinfront.front import addresses as addresses_module
from tinfront.front.threshold import PLAIN_TEXT_ANSWER, PlainText
from tinfront.front.tls import Certificates
from tinfront.interfaces import IConnection
from tinfront.keeper.local import LocalKeeper
from tinfront.wire.proxy import V2_MAX

LOCAL = Address("tcp", "127.0.0.1", 0)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
V1_6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"
V2 = SIGNATURE + b"\x21\x11\0\x0c" + socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2")
V2 += struct.pack("!HH", 56324, 443)
V2_SSL = SIGNATURE + b"\x21\x11\0\x14" + V2[16:] + b"\x20\0\5\1\0\0\0\0"
V2_LONG = SIGNATURE + b"\x21\x11" + struct.pack("!H", V2_MAX - 16) + V2[16:] + bytes(V2_MAX - 28)
LOCAL_V2 = SIGNATURE + b"\x20\0\0\0"
ANNOUNCED = (("192.0.2.1", 56324), ("198.51.100.2", 443))


@pytest.fixture(params=["uvloop", "asyncio", "reactor"])
def rig(request):
    rig = Rig(request.param)
    yield rig
    rig.close()


@pytest.fixture
def fast():
    rig = Rig("uvloop")
    yield rig
    rig.close()


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(addresses_module.log, "warn", lambda text, **values: lines.append(text.format(**values)))
    return lines


@pytest.fixture
def certificates(tmp_path):
    issued = trustme.CA().issue_cert("one.test")
    (tmp_path / "one.key").write_bytes(issued.private_key_pem.bytes())
    (tmp_path / "one.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    site = Site("one", ("one.test",), True, f"{tmp_path}/one.pem", f"{tmp_path}/one.key")
    return Certificates((site,), LocalKeeper({}), str(tmp_path))


def announced(rig, *addresses, **options):
    options.setdefault("trusted_proxies", ("127.0.0.0/8",))
    return rig.listen(*addresses, proxy_protocol=True, **options)


def say(listener, *packets):
    """A client that has sent its packets; the rest is the test's to do."""
    client = dial(listener)
    for packet in packets:
        client.sendall(packet)
    return client


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (V1, ANNOUNCED),
        (V2, ANNOUNCED),
        (V2_LONG, ANNOUNCED),
        (V1_6, (("2001:db8::1", 56324), ("2001:db8::2", 443))),
    ],
)
def test_the_addresses_are_those_of_the_header(rig, header, said):
    listener = announced(rig)
    with say(listener, header) as client:
        assert rig.run(talk, client, b"hello") == b"hello"
        arrival = rig.connections[0].arrival
        assert (arrival.peer, arrival.local) == said
        assert not arrival.trusted
        assert rig.connections[0].received == b"hello"
    rig.until(lambda: listener.roll.current == 0)
    assert listener.roll.unannounced == 0
    assert not listener.roll.pending


def test_the_proxy_may_have_ended_the_clients_tls(rig):
    """That is told to apps; the connection itself is as plain as it was."""
    listener = announced(rig)
    for header, https in ((V2, False), (V2_SSL, True)):
        with say(listener, header + b"hello") as client:
            assert rig.run(client.recv, 5) == b"hello"
            arrival = rig.connections[-1].arrival
            assert (arrival.secure, arrival.https) == (False, https)


@pytest.mark.parametrize("header", [LOCAL_V2, b"PROXY UNKNOWN\r\n"])
def test_a_proxy_may_come_for_itself(rig, header):
    with say(announced(rig), header + b"hello") as client:
        assert rig.run(client.recv, 5) == b"hello"
        arrival = rig.connections[0].arrival
        assert arrival.peer == client.getsockname()
        assert not arrival.trusted  # what is said behind it may come from anybody


@pytest.mark.parametrize("header", [V1, V2])
def test_what_follows_in_the_same_packet_is_not_lost(rig, header):
    with say(announced(rig), header + b"x" * 10_000) as client:
        data = b""
        while len(data) < 10_000:
            data += rig.run(client.recv, 65536)
        assert data == b"x" * 10_000


@pytest.mark.parametrize("header", [V1, V2])
def test_byte_by_byte(rig, header):
    listener = announced(rig)
    with dial(listener) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(header)):
            client.sendall(header[at : at + 1])
            if at % 5 == 0:
                rig.spin()
        client.sendall(b"hello")
        assert rig.run(client.recv, 5) == b"hello"
        assert rig.connections[0].arrival.peer == ANNOUNCED[0]
        assert rig.connections[0].received == b"hello"


def test_half_a_header_keeps_nobody_busy(rig):
    """What has come is taken from the kernel, or the loop would be woken for it again and again."""
    listener = announced(rig)
    with say(listener, V1[:20]) as client:
        rig.until(lambda: any(not waiting.silent for waiting in listener.roll.pending))
        [waiting] = listener.roll.pending
        held = waiting._socket
        with pytest.raises(BlockingIOError):
            held.recv(1, socket.MSG_PEEK)
        client.sendall(V1[20:])
        assert rig.run(talk, client, b"hello") == b"hello"


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", V1.replace(b"443", b"99999"), SIGNATURE + b"\x31", b"\x16\x03\x01"]
)
def test_without_a_header_it_is_closed_and_counted(rig, data, said):
    listener = announced(rig)
    with say(listener, data) as client:
        assert rig.run(_read_or_reset, client) == b""
    rig.until(lambda: listener.roll.current == 0)
    assert listener.roll.unannounced == 1
    assert rig.connections == []
    assert len(said) == 1
    assert said[0].startswith("127.0.0.1 is disconnected for lack of a PROXY header: ")


def test_a_stranger_is_closed_whatever_it_sends(rig, said):
    listener = announced(rig, trusted_proxies=("10.0.0.1",))
    for _ in range(3):
        with say(listener, V1 + b"hello") as client:
            assert rig.run(_read_or_reset, client) == b""
    rig.until(lambda: listener.roll.current == 0)
    assert listener.roll.unannounced == 3
    assert rig.connections == []
    assert said == [
        "127.0.0.1 is disconnected for lack of a PROXY header: it is not in trusted_proxies; 1 since the last such line"
    ]


def test_who_leaves_before_its_header_is_counted(rig, said):
    listener = announced(rig)
    dial(listener).close()
    with say(listener, V1[:10]):
        rig.until(lambda: listener.roll.accepted == 2)
    rig.until(lambda: listener.roll.current == 0)
    assert listener.roll.unannounced == 2
    assert not listener.roll.pending


def test_the_header_has_the_time_of_a_head(rig, said):
    listener = announced(rig, limits=Limits(head_timeout=5.0, handshake_timeout=500.0))
    with say(listener, V1[:10]) as client:
        rig.until(lambda: listener.roll.pending)
        [until] = listener.roll.pending.values()
        client.sendall(V1[10:12])  # more of it does not make it longer
        rig.spin()
        listener.sweep(now=until - 0.1)
        assert listener.roll.current == 1
        listener.sweep(now=until)
        assert rig.run(_read_or_reset, client) == b""
    assert listener.roll.current == 0
    assert listener.roll.unannounced == 1


def test_over_a_unix_socket(rig, tmp_path):
    listener = announced(rig, Address("unix", path=str(tmp_path / "s")), trusted_proxies=("unix:",))
    with say(listener, V2 + b"hello") as client:
        assert rig.run(client.recv, 5) == b"hello"
        assert rig.connections[0].arrival.peer == ANNOUNCED[0]


def test_unix_peers_are_trusted_only_by_name(fast, tmp_path, said):
    listener = announced(fast, Address("unix", path=str(tmp_path / "s")), trusted_proxies=("0.0.0.0/0", "::/0"))
    with say(listener, V2) as client:
        assert fast.run(_read_or_reset, client) == b""
    assert listener.roll.unannounced == 1
    assert said[0].startswith("unix: is disconnected")


def test_over_ipv6(fast):
    listener = announced(fast, Address("tcp", "::1", 0), trusted_proxies=("::1",))
    with say(listener, V1 + b"hello") as client:
        assert fast.run(client.recv, 5) == b"hello"
        assert fast.connections[0].arrival.peer == ANNOUNCED[0]


def test_a_client_of_a_proxy_may_be_a_trusted_proxy_itself(fast):
    listener = announced(fast, trusted_proxies=("127.0.0.1", "192.0.2.0/24", "unix:"))
    with say(listener, V1 + b"hello") as client:
        assert fast.run(client.recv, 5) == b"hello"
        assert fast.connections[0].arrival.trusted
    unix = SIGNATURE + b"\x21\x31\0\xd8" + bytes(216)
    with say(listener, unix + b"hello") as client:  # a unix peer of the proxy, not of ours
        assert fast.run(client.recv, 5) == b"hello"
        assert fast.connections[1].arrival.peer == ("", 0)
        assert not fast.connections[1].arrival.trusted


def shake(client):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    secure = context.wrap_socket(client)
    secure.settimeout(PATIENCE)
    secure.sendall(b"hello")
    return secure, secure.recv(5)


@pytest.mark.parametrize("header", [V1, V2])
@pytest.mark.parametrize("size", [1000, 30, 5])
def test_before_tls(rig, certificates, header, size):
    listener = announced(rig, certificates=certificates)
    with dial(listener) as client:
        for at in range(0, len(header), size):
            client.sendall(header[at : at + size])
            rig.spin()
        secure, answer = rig.run(shake, client)
        with secure:
            assert answer == b"hello"
            arrival = rig.connections[0].arrival
            assert (arrival.peer, arrival.secure, arrival.https) == (ANNOUNCED[0], True, True)
    rig.until(lambda: listener.roll.current == 0)
    assert not listener.roll.pending


def test_plain_text_behind_the_header_of_a_tls_port(rig, certificates):
    listener = announced(rig, certificates=certificates)
    with say(listener, V1 + b"GET / HTTP/1.1\r\n\r\n") as client:
        assert rig.run(read_all, client) == PLAIN_TEXT_ANSWER
    rig.until(lambda: listener.roll.current == 0)


def test_silence_behind_the_header_has_the_time_of_a_handshake(rig, certificates):
    listener = announced(rig, certificates=certificates, limits=Limits(head_timeout=500.0, handshake_timeout=5.0))
    with say(listener, V1) as client:
        rig.until(lambda: any(type(waiting).__name__ == "FirstByte" for waiting in listener.roll.pending))
        [until] = listener.roll.pending.values()
        listener.sweep(now=until)
        assert rig.run(_read_or_reset, client) == b""
    assert (listener.roll.handshake_failed, listener.roll.unannounced) == (1, 0)
    assert listener.roll.current == 0


def test_drain_closes_those_who_have_sent_nothing(rig, said):
    listener = announced(rig)
    silent, begun = dial(listener), say(listener, V1[:9])
    rig.until(lambda: any(not waiting.silent for waiting in listener.roll.pending) and len(listener.roll.pending) == 2)
    gone = listener.drain(3000)
    assert rig.run(silent.recv, 1) == b""
    begun.close()
    silent.close()
    rig.until(lambda: gone.called)


# --- connections per address


def test_one_too_many_is_closed_before_it_says_anything(rig, said):
    listener = rig.listen(connections_per_address=2)
    clients = [rig.connect(listener) for _ in range(2)]
    with dial(listener) as third:
        assert rig.run(_read_or_reset, third) == b""
    assert (listener.roll.over_address, listener.roll.current) == (1, 2)
    assert len(rig.connections) == 2
    assert said == ["127.0.0.1 has 2 connections, and more are closed: 1 since the last such line"]
    clients[0][0].close()
    rig.until(lambda: clients[0][1].lost)
    with dial(listener) as third:
        assert rig.run(talk, third, b"now?") == b"now?"
    clients[1][0].close()
    rig.until(lambda: listener.roll.current == 0)
    assert len(listener.roll.addresses) == 0


def test_unix_peers_are_not_bounded(rig, tmp_path):
    listener = rig.listen(Address("unix", path=str(tmp_path / "s")), connections_per_address=1)
    clients = [rig.connect(listener)[0] for _ in range(3)]
    assert listener.roll.over_address == 0
    for client in clients:
        client.close()


def test_trusted_proxies_are_not_bounded(fast):
    listener = fast.listen(connections_per_address=1, trusted_proxies=("127.0.0.1",))
    clients = [fast.connect(listener)[0] for _ in range(3)]
    assert listener.roll.over_address == 0
    for client in clients:
        client.close()


def test_the_announced_address_counts(rig, said):
    listener = announced(rig, connections_per_address=1)
    with say(listener, V1 + b"hello") as first:
        assert rig.run(first.recv, 5) == b"hello"
        with say(listener, V2 + b"hello") as second:  # the same address
            assert rig.run(_read_or_reset, second) == b""
        with say(listener, V1_6 + b"hello") as third:
            assert rig.run(third.recv, 5) == b"hello"
            with say(listener, V1_6.replace(b"8::1", b"8::ff") + b"hello") as fourth:  # the same /64
                assert rig.run(_read_or_reset, fourth) == b""
        with say(listener, LOCAL_V2 + b"hello") as proxy, say(listener, LOCAL_V2 + b"hello") as again:
            assert rig.run(proxy.recv, 5) == rig.run(again.recv, 5) == b"hello"
    assert (listener.roll.over_address, listener.roll.unannounced) == (2, 0)
    rig.until(lambda: listener.roll.current == 0)
    assert len(listener.roll.addresses) == 0


def test_whoever_fails_its_handshake_is_counted_out(rig, certificates, said):
    listener = rig.listen(certificates=certificates, connections_per_address=1)
    for number, data in enumerate((b"", b"\x16\x03\x01", b"\x16nonsense" * 100, b"GET / HTTP/1.1\r\n\r\n"), 1):
        with say(listener, data):
            rig.until(lambda number=number: listener.roll.accepted == number)
        rig.until(lambda: listener.roll.current == 0)
        assert len(listener.roll.addresses) == 0
    assert listener.roll.over_address == 0


def test_an_endpoint_string_is_bounded_likewise(said):
    rig = Rig("reactor")
    listener = rig.make(endpoint="tcp:0:interface=127.0.0.1", connections_per_address=1)
    listener.startService()
    client, connection = rig.connect(listener)
    assert not connection.arrival.trusted
    with dial(listener) as second:
        assert rig.run(_read_or_reset, second) == b""
    assert listener.roll.over_address == 1
    client.close()
    rig.until(lambda: listener.roll.current == 0)
    assert len(listener.roll.addresses) == 0
    rig.close()


def test_the_plain_text_answer_is_a_whole_response():
    head, _, body = PLAIN_TEXT_ANSWER.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 400 Bad Request"
    assert b"Content-Length: %d" % len(body) in lines
    assert b"Connection: close" in lines
    assert IConnection.implementedBy(PlainText)


def _read_or_reset(sock):
    try:
        return sock.recv(1)
    except ConnectionResetError:
        return b""
