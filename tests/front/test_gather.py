"""What drips in is gathered by the kernel, on every loop, plain and over TLS."""

import socket
import ssl
import time
from contextlib import closing

import pytest

from tests.rig import Rig, certify, dial, shake, trusting
from tests.transports import Front, Later, read
from tinfront.front.connection import Connection
from tinfront.front.gather import BEHIND, GATHERED, Gathering, look

SIZE = 150_000
BODY = bytes(range(250)) * (SIZE // 250)
HEAD = b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: %d\r\n\r\n" % SIZE
GET = b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("tls"))


class Side:
    """A client and its connection, whose requests are answered when the test says so."""

    def __init__(self, kind, certificates=None, shake=shake):
        self.rig = Rig(kind)
        self.later = Later()
        front = Front(self.later)
        made = []

        def build(arrival):
            made.append(Connection(front.terms, arrival))
            return made[-1]

        self.listener = self.rig.listen(build=build, certificates=certificates)
        self.client = self.rig.run(shake, self.listener) if certificates else dial(self.listener)
        self.rig.until(lambda: made and made[0].transport)
        self.connection = made[0]

    def send(self, data):
        self.rig.run(self.client.sendall, data)

    def begin(self, start=1000):
        """The head and so much of the body; then the sweep has a look."""
        self.send(HEAD + BODY[:start])
        self.rig.until(lambda: self.connection.exchanges and self.length == start)
        self.connection.expire(time.monotonic())

    @property
    def exchange(self):
        (exchange,) = self.connection.exchanges.values()
        return exchange

    @property
    def length(self):
        return self.exchange.body.length

    def close(self):
        self.client.close()
        self.rig.close()


@pytest.fixture(params=["uvloop", "asyncio", "reactor", "uvloop tls", "asyncio tls"])
def side(request, certificates):
    kind, _, tls = request.param.partition(" ")
    side = Side(kind, certificates if tls else None)
    yield side
    side.close()


def test_a_drip_costs_nothing_and_is_seen_by_those_who_look(side):
    side.begin()
    side.send(BODY[1000:2000])
    side.rig.until(lambda: look(side.connection, side.exchange) >= 2000)
    for _ in range(5):
        side.rig.spin()
    assert side.length == 1000
    side.send(BODY[2000 : 2000 + GATHERED])
    side.rig.until(lambda: side.length > 2000)


@pytest.mark.parametrize("drip", [700, 16_000, 20_000])
def test_whatever_drips_in_arrives_whole_and_the_next_request_is_heard(side, drip):
    side.begin()
    for start in range(1000, SIZE, drip):
        side.send(BODY[start : start + drip])
    side.rig.until(lambda: side.later.kept)
    assert read(side.later.kept[0].body) == BODY
    assert side.connection.gathering is None
    for _ in range(2):
        side.later.answer()
        assert b"200 OK" in side.rig.run(side.client.recv, 1000)
        side.send(GET)
        side.rig.until(lambda: side.later.kept)


class Cutting:
    """A TLS client whose records come all but their last byte, which comes with the next."""

    def __init__(self, listener):
        sock = dial(listener)
        self._in, self._out, self._sock, self._late = ssl.MemoryBIO(), ssl.MemoryBIO(), sock, b""
        self._tls = trusting().wrap_bio(self._in, self._out)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(self._out.read())
                self._in.write(sock.recv(65536))
        sock.sendall(self._out.read())

    def sendall(self, data):
        self._tls.write(data)
        self._sock.sendall(self._out.read())

    def send_cut(self, data):
        self._tls.write(data)
        records = self._late + self._out.read()
        self._sock.sendall(records[:-1])
        self._late = records[-1:]

    def send_as_one(self, pieces):
        for piece in pieces:
            self._tls.write(piece)
        self._sock.sendall(self._out.read())

    def send_late(self):
        self._sock.sendall(self._late)

    def close(self):
        self._sock.close()


@pytest.mark.parametrize("kind", ["uvloop", "asyncio"])
@pytest.mark.parametrize("start", range(1000, 16_000, 2500))
def test_records_that_lack_their_last_byte(certificates, kind, start):
    """OpenSSL then has what counts as not yet come, so that the kernel must not be told to wait for all of the rest."""
    with closing(Side(kind, certificates, Cutting)) as side:
        side.begin(start)
        assert side.connection.gathering is not None
        for at in range(start, SIZE, 16_384):
            side.rig.run(side.client.send_cut, BODY[at : at + 16_384])
            side.rig.spin()
        side.rig.run(side.client.send_late)
        side.rig.until(lambda: side.later.kept)
        assert read(side.later.kept[0].body) == BODY


@pytest.mark.parametrize("kind", ["uvloop", "asyncio"])
def test_small_records_are_read_together(certificates, kind):
    """The kernel would not tell of those that are left over."""
    with closing(Side(kind, certificates, Cutting)) as side:
        side.begin()
        side.rig.run(side.client.send_as_one, [bytes(4000)] * 9)
        side.rig.until(lambda: side.length == 37_000)


def test_what_is_refused_is_gathered_no_more(side):
    side.begin()
    assert side.connection.gathering is not None
    side.exchange.refuse(408, "body-timeout")
    assert side.connection.gathering is None
    assert b"408" in side.rig.run(side.client.recv, 1000)
    before = side.connection.patience.progress
    side.send(b"x")
    side.rig.until(lambda: side.connection.patience.progress > before)


def test_what_is_answered_without_the_rest_is_gathered_no_more(side):
    side.begin()
    side.connection.exchanges.clear()
    side.send(BODY[1000 : 1000 + GATHERED + BEHIND])
    side.rig.until(lambda: side.connection.gathering is None)


def test_an_end_in_the_middle_is_seen(side):
    side.begin()
    side.send(BODY[1000:2000])
    side.client.close()
    side.rig.until(lambda: side.connection.lost or side.connection.ended)
    assert not side.later.kept


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n",
        b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: %d\r\n\r\n" % (2 * BEHIND + 1),
    ],
)
def test_bodies_of_unknown_length_and_short_ones_are_not(head):
    with closing(Side("uvloop")) as side:
        side.send(head + b"x")
        side.rig.until(lambda: side.connection.exchanges and side.length == 1)
        side.connection.expire(time.monotonic())
        assert side.connection.gathering is None


class Transport:
    def __init__(self, sock):
        self.sock = sock

    def get_extra_info(self, name):
        return self.sock if name == "socket" else None


def test_how_much():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        gathering = Gathering(Transport(client))
        assert gathering.able
        for left, size in (
            (10**9, GATHERED),
            (GATHERED + BEHIND, GATHERED),
            (GATHERED + BEHIND - 1, GATHERED - 1),
            (BEHIND + 2, 2),
            (BEHIND, 1),
            (0, 1),
        ):
            gathering.adapt(left)
            assert gathering.size == size
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == size
        assert gathering.unread() == 0
    assert gathering.unread() == 0  # closed


def test_who_cannot():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not Gathering(Transport(ours)).able
        assert not Gathering(Transport(None)).able
