"""Workers that die, apps that cannot start: what clients see of it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import requests

from tests.e2e.clients import Gate, Wire
from tests.e2e.server import APPS, TRANSPORTS, Server, eventually

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


def ini(wsgi: str, more: str = "") -> str:
    return f"""
[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
app = main

[route:demo /static/]
static = {APPS}/pyramid_assets

[route:demo = /ready]
ready = yes

[app:main]
wsgi = {wsgi}
path = {APPS}
{more}
"""


def test_killed_workers_cost_no_get_its_answer(tmp_path: Path, transport: str, client: requests.Session) -> None:
    statuses: list[int] = []
    killed: set[int] = set()
    done = threading.Event()

    def load(url: str) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not done.is_set():
                statuses.append(session.get(f"{url}/toil", timeout=20).status_code)

    def kill_another(url: str) -> bool:
        """One that stands in for a killed one, so that no request meets two deaths."""
        pid = int(client.get(f"{url}/pid").text)
        if pid in killed:
            return False
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)
        return True

    with Server(tmp_path, ini("corners:application", "workers = 2"), transport) as server:
        threads = [threading.Thread(target=load, args=(server.url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                eventually(lambda: kill_another(server.url))
                enough = len(statuses) + 10
                eventually(lambda enough=enough: len(statuses) >= enough, "requests are no longer answered")
        finally:
            done.set()
            for thread in threads:
                thread.join(20)
    assert len(killed) == 5
    assert set(statuses) == {200}


def test_a_request_whose_worker_dies_is_tried_again_if_it_is_a_get(tmp_path: Path, transport: str, gate: Gate) -> None:
    with Server(tmp_path, ini("corners:application", "workers = 2"), transport) as server, Wire(server.url) as wire:
        wire.get(f"/gate?gate={gate.port}")
        os.kill(gate.catch().pid, signal.SIGKILL)
        gate.catch().release()  # another worker has come to the gate
        assert wire.response().body == b"through"


def test_a_post_whose_worker_dies_is_not_tried_again(tmp_path: Path, transport: str, gate: Gate) -> None:
    with Server(tmp_path, ini("corners:application", "workers = 2"), transport) as server, Wire(server.url) as wire:
        wire.send(f"POST /gate?gate={gate.port} HTTP/1.1\nHost: a\nContent-Length: 0\nAccept: application/json\n\n")
        os.kill(gate.catch().pid, signal.SIGKILL)
        answer = wire.response()
        assert answer.status == 502
        server.log.wait_for(rf"502 worker-died: .*\[{answer.fields['x-request-id']}\]")


def test_a_nursery_that_dies_is_replaced(tmp_path: Path, transport: str, client: requests.Session, gate: Gate) -> None:
    with Server(tmp_path, ini("corners:application"), transport) as server, Wire(server.url) as wire:
        wire.get(f"/gate?gate={gate.port}")
        held = gate.catch()
        os.kill(_parent(held.pid), signal.SIGKILL)
        server.log.wait_for("its nursery has died; another one is started")
        held.release()
        assert wire.response().body == b"through"  # its worker has outlived it
        for _ in range(20):
            assert client.get(f"{server.url}/hello").text == "hello"
        eventually(lambda: client.get(f"{server.url}/pid").text != str(held.pid))


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_an_app_that_starts_a_thread_when_imported(tmp_path: Path, transport: str, client: requests.Session) -> None:
    with Server(tmp_path, ini("threaded:application"), transport) as server:
        for number in range(10):
            assert client.get(f"{server.url}/?{number}").text == "counted"
        server.log.wait_for("starts threads when it is imported")


def test_an_app_that_cannot_be_imported(tmp_path: Path, transport: str, client: requests.Session) -> None:
    with Server(tmp_path, ini("broken:application"), transport, may_fail=True) as server:
        server.log.wait_for(r"Traceback (.*\n)+?.*ValueError: this app is broken on purpose")
        answer = client.get(f"{server.url}/", headers={"Accept": "application/json"})
        assert answer.status_code == 503
        server.log.wait_for(rf"503 {answer.json()['reason']}: .*\[{answer.json()['request_id']}\]")
        # What does not need the app is served.
        assert client.get(f"{server.url}/static/site.css").ok
        ready = client.get(f"{server.url}/ready")
        assert (ready.status_code, ready.text) == (503, "not ready: main\n")


def test_an_app_whose_object_is_missing(tmp_path: Path, transport: str, client: requests.Session) -> None:
    with Server(tmp_path, ini("corners:applicaton"), transport, may_fail=True) as server:
        server.log.wait_for("applicaton")
        assert client.get(f"{server.url}/").status_code == 503


def test_a_request_that_takes_too_long(tmp_path: Path, transport: str, client: requests.Session, gate: Gate) -> None:
    with Server(
        tmp_path, ini("corners:application", "timeout = 500ms\nworkers = 1"), transport, may_fail=True
    ) as server:
        answer = client.get(f"{server.url}/gate?gate={gate.port}", headers={"Accept": "application/json"})
        assert answer.status_code == 504
        server.log.wait_for(rf"504 {answer.json()['reason']}: .*\[{answer.json()['request_id']}\]")
        assert client.get(f"{server.url}/hello").text == "hello"  # by a new worker


def test_a_full_queue(tmp_path: Path, transport: str, client: requests.Session, gate: Gate) -> None:
    full = ini("corners:application", "workers = 1\nqueue_max = 1")
    with Server(tmp_path, full, transport) as server, Wire(server.url) as first, Wire(server.url) as second:
        second.get("/hello")
        assert second.response().body == b"hello"
        for wire in (first, second):
            wire.get(f"/gate?gate={gate.port}")
        held = gate.catch()  # one runs, one waits
        answer = client.get(f"{server.url}/hello", headers={"Accept": "application/json"})
        assert (answer.status_code, answer.json()["reason"]) == (503, "queue-full")
        assert int(answer.headers["Retry-After"]) > 0
        held.release()
        gate.catch().release()
        assert [wire.response().body for wire in (first, second)] == [b"through"] * 2
