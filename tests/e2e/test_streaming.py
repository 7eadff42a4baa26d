"""What comes bit by bit, both ways, through the whole server, in both modes, plain and over TLS."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.clients import Gate, Wire, curl
from tests.e2e.server import APPS, LISTEN, Server, address_of, eventually

BROKEN = ("half a length", "half a chunk", "no last chunk", "a bad chunk")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, transport: str, mode: str, certificate: Path) -> Iterator[Server]:
    ini = f"""
{LISTEN}
[listen:patient]
address = 127.0.0.1:0
body_timeout = 1s

[site:demo]
default = yes
certificate = {certificate}

[route:demo /]
app = corners

[route:demo /direct/]
app = corners
response_buffering = off

[route:demo /live/]
app = corners
request_buffering = off
body_limit = 64m

[app:corners]
wsgi = corners:application
path = {APPS}
mode = {mode}
workers = 1
threads = 4
"""
    with Server(tmp_path_factory.mktemp("streaming"), ini, transport, may_fail=True) as server:
        yield server


@pytest.fixture
def url(server: Server, scheme: str) -> str:
    return server.url if scheme == "http" else server.secure_url


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# --- answers


class Events:
    """curl -N as a browser would be: it shows each event as it comes."""

    def __init__(self, *arguments: object) -> None:
        command = ["curl", "-N", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def next(self) -> str:
        assert self.process.stdout
        line, empty = self.process.stdout.readline(), self.process.stdout.readline()
        assert empty == b"\n"
        return line.decode().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def events(authority: Any) -> Iterator[Any]:
    opened: list[Events] = []

    def listen(url: str) -> Events:
        opened.append(Events("--cacert", authority.file, url))
        return opened[-1]

    yield listen
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    "path",
    ["/count?events=3", "/count?events=3&type=text/plain&accel=no", "/direct/count?events=3&type=text/plain"],
    ids=["event-stream", "x-accel-buffering", "response_buffering"],
)
def test_events_arrive_one_by_one(url: str, events: Any, gate: Gate, path: str) -> None:
    """Each is sent only after the one before has been seen."""
    listener = events(f"{url}{path}&gate={gate.port}")
    for number in range(3):
        assert listener.next() == f"data: {number}"
        gate.catch().release()
    assert listener.next() == "data: last"
    assert listener.process.wait(20) == 0


def test_a_client_that_leaves_ends_the_iteration(url: str, events: Any, gate: Gate, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    listener = events(f"{url}/count?events=100&gate={gate.port}&closed={closed}")
    assert listener.next() == "data: 0"
    listener.close()
    held = gate.catch()
    # The news may come after the next event, which the kernel takes; it comes before those that follow.
    held.release()
    while not closed.exists():
        gate_opened = False
        try:
            gate._listener.settimeout(0.2)
            gate.catch().release()
            gate_opened = True
        except TimeoutError:
            pass
        if not gate_opened:
            eventually(closed.exists, "the app goes on")


def test_a_client_that_does_not_read_makes_the_app_wait(server: Server, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    before = spool_used(server)
    with Wire(server.url, receive_buffer=4096) as wire:
        wire.get(f"/flood?notes={notes}")
        assert wire.head()[0] == 200

        def still() -> bool:
            """The app has not come further since the last look."""
            seen.append(lines(notes)[-1:])
            return len(seen) > 20 and seen[-1] == seen[-20] != []

        seen: list[list[str]] = []
        eventually(still, "the app never waits")
        assert int(seen[-1][0]) < 32 * 1024 * 1024
        assert spool_used(server) == before
    eventually(lambda: lines(notes)[-1:] == ["closed"], "the app goes on")


def spool_used(server: Server) -> int:
    """Unlinked files that the server holds."""
    count = 0
    for fd in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            count += "deleted" in os.readlink(fd) and "memfd" not in os.readlink(fd)
        except OSError:
            pass
    return count


def test_an_app_may_ask_whether_its_client_is_there(server: Server, gate: Gate, tmp_path: Path) -> None:
    left = tmp_path / "left"
    with Wire(server.url) as wire:
        wire.get(f"/until-gone?gate={gate.port}&left={left}")
        gate.catch().release()
    eventually(left.exists, "the app was not told")


# --- bodies


def upload(server: Server, scheme: str, authority: Any) -> Any:
    """A socket to the server."""
    url = server.url if scheme == "http" else server.secure_url
    sock = socket.create_connection(address_of(url), 20)
    if scheme == "https":
        context = ssl.create_default_context(cafile=str(authority.file))
        return context.wrap_socket(sock, server_hostname="localhost")
    return sock


@pytest.fixture
def sock(server: Server, scheme: str, authority: Any) -> Iterator[Any]:
    with upload(server, scheme, authority) as sock:
        yield sock


def post(path: str, *fields: str) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: demo.test", *fields, "", "")).encode()


@pytest.mark.parametrize("chunked", [True, False])
def test_the_app_sees_the_body_as_it_comes(sock: Any, tmp_path: Path, chunked: bool) -> None:
    notes = tmp_path / "notes"
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 9"
    sock.sendall(post(f"/live/read?notes={notes}", framing))
    for total in ("3", "6", "9"):
        sock.sendall(b"3\r\nabc\r\n" if chunked else b"abc")
        eventually(lambda total=total: total in lines(notes), "the app does not see it")
    if chunked:
        assert "whole" not in lines(notes)
        sock.sendall(b"0\r\n\r\n")
    assert read_answer(sock) == (200, b"9")
    assert lines(notes)[-1] == "whole"


def read_answer(sock: Any) -> tuple[int, bytes]:
    with sock.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        fields = {}
        while line := stream.readline().strip():
            name, _, value = line.decode().partition(":")
            fields[name.lower()] = value.strip()
        return status, stream.read(int(fields["content-length"]))


@pytest.mark.parametrize("how", BROKEN)
def test_a_body_that_breaks_off_never_looks_whole(server: Server, tmp_path: Path, how: str) -> None:
    notes = tmp_path / "notes"
    with Wire(server.url) as wire:
        wire.send(
            post(f"/live/read?notes={notes}", "Content-Length: 9" if "length" in how else "Transfer-Encoding: chunked")
        )
        wire.send(b"abc" if "length" in how else b"3\r\nabc\r\n")
        eventually(lambda: lines(notes), "the app does not see it")
        if how == "a bad chunk":
            wire.send(b"nonsense\r\n")
            assert wire.response().status == 400
        elif how == "half a chunk":
            wire.send(b"9\r\nabc")
    eventually(lambda: "broken" in lines(notes), "the app waits for ever")
    assert "whole" not in lines(notes)


def test_a_client_that_stops_sending(server: Server, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    patient = [url for url in server.urls if url.startswith("http://")][1]
    with Wire(patient) as wire:
        wire.send(post(f"/live/read?notes={notes}", "Content-Length: 9") + b"abc")
        assert wire.response().status == 408
    eventually(lambda: lines(notes) == ["3", "broken"], "the app waits for ever")


def test_a_body_over_the_limit(server: Server, tmp_path: Path) -> None:
    with Wire(server.url) as wire:
        wire.send(post("/live/read?notes=/dev/null", f"Content-Length: {65 * 1024 * 1024}"))
        assert wire.response().status == 413
    notes = tmp_path / "notes"
    with Wire(server.url) as wire:
        wire.send(post(f"/live/read?notes={notes}", "Transfer-Encoding: chunked"))
        block = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        wire.send(block * 65)
        assert wire.response().status == 413
    eventually(lambda: "broken" in lines(notes), "the app waits for ever")


def test_an_upload_waits_for_the_app(server: Server, gate: Gate) -> None:
    """More than fits on the way: the client cannot send it before the app reads."""
    data = bytes(range(256)) * 4096 * 16
    with Wire(server.url) as wire:
        wire.send(post(f"/live/read-later?gate={gate.port}", f"Content-Length: {len(data)}"))
        held = gate.catch()
        wire.socket.setblocking(False)
        sent = 0
        still = 0
        while still < 20:
            try:
                sent += wire.socket.send(data[sent : sent + 65536])
                still = 0
            except BlockingIOError:
                still += 1
                eventually(lambda: True)
                os.sched_yield()
        assert sent < len(data)
        wire.socket.settimeout(20)
        held.release()
        wire.send(data[sent:])
        assert wire.response().body == str(len(data)).encode()


def test_an_app_that_answers_before_it_reads(server: Server) -> None:
    with Wire(server.url) as wire:
        wire.send(post("/live/hello", "Content-Length: 1000000") + b"x" * 1000)
        assert wire.response().body == b"hello"


def test_a_client_that_reads_only_after_it_has_sent_all(url: str, authority: Any, tmp_path: Path) -> None:
    """The app answers at once and reads nothing: the rest has to go somewhere."""
    (tmp_path / "data").write_bytes(bytes(1_000_000))
    done = curl("--cacert", authority.file, "-T", tmp_path / "data", f"{url}/live/hello")
    assert done.stdout == b"hello", done.stderr


def test_expect_100_continue(server: Server, tmp_path: Path) -> None:
    with Wire(server.url) as wire:
        wire.send(post(f"/live/read?notes={tmp_path}/notes", "Content-Length: 3", "Expect: 100-continue"))
        assert wire.head()[0] == 100
        wire.send(b"abc")
        assert wire.response().body == b"3"


@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_upload_by_curl(url: str, authority: Any, tmp_path: Path, chunked: bool) -> None:
    data = os.urandom(1 << 20) * 20
    (tmp_path / "data").write_bytes(data)
    fields = ["-H", "Transfer-Encoding: chunked"] if chunked else []
    told = json.loads(curl("--cacert", authority.file, *fields, "-T", tmp_path / "data", f"{url}/live/echo").stdout)
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["told"] == (None if chunked else str(len(data)))


def test_the_connection_goes_on_afterwards(url: str, client: requests.Session) -> None:
    for _ in range(5):
        assert client.post(f"{url}/live/echo", data=b"x" * 100_000).json()["length"] == 100_000
        assert client.get(f"{url}/live/hello").text == "hello"
