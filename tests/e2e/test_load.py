"""Overload and a soak: the scenarios of ``make bench-slow``, scaled down to seconds, judged by counts."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import requests
import uvloop

from bench import app as bench_app
from bench.slow.soak import Soak, weigh
from tests.e2e.server import LISTEN, PATIENCE, ROOT, Server, address_of, eventually, tinfront

CAPACITY = 100
"""Requests a second: two threads that sleep for 20 ms."""
SECONDS = 3
QUEUE_TIMEOUT = 1.0
LEEWAY = 1.0
"""Seconds for a machine that does other things, too. Without a bound some would wait for six."""

SITE = f"""
[site:demo]
default = yes
certificate = {{certificate}}

[route:demo /]
app = bench

[route:demo /static/]
static = {{static}}

[app:bench]
wsgi = bench.app:application
path = {ROOT}
mode = {{mode}}
workers = 1
threads = 2
queue_timeout = {QUEUE_TIMEOUT:g}s
"""


def start(directory: Path, mode: str, transport: str, certificate: Path) -> Server:
    static = directory / "static"
    static.mkdir()
    (static / "5m.bin").write_bytes(bench_app.LARGE)
    server = "[server]\ncontrol = run/control\naccess_log = access.log\naccess_log_format = json\n"
    site = SITE.format(certificate=certificate, static=static, mode=mode)
    return Server(directory, f"{server}\n{LISTEN}\n{site}", transport)


def status(server: Server) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(tinfront("status", "--json", server.file).stdout)
    return told


async def visit(port: int) -> tuple[int, str]:
    """One visitor, one request: status and Retry-After."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /sleep/20 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
    code = int(head[9:12])
    assert code != 200 or body == bench_app.HELLO
    assert len(body) == int(fields["Content-Length"])
    return code, fields.get("Retry-After", "")


async def crowd(port: int, count: int, rate: float) -> list[tuple[int, str]]:
    """An open load: each comes at its time, whatever became of those before."""
    visits = []
    for _ in range(count):
        visits.append(asyncio.create_task(visit(port)))
        await asyncio.sleep(1 / rate)
    return await asyncio.wait_for(asyncio.gather(*visits), PATIENCE)


def test_overload(tmp_path: Path, mode: str, transport: str, certificate: Path) -> None:
    count = 3 * CAPACITY * SECONDS
    with start(tmp_path, mode, transport, certificate) as server:
        answers = Counter(uvloop.run(crowd(address_of(server.url)[1], count, 3 * CAPACITY)))
        assert set(answers) <= {(200, ""), (503, "1")}
        assert answers.total() == count
        assert answers[200, ""] >= CAPACITY  # a third of what an idle machine does
        assert answers[503, "1"] > 0
        eventually(lambda: len((tmp_path / "access.log").read_text().splitlines()) == count)
        app = status(server)["apps"][0]
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    reasons = Counter((line["status"], line["reason"]) for line in lines)
    assert reasons == {(200, ""): answers[200, ""], (503, "queue-timeout"): answers[503, "1"]}
    assert app["shed"] == {"full": 0, "timeout": answers[503, "1"], "gone": 0}
    assert (app["busy"], app["waiting"]) == (0, 0)
    assert max(line["queue_time"] for line in lines) <= QUEUE_TIMEOUT + LEEWAY
    # nothing was done in vain: whoever had a worker has its answer
    assert sum(1 for line in lines if line["pid"]) == answers[200, ""]


def test_soak(tmp_path: Path, mode: str, transport: str, certificate: Path, client: requests.Session) -> None:
    with start(tmp_path, mode, transport, certificate) as server:
        for path, body in (("/hello/1", bench_app.HELLO), ("/static/5m.bin", bench_app.LARGE)):
            for url in (server.url, server.secure_url):
                assert client.get(url + path).content == body
        client.close()
        place = SimpleNamespace(http=address_of(server.url)[1], https=address_of(server.secure_url)[1])
        running: Any = SimpleNamespace(place=place, pids=lambda: [server.process.pid])
        eventually(lambda: status(server)["connections"]["open"] == 0)
        before = weigh(running)[1]
        soak = Soak(running, SECONDS)
        asyncio.run(soak.run(lambda _: None))
        assert soak.wrong == []
        assert set(soak.counts) == {"good", "slow", "break", "vanish", "answers"}
        assert soak.counts["answers"] >= 50
        if server.fast:  # Twisted's TLS keeps who has said goodbye in the middle of an answer for longer
            eventually(lambda: status(server)["connections"]["open"] == 0)
            eventually(lambda: weigh(running)[1] <= before)
        told = status(server)
        assert (told["spool"]["used"], told["spool"]["memory"]) == (0, 0)
        assert (told["apps"][0]["busy"], told["apps"][0]["waiting"]) == (0, 0)
