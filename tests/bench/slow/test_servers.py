from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.peers import Peer, Place
from bench.slow import servers as module
from bench.slow.servers import NAMES, ROOM, servers


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("bench.peers.find", lambda name: f"/bin/{name}")
    work = tmp_path / "work"
    work.mkdir()
    return Place(work, tmp_path / "www", tmp_path / "app", tmp_path / "c.pem", tmp_path / "c.key", 8001, 8002)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_every_server_can_be_prepared_and_nothing_is_left_to_fill_in(name: str, threads: int, place: Place) -> None:
    [peer] = servers((name,), threads)
    commands = peer.prepare(place)
    told = "".join(path.read_text() for path in place.work.iterdir()) + str(commands)
    assert not re.search(r"\{\w+\}", told)
    assert "8001" in told


def test_bounds_leave_room_for_the_crowd(place: Place) -> None:
    by_name: dict[str, Peer] = {peer.name: peer for peer in servers()}
    by_name["nginx+gunicorn"].prepare(place)
    assert f"worker_connections {ROOM};" in (place.work / "nginx.conf").read_text()
    assert f"--connection-limit={ROOM}" in by_name["waitress"].prepare(place)[0]
    by_name["gunicorn"].prepare(place)
    assert "keepalive = 75" in (place.work / "gunicorn.conf.py").read_text()


def test_tinfront_is_taken_with_its_own_bounds(place: Place) -> None:
    [peer] = servers(("tinfront",), 4)
    peer.prepare(place)
    text = (place.work / "tinfront.ini").read_text()
    assert "workers = 2\nthreads = 4\n" in text
    assert not re.search(r"timeout|spool|queue|connections_max", text)
    assert module.NAMES[0] == "tinfront"
