"""Slow clients: none of them holds the one worker, all who keep the rules are served, the others are told.

The crowds are those of the bench, smaller. What is asserted are counts and answers, not times.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests

from bench import app as bench_app
from bench.slow.crowd import Order, hold
from tests.apps.corners import BLOCK
from tests.e2e.clients import Wire
from tests.e2e.conftest import Authority
from tests.e2e.server import APPS, ROOT, Server, address_of

MIB = 1024 * 1024
LARGE = 4 * MIB
SITE = f"""
[site:demo]
default = yes
certificate = {{certificate}}

[route:demo /]
app = bench

[route:demo /corners/]
app = corners

[route:demo /static/]
static = {{static}}

[app:corners]
wsgi = corners:application
path = {APPS}
workers = 1

[app:bench]
wsgi = bench.app:application
path = {ROOT}
workers = 1
"""
SHORT = """\
[listen:http]
address = 127.0.0.1:0
{limits}
[listen:https]
address = 127.0.0.1:0
tls = yes
{limits}
"""


def start(directory: Path, certificate: Path, transport: str, limits: str = "") -> Server:
    static = directory / "static"
    static.mkdir()
    (static / "large.bin").write_bytes(bench_app.LARGE)
    site = SITE.format(certificate=certificate, static=static)
    return Server(directory, SHORT.format(limits=limits) + site, transport)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, transport: str, certificate: Path) -> Iterator[Server]:
    """With the usual patience."""
    with start(tmp_path_factory.mktemp("slow"), certificate, transport) as server:
        yield server


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, transport: str, certificate: Path) -> Iterator[Server]:
    """With next to no patience."""
    limits = """\
header_timeout = 1s
body_timeout = 1s
send_timeout = 1s
keepalive_timeout = 1s
linger_timeout = 1s
"""
    with start(tmp_path_factory.mktemp("hasty"), certificate, transport, limits) as server:
        yield server


def connect(server: Server, scheme: str, authority: Authority) -> socket.socket:
    """A bare connection, over TLS or not."""
    url = server.url if scheme == "http" else server.secure_url
    sock = socket.create_connection(address_of(url), timeout=20)
    if scheme == "https":
        sock = ssl.create_default_context(cafile=str(authority.file)).wrap_socket(sock, server_hostname="127.0.0.1")
    return sock


def answer(sock: socket.socket) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(sock)
    response.begin()
    with closing(response):
        return response.status, response.read()


# --- crowds


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("idle", "/hello/1", bench_app.HELLO),
        ("head", "/hello/1", bench_app.HELLO),
        ("upload", "/echo/1", b"1000000\n"),
        ("reader", "/static/large.bin", bench_app.LARGE),
        ("reader", "/large/1", bench_app.LARGE),
    ],
)
def test_a_crowd_of_slow_clients_holds_nobody_up(
    server: Server, client: requests.Session, kind: str, path: str, body: bytes, tls: bool
) -> None:
    count = 40 if kind in {"upload", "reader"} else 200
    port = address_of(server.secure_url if tls else server.url)[1]
    with hold(Order(kind, count, port, path, zlib.crc32(body), tls)) as held:
        assert held.ready["held"] == count
        for _ in range(5):  # there is one worker
            assert client.get(f"{server.url}/hello/1").content == bench_app.HELLO
        counts = held.end()
    assert counts["held"] == count
    assert {word: counts.get(word, 0) for word in ("refused", "broken", "wrong", "left", "unserved")} == {
        "refused": 0,
        "broken": 0,
        "wrong": 0,
        "left": 0,
        "unserved": 0,
    }
    assert counts["finished"] >= min(count, 40)


def test_a_burst_of_connections_is_served_whole(server: Server) -> None:
    order = Order("idle", 300, address_of(server.url)[1], "/hello/1", zlib.crc32(bench_app.HELLO), opening=300)
    with hold(order) as held:
        assert (held.ready["held"], held.ready["answered"]) == (300, 300)
        assert not held.ready.get("refused")


# --- one by one


def test_one_byte_at_a_time(server: Server, scheme: str, authority: Authority) -> None:
    request = b"POST /echo/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    with connect(server, scheme, authority) as sock:
        for byte in request:
            sock.sendall(bytes((byte,)))
        assert answer(sock) == (200, b"3\n")


def test_a_head_that_does_not_come_is_told_so(hasty: Server, scheme: str, authority: Authority) -> None:
    with connect(hasty, scheme, authority) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost:")
        status, page = answer(sock)
        assert status == 408
        assert b"408" in page


def test_a_body_that_does_not_come_is_told_so(hasty: Server, scheme: str, authority: Authority) -> None:
    with connect(hasty, scheme, authority) as sock:
        sock.sendall(b"POST /echo/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        assert answer(sock)[0] == 408
        assert sock.recv(1) == b""


def test_an_idle_connection_is_closed_without_a_word(hasty: Server, scheme: str, authority: Authority) -> None:
    with connect(hasty, scheme, authority) as sock:
        sock.sendall(b"GET /hello/1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer(sock) == (200, bench_app.HELLO)
        assert sock.recv(1) == b""


def test_who_reads_nothing_is_cut(hasty: Server) -> None:
    with Wire(hasty.url, receive_buffer=4096) as wire:
        wire.get("/static/large.bin")
        hasty.log.wait_for(re.compile("send-timeout"))


@pytest.mark.parametrize("path", ["/static/large.bin", "/large/1"])
def test_who_stops_reading_and_goes_on_gets_all(
    server: Server, client: requests.Session, scheme: str, authority: Authority, path: str
) -> None:
    with connect(server, scheme, authority) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        response = http.client.HTTPResponse(sock)
        response.begin()
        with closing(response):
            first = response.read(100_000)
            # By now the server has sent what it could. Its sweeps look at the connection meanwhile.
            for _ in range(20):
                assert client.get(f"{server.url}/hello/1").content == bench_app.HELLO
            assert first + response.read() == bench_app.LARGE


def test_an_answer_before_the_end_of_the_upload_is_read(hasty: Server, scheme: str, authority: Authority) -> None:
    """The server reads on for a while: a reset would take the answer away."""
    with connect(hasty, scheme, authority) as sock:
        sock.sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")
        sock.sendall(b"x" * 500_000)
        assert answer(sock)[0] == 413


def test_many_slow_uploads_and_one_worker(server: Server, client: requests.Session) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.url)) for _ in range(20)]
        for wire in wires:
            wire.send("POST /corners/echo HTTP/1.1\nHost: a\nContent-Length: 6\n\nabc")
        assert client.get(f"{server.url}/corners/hello").text == "hello"
        for wire in wires:
            wire.send("def")
        assert {wire.response().status for wire in wires} == {200}


def test_blocks_that_pile_up_come_out_in_order(server: Server, client: requests.Session) -> None:
    blocks = LARGE // len(BLOCK)
    with Wire(server.url, receive_buffer=16 * 1024) as slow:
        slow.get(f"/corners/download?blocks={blocks}&told=yes")
        assert client.get(f"{server.url}/corners/hello").text == "hello"
        assert slow.response().body == BLOCK * blocks
