"""Signals: how a server stops, and what does not stop it."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
import requests

from tests.apps.corners import BLOCK
from tests.e2e.clients import Gate, Wire
from tests.e2e.server import APPS, TRANSPORTS, Server, eventually

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


def ini(mode: str = "prefork", more: str = "") -> str:
    """One app, which has all the time in the world."""
    return f"""
[server]
grace = 10m
{more}

[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
app = corners

[app:corners]
wsgi = corners:application
path = {APPS}
mode = {mode}
"""


def refuses(server: Server) -> bool:
    """Whether nobody listens any more."""
    try:
        with Wire(server.url):
            return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("mode", ["prefork", "threads"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_request_is_finished(
    tmp_path: Path, transport: str, mode: str, number: signal.Signals, gate: Gate
) -> None:
    with Server(tmp_path, ini(mode), transport) as server, Wire(server.url) as wire:
        wire.get(f"/gate?gate={gate.port}")
        held = gate.catch()
        server.signal(number)
        eventually(lambda: refuses(server), "new connections were still accepted")
        assert server.process.poll() is None
        held.release()
        answer = wire.response()
        assert (answer.status, answer.body) == (200, b"through")
        assert wire.rest() == b""


@pytest.mark.parametrize("mode", ["prefork", "threads"])
def test_a_long_download_is_finished(tmp_path: Path, transport: str, mode: str) -> None:
    with Server(tmp_path, ini(mode), transport) as server, Wire(server.url, receive_buffer=32 * 1024) as wire:
        wire.get("/download?blocks=160&told=yes")
        wire.head()
        server.signal(signal.SIGTERM)
        eventually(lambda: refuses(server), "new connections were still accepted")
        assert wire.read(160 * len(BLOCK)) == BLOCK * 160


@pytest.mark.parametrize("mode", ["prefork", "threads"])
def test_a_second_term_stops_at_once(tmp_path: Path, transport: str, mode: str, gate: Gate) -> None:
    with Server(tmp_path, ini(mode), transport, may_fail=True) as server, Wire(server.url) as wire:
        wire.get(f"/gate?gate={gate.port}")
        gate.catch()
        server.signal(signal.SIGTERM)
        server.log.wait_for("a second signal stops at once")
        server.signal(signal.SIGTERM)
        answer = wire.response()
        assert (answer.status, answer.fields["connection"]) == (503, "close")
        assert b"stopping" in answer.body
        server.log.wait_for(r'"GET /gate\S*" 503 stopping: the server was told to stop at once')


def test_quit_stops_at_once(tmp_path: Path, transport: str, gate: Gate) -> None:
    access = tmp_path / "access.log"
    text = ini(more=f"access_log = {access}")
    server = Server(tmp_path, text, transport, may_fail=True)
    with server, Wire(server.url) as wire, Wire(server.url, receive_buffer=32 * 1024) as download:
        download.get("/download?blocks=1600&told=yes")
        download.head()
        wire.get(f"/gate?gate={gate.port}")
        gate.catch()
        server.signal(signal.SIGQUIT)
        assert wire.response().status == 503
        server.log.wait_for(r'"GET /gate\S*" 503 stopping: the server was told to stop at once')
        server.log.wait_for(r'"GET /download\S*" 200 stopping: the server was told to stop at once')
        server.process.wait(20)
    assert '" 499 ' not in access.read_text()
    assert len(access.read_text().splitlines()) == 2


def test_the_grace_comes_to_an_end(tmp_path: Path, transport: str, gate: Gate) -> None:
    patience = ini().replace("grace = 10m", "grace = 300ms")
    with Server(tmp_path, patience, transport, may_fail=True) as server, Wire(server.url) as wire:
        wire.get(f"/gate?gate={gate.port}")
        gate.catch()
        server.signal(signal.SIGTERM)
        answer = wire.response()
        assert (answer.status, answer.fields["connection"]) == (503, "close")
        assert b"stopping" in answer.body
        assert wire.rest() == b""
        server.log.wait_for(r'"GET /gate\S*" 503 stopping: it was not finished within 0.3 s')


def test_a_download_that_takes_longer_than_the_grace_is_cut(tmp_path: Path, transport: str) -> None:
    patience = ini().replace("grace = 10m", "grace = 300ms")
    server = Server(tmp_path, patience, transport, may_fail=True)
    with server, Wire(server.url, receive_buffer=32 * 1024) as wire:
        wire.get("/download?blocks=1600&told=yes")
        wire.head()
        server.signal(signal.SIGTERM)
        server.log.wait_for(r'"GET /download\S*" 200 stopping: it was not finished within 0.3 s')
        with pytest.raises((AssertionError, ConnectionResetError)):
            wire.read(1600 * len(BLOCK))


def test_it_is_not_ready_but_serves_while_a_balancer_looks_away(tmp_path: Path, transport: str) -> None:
    text = ini(more="drain_delay = 10m").replace("[app:", "[route:demo = /ready]\nready = yes\n\n[app:")
    with Server(tmp_path, text, transport) as server:
        with Wire(server.url) as wire:
            eventually(lambda: wire.get("/ready") or wire.response().status == 200)
            server.signal(signal.SIGTERM)
            server.log.wait_for("accepting for 600 s more")
            wire.get("/ready")
            answer = wire.response()
            assert (answer.status, answer.body) == (503, b"stopping\n")
        with Wire(server.url) as fresh:
            fresh.get("/hello")
            assert fresh.response().body == b"hello"
        server.signal(signal.SIGTERM)


def test_an_idle_connection_does_not_keep_it(tmp_path: Path, transport: str) -> None:
    with Server(tmp_path, ini(), transport) as server, Wire(server.url) as wire:
        wire.get("/hello")
        wire.response()
        server.signal(signal.SIGTERM)
        assert wire.rest() == b""


def test_requests_that_wait_for_a_worker_are_finished_too(tmp_path: Path, transport: str, gate: Gate) -> None:
    one = ini() + "workers = 1\n"
    with Server(tmp_path, one, transport) as server, Wire(server.url) as first, Wire(server.url) as second:
        first.get(f"/gate?gate={gate.port}")
        held = gate.catch()
        second.get("/hello")
        with Wire(server.url) as third:  # once this is answered, the second was read
            third.send("BROKEN\n\n")
            third.response()
        server.signal(signal.SIGTERM)
        eventually(lambda: refuses(server), "new connections were still accepted")
        held.release()
        assert first.response().body == b"through"
        assert second.response().body == b"hello"


def test_hup_does_not_stop_it(tmp_path: Path, transport: str, client: requests.Session) -> None:
    with Server(tmp_path, ini(), transport) as server:
        server.signal(signal.SIGHUP)
        server.log.wait_for("reloaded; new code: corners")
        assert client.get(f"{server.url}/hello").text == "hello"


def test_usr1_reopens_the_access_log(tmp_path: Path, transport: str, client: requests.Session) -> None:
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    with Server(tmp_path, ini(more=f"access_log = {log}"), transport) as server:
        client.get(f"{server.url}/hello?before")
        eventually(lambda: "?before" in log.read_text(), "the line did not come")
        log.rename(old)
        server.signal(signal.SIGUSR1)
        eventually(log.exists, "the log was not opened anew")
        client.get(f"{server.url}/hello?after")
    assert "?after" in log.read_text()
    assert "?after" not in old.read_text()


def test_stopping_under_load_loses_nothing(tmp_path: Path, transport: str) -> None:
    """Every request is answered: the last answer on each connection says that it closes."""
    answered: list[int] = []
    said_goodbye: list[bool] = []
    started = threading.Barrier(5)

    def load(url: str) -> None:
        with Wire(url) as wire:
            wire.get("/hello")
            answered.append(wire.response().status)
            started.wait(20)
            fields: dict[str, str] = {}
            while fields.get("connection") != "close":
                wire.get("/hello")
                status, fields = wire.head()
                answered.append(status)
                assert wire.read(int(fields["content-length"])) == b"hello"
            said_goodbye.append(True)

    with Server(tmp_path, ini(), transport) as server:
        threads = [threading.Thread(target=load, args=(server.url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait(20)
        server.signal(signal.SIGTERM)
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    assert said_goodbye == [True] * 4
    assert set(answered) == {200}
