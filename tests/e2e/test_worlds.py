"""What a worker holds and finds: its own descriptors and nothing of the front's, whatever the front has open."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.server import APPS, BIN, Server, environment, eventually
from tests.e2e.users import kinds

INI = """
[server]
access_log = {here}/access.log
control = {here}/control

[listen:http]
address = 127.0.0.1:0
    unix:{here}/site.sock

[listen:https]
address = 127.0.0.1:0
tls = yes

[site:demo]
default = yes
certificate = {certificate}

[route:demo /static/]
static = {here}

[route:demo /]
app = who
body_limit = 10m

[app:who]
wsgi = who:application
path = {apps}
workers = {workers}
threads = {threads}
preload = {preload}
env = BOOK={here}/book
    GREETING=hello
"""


@pytest.fixture(params=[(1, 1, "yes"), (2, 3, "yes"), (2, 1, "no")], ids=["one", "threads", "no-preload"])
def ini(request: pytest.FixtureRequest, tmp_path: Path, certificate: Path) -> str:
    workers, threads, preload = request.param
    return INI.format(
        here=tmp_path, certificate=certificate, apps=APPS, workers=workers, threads=threads, preload=preload
    )


def threads_of(ini: str) -> int:
    found = re.search(r"threads = (\d+)", ini)
    assert found
    return int(found[1])


def test_a_worker_s_descriptors(tmp_path: Path, ini: str, transport: str, client: requests.Session) -> None:
    (tmp_path / "big").write_bytes(b"x" * 3_000_000)
    with Server(tmp_path, ini, transport) as server:
        # Have all sorts of things open in the front while workers are born: connections, files, a spooled body.
        idle = [socket.create_connection(server.address) for _ in range(3)]
        assert client.get(f"{server.secure_url}/").status_code == 200
        assert len(client.get(f"{server.url}/static/big").content) == 3_000_000
        assert client.post(f"{server.url}/body", data=b"\x01" * 3_000_000).json()["sum"] == 3_000_000
        first = client.get(f"{server.url}/").json()
        os.kill(first["pid"], signal.SIGKILL)  # its successor is forked now
        server.log.wait_for("killed by SIGKILL")
        seen: dict[int, dict[str, str]] = {}

        def all_seen() -> bool:
            told = client.get(f"{server.secure_url}/").json()
            seen[told["pid"]] = told["fds"]
            return len(seen) > 3 or first["pid"] not in seen

        eventually(all_seen)
        for fds in seen.values():
            assert kinds(fds) == {"null": 1, "pipe": 3, "board": 1, "socket": 2 + threads_of(ini)}, fds
            assert (fds["0"], fds["1"]) == ("/dev/null", fds["2"])
        # What they are connected to is the front's alone, and none of it listens or has a client.
        sockets = {link for fds in seen.values() for link in fds.values() if link.startswith("socket:")}
        assert not sockets & {f"socket:[{inode}]" for inode in inet_inodes()}
        book = {line.split()[0] for line in (tmp_path / "book").read_text().splitlines()}
        assert book
        assert str(server.process.pid) not in book, "the front has imported the app"
        for sock in idle:
            sock.close()


def inet_inodes() -> set[str]:
    """Of all TCP sockets of the machine."""
    return {
        line.split()[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if os.path.exists(table)
        for line in Path(table).read_text().splitlines()[1:]
    }


@pytest.fixture
def passed() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_what_systemd_tells_the_server_it_does_not_tell_the_app(
    tmp_path: Path, certificate: Path, client: requests.Session, passed: socket.socket
) -> None:
    text = INI.format(here=tmp_path, certificate=certificate, apps=APPS, workers=1, threads=1, preload="yes")
    text = text.replace("address = 127.0.0.1:0\n    unix", "address = systemd:web\n    unix")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        server = Server(tmp_path, text)
        # A shell takes the server's place, so that LISTEN_PID is right and the socket has the number 3.
        line = f'exec env LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web "{BIN}/tinfront" run "{server.file}" 3<&{{fd}}'
        os.set_inheritable(passed.fileno(), True)
        server._command = ["/bin/bash", "-c", line.format(fd=passed.fileno())]
        server._pass_fds = (passed.fileno(),)
        server._env = environment({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "20000000", "MINE": "1"})
        with server:
            told = client.get(f"http://127.0.0.1:{passed.getsockname()[1]}/").json()
    names = set(told["environ"])
    assert {"MINE", "GREETING", "BOOK", "PATH"} <= names
    assert not {name for name in names if name.startswith(("LISTEN_", "NOTIFY_", "WATCHDOG_"))}
    assert kinds(told["fds"]) == {"null": 1, "pipe": 3, "board": 1, "socket": 3}


def test_the_front_survives_whatever_a_worker_says(
    tmp_path: Path, certificate: Path, transport: str, client: requests.Session
) -> None:
    text = INI.format(here=tmp_path, certificate=certificate, apps=APPS, workers=2, threads=2, preload="yes")
    with Server(tmp_path, text, transport, may_fail=True) as server:
        seen = set()
        for seed in range(25):
            answer = client.post(f"{server.url}/garbage/{seed}", data=b"x")
            assert answer.status_code in (200, 502, 503), answer.text
            eventually(lambda: client.get(f"{server.url}/").status_code == 200, "it does not recover")
            for _ in range(4):
                answer = client.get(f"{server.url}/")
                if answer.status_code == 200:
                    seen.add(answer.json()["pid"])
        server.log.wait_for(r"worker \d+ is gone: it sent ")
        assert len(seen) > 2, "nobody was replaced"
        assert server.process.poll() is None
        assert "Unhandled" not in server.report()


@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (2, 3)])
def test_a_request_is_not_run_again_because_its_answer_is_lost(
    tmp_path: Path, certificate: Path, transport: str, client: requests.Session, workers: int, threads: int
) -> None:
    """The app writes into its worker's streams and answers; what is behind that in the stream is not believed."""
    text = INI.format(
        here=tmp_path, certificate=certificate, apps=APPS, workers=workers, threads=threads, preload="yes"
    ).replace("body_limit = 10m", "body_limit = 10m\nretry = {retry}")

    def ask(method: str, book: str) -> tuple[int, str, int]:
        url = f"{server.url}/babble{tmp_path}/{book}"
        answer = client.request(method, url, headers={"Accept": "application/json"})
        return answer.status_code, answer.json()["reason"], len((tmp_path / book).read_text().splitlines())

    with Server(tmp_path, text.format(retry="yes"), transport, may_fail=True) as server:
        for number in range(3):
            assert ask("POST", f"post{number}") == (502, "worker-died", 1)
        assert ask("GET", "get") == (502, "poison", 2)
        server.log.wait_for(r"worker \d+ is gone: it sent ")
    with Server(tmp_path, text.format(retry="off"), transport, may_fail=True) as server:
        assert ask("GET", "once") == (502, "worker-died", 1)
