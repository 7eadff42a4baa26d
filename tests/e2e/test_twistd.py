"""``twistd tinfront``: in the background, with a pid file and a log; and on reactors of the user's choice."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.e2e.server import APPS, BIN, PATIENCE, environment, eventually, group

INI = f"""
[server]
access_log = access.log

[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
app = corners

[app:corners]
wsgi = corners:application
path = {APPS}
mode = MODE
"""


def twistd(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run twistd until it is in the background, or has ended."""
    command = [BIN / "twistd", "--pidfile=site.pid", "--logfile=site.log", *arguments]
    command += ["tinfront", "--config", "site.ini"]
    return subprocess.run(
        command, cwd=directory, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


@contextmanager
def daemon(directory: Path, *arguments: str) -> Iterator[tuple[int, str]]:
    """A server in the background: its pid and its URL."""
    started = twistd(directory, *arguments)
    assert started.returncode == 0, started
    log = directory / "site.log"
    eventually(lambda: log.exists() and " serves " in log.read_text(), "it does not serve")
    pid = int((directory / "site.pid").read_text())
    handle, number = os.pidfd_open(pid), os.getpgid(pid)
    try:
        found = re.search(r" serves (\S+)", log.read_text())
        assert found
        yield pid, found[1]
        assert select.select([handle], [], [], PATIENCE)[0], log.read_text()
        eventually(lambda: not group(number), "processes are left")
    except BaseException:
        try:
            os.killpg(number, signal.SIGKILL)
        except ProcessLookupError:
            pass
        raise
    finally:
        os.close(handle)


@pytest.mark.parametrize("arguments", [(), ("--reactor=epoll",), ("--reactor=poll",), ("--reactor=asyncio",)])
@pytest.mark.parametrize("mode", ["prefork", "threads"])
def test_a_daemon(tmp_path: Path, client: requests.Session, arguments: tuple[str, ...], mode: str) -> None:
    (tmp_path / "site.ini").write_text(INI.replace("MODE", mode))
    with daemon(tmp_path, *arguments) as (pid, url):
        assert client.get(f"{url}/hello").text == "hello"
        assert client.post(f"{url}/echo", data=b"x" * 300_000).json()["length"] == 300_000
        os.kill(pid, signal.SIGTERM)
    assert not (tmp_path / "site.pid").exists()
    assert "/hello" in (tmp_path / "access.log").read_text()
    assert "Traceback" not in (tmp_path / "site.log").read_text()


def test_bad_configuration_is_told_before_it_goes_into_the_background(tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text("[listen:http]\nadress = x\n")
    answer = twistd(tmp_path)
    assert answer.returncode == 78
    assert 'did you mean "address"?' in answer.stderr


def test_a_port_in_use_is_told_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "site.ini").write_text(INI.replace("MODE", "prefork").replace(":0", f":{port}"))
        answer = twistd(tmp_path)
    assert answer.returncode != 0
    assert "in use" in answer.stderr + answer.stdout


def test_twistd_lists_it() -> None:
    answer = subprocess.run([BIN / "twistd", "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert re.search(r"^\s+tinfront\s+The web server", answer.stdout, re.MULTILINE)
