"""What is bounded for all together: memory and disk of the spool, and a log that nobody reads."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench import app as bench_app
from tests.apps.corners import BLOCK
from tests.e2e.clients import Wire
from tests.e2e.server import APPS, BIN, FAST, PATIENCE, ROOT, Server, address_of, environment, eventually, tinfront

SITE = f"""
[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
app = bench

[route:demo /corners/]
app = corners

[app:bench]
wsgi = bench.app:application
path = {ROOT}
workers = 1
mode = {{mode}}

[app:corners]
wsgi = corners:application
path = {APPS}
workers = 1
"""


def start(directory: Path, mode: str, transport: str, *options: str) -> Server:
    lines = "\n".join(("[server]", "control = run/control", *options))
    return Server(directory, lines + SITE.format(mode=mode), transport)


def spool(server: Server) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(tinfront("status", "--json", server.file).stdout)["spool"]
    return told


def post(wire: Wire, body: bytes, length: int = 0) -> None:
    wire.send(f"POST /echo/1 HTTP/1.1\nHost: a\nContent-Length: {length or len(body)}\n\n")
    wire.send(body)


def test_the_memory_of_all_bodies_has_a_bound(tmp_path: Path, transport: str, mode: str) -> None:
    """Uploads that wait and answers that nobody takes: what is over the bound is on disk."""
    with start(tmp_path, mode, transport, "spool_memory_max = 200k") as server, ExitStack() as stack:
        uploads = [stack.enter_context(Wire(server.url)) for _ in range(10)]
        for wire in uploads:
            post(wire, b"x" * 50_000, 60_000)
        eventually(lambda: spool(server)["memory"] + spool(server)["used"] >= 500_000)
        found = spool(server)
        assert found["memory"] <= found["memory_limit"] == 200 * 1024
        assert found["spilled"] >= 5
        readers = [stack.enter_context(Wire(server.url, receive_buffer=16 * 1024)) for _ in range(5)]
        for wire in readers:
            wire.get("/large/1")
        eventually(lambda: spool(server)["used"] > 250_000 + 5 * len(bench_app.LARGE) // 4)
        assert spool(server)["memory"] <= 200 * 1024
        for wire in uploads:
            wire.send(b"y" * 10_000)
            assert wire.response().body == b"60000\n"
        for wire in readers:
            assert wire.response().body == bench_app.LARGE
        eventually(lambda: (spool(server)["memory"], spool(server)["used"]) == (0, 0))


def test_a_full_spool_frees_the_worker(tmp_path: Path, transport: str) -> None:
    """A client that reads slowly for ever would hold it as long."""
    with (
        start(tmp_path, "prefork", transport, "spool_max = 1m", "spool_memory = 10k") as server,
        Wire(server.url, receive_buffer=4096) as slow,
        Wire(server.url) as other,
    ):
        slow.get("/corners/download?blocks=400")
        assert slow.head()[0] == 200
        other.get("/corners/hello")  # there is one worker
        assert other.response().body == b"hello"
        server.log.wait_for('blocks=400" 200 spool-full: ')
        found = spool(server)
        assert (found["cut"], found["used"], found["memory"]) == (1, 0, 0)
        with pytest.raises(AssertionError, match="connection has ended"):  # it sees that something is missing
            slow.read(400 * len(BLOCK))


def test_a_full_spool_is_503(tmp_path: Path, transport: str) -> None:
    with start(tmp_path, "prefork", transport, "spool_max = 1m") as server, ExitStack() as stack:
        holding, refused = (stack.enter_context(Wire(server.url)) for _ in range(2))
        post(holding, b"x" * 900_000, 1_000_000)
        eventually(lambda: spool(server)["used"] == 900_000)
        post(refused, b"x" * 200_000)
        assert refused.response().status == 503
        holding.send(b"y" * 100_000)
        assert holding.response().body == b"1000000\n"
        again = stack.enter_context(Wire(server.url))
        post(again, b"x" * 900_000)
        assert again.response().body == b"900000\n"
        assert spool(server)["full"] == 1


# --- a disk that is full


def aboard(directory: Path, command: list[str]) -> list[str]:
    """``command`` with a disk of 512 KiB at ``directory``, which nobody else sees."""
    mount = f'mount -t tmpfs -o size=512k none "{directory}" && exec "$@"'
    return ["unshare", "-Urm", "sh", "-c", mount, "sh", *command]


def test_a_full_disk_is_503_and_the_space_comes_back(tmp_path: Path, transport: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(aboard(disk, ["true"]), capture_output=True, check=False).returncode:
        pytest.skip("no disks of one's own here")
    server = start(tmp_path, "prefork", transport, f"spool_dir = {disk}")
    server._command = aboard(disk, server._command)
    with server, ExitStack() as stack:
        holding, refused = (stack.enter_context(Wire(server.url)) for _ in range(2))
        post(holding, b"x" * 400_000, 410_000)
        eventually(lambda: spool(server)["used"] == 400_000)
        post(refused, b"x" * 300_000)
        assert refused.response().status == 503
        server.log.wait_for("503 spool-full: cannot write to the spool: No space left on device")
        holding.send(b"y" * 10_000)
        assert holding.response().body == b"410000\n"
        seen = f"/proc/{server.process.pid}/root{disk}"  # the worker lets go of the file a moment after its answer
        eventually(lambda: os.statvfs(seen).f_bavail * os.statvfs(seen).f_frsize > 450_000, "the file is held")
        again = stack.enter_context(Wire(server.url))
        post(again, b"x" * 400_000)
        assert again.response().body == b"400000\n"
        assert spool(server)["used"] == 0


def test_a_full_disk_frees_the_worker(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(aboard(disk, ["true"]), capture_output=True, check=False).returncode:
        pytest.skip("no disks of one's own here")
    server = start(tmp_path, "prefork", FAST, f"spool_dir = {disk}")
    server._command = aboard(disk, server._command)
    with server, Wire(server.url, receive_buffer=4096) as slow, Wire(server.url) as other:
        slow.get("/corners/download?blocks=400")
        other.get("/corners/hello")
        assert other.response().body == b"hello"
        assert spool(server)["cut"] == 1


# --- a log that nobody reads


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, str]]:
    """A server whose standard error is a small pipe, of which no more is read than where it serves."""
    (tmp_path / "site.ini").write_text("[server]\naccess_log = off\n" + SITE.format(mode="prefork"))
    ours, theirs = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 4096)
    command = [str(BIN / "tinfront"), "run", str(tmp_path / "site.ini")]
    with subprocess.Popen(command, stderr=theirs, env=environment(), start_new_session=True) as process:
        try:
            os.close(theirs)
            said = b""
            while not (found := re.search(rb"tinfront serves (http:\S+)\n", said)):
                piece = os.read(ours, 1024)
                assert piece, said
                said += piece
            yield process, ours, found[1].decode()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            os.close(ours)


def test_a_log_that_nobody_reads_stops_nobody(unread: tuple[subprocess.Popen[bytes], int, str]) -> None:
    process, pipe, url = unread
    with Wire(url) as wire:
        for _ in range(100):  # each is a traceback in the log
            wire.get("/corners/raises")
            assert wire.response().status == 500
        wire.get("/corners/hello")
        assert wire.response().body == b"hello"
    os.set_blocking(pipe, False)
    said = b""
    deadline = time.monotonic() + PATIENCE
    while said.count(b"RuntimeError: before the head\n") < 100 and time.monotonic() < deadline:
        try:
            said += os.read(pipe, 65536)
        except BlockingIOError:
            time.sleep(0.01)
    assert said.count(b"RuntimeError: before the head\n") == 100
    os.set_blocking(pipe, True)
    process.terminate()
    assert process.wait(PATIENCE) == 0


def test_nor_does_it_keep_it_from_ending(unread: tuple[subprocess.Popen[bytes], int, str]) -> None:
    process, _, url = unread
    with Wire(url) as wire:
        for _ in range(20):
            wire.get("/corners/raises")
            assert wire.response().status == 500
    assert address_of(url)[1]
    process.terminate()
    assert process.wait(PATIENCE) == 0
