"""Apps and environments that treat the server roughly."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.e2e.server import BIN, Server

APP = """
import os
import signal

def app(environ, start_response):
    with open("begun", "a") as file:
        file.write(environ["REQUEST_METHOD"] + "\\n")
    if environ["PATH_INFO"] == "/signals":
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            os.kill(os.getpid(), number)
    if environ["PATH_INFO"] == "/closes":
        os.closerange(3, 1000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""

INI = """
[listen:http]
address = 127.0.0.1:0

[site:main]
default = yes

[route:main /]
app = main

[app:main]
wsgi = rough:app
path = .
chdir = .
workers = 1
"""


@pytest.fixture
def server(tmp_path: Path, transport: str):
    (tmp_path / "rough.py").write_text(APP)
    with Server(tmp_path, INI, transport) as running:
        yield running


def test_an_app_that_closes_all_descriptors_is_run_once(server: Server) -> None:
    answer = requests.post(f"{server.url}/closes", data=b"x", timeout=20)
    assert (answer.status_code, "worker-died" in answer.text) == (502, True)
    assert (server.directory / "begun").read_text() == "POST\n"
    assert requests.get(f"{server.url}/", timeout=20).text == "ok"


def test_signals_of_the_front_cost_a_worker_nothing(server: Server) -> None:
    assert requests.get(f"{server.url}/signals", timeout=20).text == "ok"
    assert (server.directory / "begun").read_text() == "GET\n"


def test_a_socket_from_systemd(tmp_path: Path) -> None:
    file = tmp_path / "site.ini"
    file.write_text("[listen:web]\naddress = systemd:web\n[site:s]\ndefault = yes\n[route:s /]\nrespond = 200 socket\n")
    start = (
        "import os, sys\nos.environ['LISTEN_PID'] = str(os.getpid())\nos.dup2(int(sys.argv[1]), 3)\n"
        "os.execv(sys.argv[2], ['tinfront', 'run', sys.argv[3]])\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = subprocess.Popen(
            [sys.executable, "-c", start, str(listening.fileno()), str(BIN / "tinfront"), str(file)],
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"},
            pass_fds=(listening.fileno(),),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            # The kernel queues the request until the server is there.
            answer = requests.get(f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout=20)
        finally:
            process.terminate()
            code = process.wait(20)
    assert (answer.text.strip(), code) == ("socket", 0)


def test_started_without_standard_descriptors(tmp_path: Path) -> None:
    file = tmp_path / "site.ini"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file.write_text(
        f"[server]\naccess_log = off\n[listen:web]\naddress = unix:web.sock\n127.0.0.1:{port}\n"
        "[site:s]\ndefault = yes\n[route:s /]\nrespond = 200\n".replace("\n127", "\n    127")
    )
    start = "import os, sys\nos.closerange(0, 3)\nos.execv(sys.argv[1], ['tinfront', 'run', sys.argv[2]])\n"
    process = subprocess.Popen([sys.executable, "-c", start, str(BIN / "tinfront"), str(file)], cwd=tmp_path)
    try:
        while process.poll() is None:
            try:
                assert requests.get(f"http://127.0.0.1:{port}/", timeout=20).ok
                break
            except requests.ConnectionError:
                continue
    finally:
        process.terminate()
        code = process.wait(20)
    assert code == 0
