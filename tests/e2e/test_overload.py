"""A queue that grows: who is served, refused and dropped, by real clients at a server with one slot."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import Gate, Wire
from tests.e2e.server import APPS, Server, eventually, tinfront

QUEUE_MAX = 60


@pytest.fixture
def server(tmp_path: Path, transport: str, mode: str) -> Iterator[Server]:
    ini = f"""
[server]
control = run/control

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
workers = 1
threads = 1
queue_max = {QUEUE_MAX}
"""
    with Server(tmp_path, ini, transport) as server:
        yield server


def app_status(server: Server) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(tinfront("status", "--json", server.file).stdout)["apps"][0]
    return told


class Crowd:
    """Connections that stay open until the end."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.wires: list[Wire] = []

    def ask(self, target: str, source: str = "127.0.0.1", method: str = "GET") -> Wire:
        wire = Wire.__new__(Wire)
        wire.socket = socket.create_connection(self.server.address, 20, (source, 0))
        wire.stream = wire.socket.makefile("rb")
        self.wires.append(wire)
        fields = "Content-Length: 0\n" if method == "POST" else ""
        wire.send(f"{method} {target} HTTP/1.1\nHost: demo.test\n{fields}\n")
        return wire

    def close(self) -> None:
        for wire in self.wires:
            wire.stream.close()
            wire.socket.close()


@pytest.fixture
def crowd(server: Server) -> Iterator[Crowd]:
    crowd = Crowd(server)
    yield crowd
    crowd.close()


def test_one_with_many_connections_does_not_starve_the_rest(
    server: Server, crowd: Crowd, gate: Gate, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    crowd.ask(f"/gate?gate={gate.port}")
    held = gate.catch()
    flood = [crowd.ask(f"/log?notes={notes}&who=flood{number}") for number in range(100)]
    eventually(lambda: app_status(server)["shed"]["full"] >= 100 - QUEUE_MAX - 1)
    alone = crowd.ask(f"/log?notes={notes}&who=alone", "127.0.0.2")
    eventually(lambda: app_status(server)["shed"]["full"] >= 100 - QUEUE_MAX)
    status = app_status(server)
    assert (status["busy"], status["waiting"]) == (1, QUEUE_MAX)
    assert status["oldest_wait"] > 0
    held.release()
    assert alone.response().status == 200
    answers = [wire.response() for wire in flood]
    assert sorted({answer.status for answer in answers}) == [200, 503]
    assert {answer.fields.get("retry-after") for answer in answers if answer.status == 503} == {"1"}
    ran = notes.read_text().split()
    assert len(ran) == QUEUE_MAX
    assert ran.index("alone") <= 17  # behind what the workers had been given before


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_works_for_those_who_have_left(
    server: Server, crowd: Crowd, gate: Gate, tmp_path: Path, method: str
) -> None:
    notes = tmp_path / "notes"
    crowd.ask(f"/gate?gate={gate.port}")
    held = gate.catch()
    leaving = [crowd.ask(f"/log?notes={notes}&who=left", method=method) for _ in range(30)]
    eventually(lambda: app_status(server)["waiting"] == 30)
    for wire in leaving:
        wire.stream.close()
        wire.socket.close()
    eventually(lambda: app_status(server)["shed"]["gone"] == 30)
    assert app_status(server)["waiting"] == 0
    held.release()
    assert crowd.ask(f"/log?notes={notes}&who=stays").response().status == 200
    assert notes.read_text().split() == ["stays"]


def test_one_that_only_shuts_its_side_is_served(server: Server) -> None:
    for _ in range(20):
        with Wire(server.url) as wire:
            wire.get("/hello")
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.response().body == b"hello"
