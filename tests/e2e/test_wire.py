"""What clients do on the wire: large uploads, waiting for 100, pipelining, reading slowly."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.apps.corners import BLOCK
from tests.e2e.clients import Gate, Wire, curl
from tests.e2e.server import APPS, LISTEN, Server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, transport: str, certificate: Path) -> Iterator[Server]:
    ini = f"""
{LISTEN}
[site:demo]
default = yes
certificate = {certificate}

[route:demo /]
app = corners

[route:demo /large/]
app = corners
body_limit = 32m

[app:corners]
wsgi = corners:application
path = {APPS}
# one worker of one thread: whoever holds it holds up everybody
workers = 1
"""
    with Server(tmp_path_factory.mktemp("wire"), ini, transport) as server:
        yield server


@pytest.fixture
def url(server: Server, scheme: str) -> str:
    return server.url if scheme == "http" else server.secure_url


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 MiB to send."""
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(os.urandom(20 * MIB))
    return path


def test_curl_uploads_20_megabytes(url: str, large: Path) -> None:
    answer = curl("--insecure", "--upload-file", large, f"{url}/large/echo")
    assert hashlib.sha256(large.read_bytes()).hexdigest().encode() in answer.stdout, answer.stderr


def test_a_body_over_the_limit_is_refused_so_that_curl_sees_it(server: Server, url: str, large: Path) -> None:
    answer = curl(
        "--insecure", "--include", "--header", "Expect:", "--header", "Accept: application/json",
        "--data-binary", f"@{large}", f"{url}/echo",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    head, _, page = answer.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    assert b"\r\nConnection: close" in head
    assert json.loads(page)["reason"] == "body-too-large"
    server.log.wait_for(r"413 body-too-large: .*body_limit = 1048576 of \[route:demo /\]")


def test_a_chunked_body_over_the_limit_is_refused_on_its_way(client: requests.Session, url: str) -> None:
    answer = client.post(f"{url}/echo", data=(BLOCK for _ in range(17)))
    assert answer.status_code == 413


def test_expect_100_continue(url: str, large: Path) -> None:
    answer = curl(
        "--insecure", "--http1.1", "--verbose", "--header", "Expect: 100-continue", "--expect100-timeout", "30",
        "--upload-file", large, f"{url}/large/echo",
    )  # fmt: skip
    assert b"< HTTP/1.1 100 Continue" in answer.stderr
    assert hashlib.sha256(large.read_bytes()).hexdigest().encode() in answer.stdout


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(url: str, large: Path) -> None:
    answer = curl(
        "--insecure", "--http1.1", "--header", "Expect: 100-continue", "--expect100-timeout", "30",
        "--data-binary", f"@{large}", "--output", os.devnull, "--write-out", "%{http_code} %{size_upload}",
        f"{url}/echo",
    )  # fmt: skip
    assert answer.stdout == b"413 0"


def test_pipelined_requests_are_answered_in_order(server: Server, gate: Gate) -> None:
    with Wire(server.url) as wire:
        wire.send(
            f"GET /gate?gate={gate.port} HTTP/1.1\nHost: a\n\n"
            "POST /echo HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc"
            "GET /hello HTTP/1.1\nHost: a\n\n"
            "GET /nowhere HTTP/1.1\nHost: a\nConnection: close\n\n"
        )
        gate.catch().release()
        answers = [wire.response() for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 404]
        assert [answer.body for answer in answers[::2]] == [b"through", b"hello"]
        assert hashlib.sha256(b"abc").hexdigest().encode() in answers[1].body
        assert wire.rest() == b""


def test_a_request_byte_by_byte(server: Server) -> None:
    with Wire(server.url) as wire:
        for byte in b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            wire.send(bytes((byte,)))
        assert hashlib.sha256(b"abc").hexdigest().encode() in wire.response().body


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\nHost: a\nHost: b\n\n",
        "POST / HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n",
        "POST / HTTP/1.1\nHost: a\nContent-Length: 3\nContent-Length: 4\n\n",
        "GET / HTTP/1.1\nHost : a\n\n",
        "\x16\x03\x01\n\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(server: Server, request_text: str) -> None:
    with Wire(server.url) as wire:
        wire.send(request_text)
        answer = wire.response()
        assert (answer.status, answer.fields["connection"]) == (400, "close")
        assert wire.rest() == b""


def test_a_slow_reader_does_not_hold_the_worker(client: requests.Session, server: Server) -> None:
    blocks = 8 * MIB // len(BLOCK)
    with Wire(server.url, receive_buffer=16 * 1024) as slow:
        slow.get(f"/download?blocks={blocks}&told=yes")
        # There is one worker, and the slow client has read nothing: all of its reply is with the front.
        assert client.get(f"{server.url}/hello").text == "hello"
        status, fields = slow.head()
        assert (status, fields["content-length"]) == (200, str(blocks * len(BLOCK)))
        assert slow.read(blocks * len(BLOCK)) == BLOCK * blocks


def test_a_slow_sender_does_not_hold_the_worker(client: requests.Session, server: Server) -> None:
    with Wire(server.url) as slow:
        slow.send("POST /echo HTTP/1.1\nHost: a\nContent-Length: 6\n\nabc")
        assert client.get(f"{server.url}/hello").text == "hello"
        slow.send("def")
        assert hashlib.sha256(b"abcdef").hexdigest().encode() in slow.response().body


def test_a_client_that_leaves_frees_the_worker(client: requests.Session, server: Server, gate: Gate) -> None:
    with Wire(server.url) as leaver:
        leaver.get(f"/events?gate={gate.port}")
        leaver.head()
        held = gate.catch()
    held.release()
    assert client.get(f"{server.url}/hello").text == "hello"


def test_many_requests_on_one_connection(server: Server) -> None:
    with Wire(server.url) as wire:
        for _ in range(200):
            wire.get("/hello")
            assert wire.response().body == b"hello"


def test_many_connections_at_once(server: Server) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.url)) for _ in range(300)]
        for wire in wires:
            wire.get("/hello")
        assert {wire.response().body for wire in wires} == {b"hello"}
