"""The access log and the error pages: what happened can be found by the id and the reason that the client was shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.clients import Wire
from tests.e2e.server import APPS, TRANSPORTS, Server

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)

CLF = re.compile(r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "(.*)" (\d+) (\d+) "(.*)" "(.*)"')


def ini(log: Path | str, form: str, mode: str = "prefork") -> str:
    return f"""
[server]
access_log = {log}
access_log_format = {form}

[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
app = corners
body_limit = 10

[route:demo = /quiet]
respond = 200 hush
access_log = no

[route:demo /fixed/]
respond = 200 fixed

[route:demo /never/]
respond = 403

[app:corners]
wsgi = corners:application
path = {APPS}
mode = {mode}
"""


def test_the_combined_format(tmp_path: Path, transport: str, client: requests.Session) -> None:
    log = tmp_path / "access.log"
    with Server(tmp_path, ini(log, "combined"), transport) as server:
        client.get(f"{server.url}/hello?a=b", headers={"User-Agent": "curious", "Referer": "http://here/"})
        client.get(f"{server.url}/fixed/", headers={"User-Agent": 'with "quotes"'})
        client.get(f"{server.url}/quiet")
        client.get(f"{server.url}/missing", headers={"User-Agent": "x"})
    lines = [CLF.fullmatch(line) for line in log.read_text().splitlines()]
    assert [line and line.groups() for line in lines] == [
        ("GET /hello?a=b HTTP/1.1", "200", "5", "http://here/", "curious"),
        ("GET /fixed/ HTTP/1.1", "200", "6", "-", r"with \x22quotes\x22"),
        ("GET /missing HTTP/1.1", "404", "24", "-", "x"),
    ]


def test_the_log_goes_to_standard_output(tmp_path: Path, transport: str, client: requests.Session) -> None:
    with Server(tmp_path, ini("-", "combined"), transport) as server:
        client.get(f"{server.url}/hello?to-stdout")
    assert '"GET /hello?to-stdout HTTP/1.1" 200 5' in server.out.text


@pytest.mark.parametrize("mode", ["prefork", "threads"])
def test_json_lines_know_what_the_app_knew(tmp_path: Path, transport: str, mode: str, client: requests.Session) -> None:
    log = tmp_path / "access.log"
    with Server(tmp_path, ini(log, "json", mode), transport) as server:
        environs = [client.get(f"{server.url}/environ?{number}").json() for number in range(5)]
        missing = client.get(f"{server.url}/never/", headers={"Accept": "application/json"})
        with Wire(server.url) as wire:
            wire.send("GET /hello\n\n")
            broken = wire.response()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["target"] for line in lines[:5]] == [f"/environ?{number}" for number in range(5)]
    assert [line["request_id"] for line in lines[:5]] == [environ["tinfront.request_id"] for environ in environs]
    assert [line["pid"] for line in lines[:5]] == [environ["pid"] for environ in environs]
    for line in lines[:5]:
        _check_line(line)
    assert (lines[5]["reason"], lines[5]["status"]) == (missing.json()["reason"], 403)
    assert (lines[6]["request_id"], lines[6]["status"]) == (broken.fields["x-request-id"], 400)
    assert len(lines) == 7


def _check_line(line: dict[str, Any]) -> None:
    """What can be said of every good answer of an app."""
    assert (line["method"], line["version"], line["status"], line["reason"]) == ("GET", "HTTP/1.1", 200, "")
    assert (line["client"], line["scheme"], line["site"], line["retries"]) == ("127.0.0.1", "http", "demo", 0)
    assert line["host"].startswith("127.0.0.1:")
    assert line["bytes"] > 100
    assert line["user_agent"].startswith("python-requests")
    assert line["time"].endswith("Z")
    parts = [line[name] for name in ("read_time", "queue_time", "app_time", "send_time")]
    assert all(part >= 0 for part in parts)
    assert sum(parts) <= line["time_total"] + 0.001


def test_error_pages(tmp_path: Path, transport: str, client: requests.Session) -> None:
    log = tmp_path / "access.log"
    ask = {"data": b"more than ten bytes"}
    with Server(tmp_path, ini(log, "json"), transport) as server:
        page = client.post(f"{server.url}/echo", headers={"Accept": "text/html,*/*;q=0.8"}, **ask)
        data = client.post(f"{server.url}/echo", headers={"Accept": "application/json"}, **ask)
        request_id = data.json()["request_id"]
        found = server.log.wait_for(rf'"POST /echo" 413 (\S+): (.*) \[{request_id}\]')
    assert (page.status_code, page.headers["Content-Type"]) == (413, "text/html; charset=utf-8")
    assert "body-too-large" in page.text
    assert page.headers["X-Request-ID"] in page.text
    assert data.headers["Content-Type"] == "application/json"
    assert data.json() == {
        "status": 413,
        "phrase": page.reason,
        "reason": "body-too-large",
        "hint": "The request body is larger than body_limit allows here.",
        "request_id": data.headers["X-Request-ID"],
    }
    assert found[1] == "body-too-large"
    assert "body_limit" in found[2]
    assert [json.loads(line)["reason"] for line in log.read_text().splitlines()] == ["body-too-large"] * 2


def test_error_pages_of_one_s_own(tmp_path: Path, transport: str, client: requests.Session) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "403.html").write_text("<p>no entry: {reason}, {request_id}")
    text = ini("off", "json").replace("[server]", f"[server]\nerror_pages = {pages}")
    with Server(tmp_path, text, transport) as server:
        answer = client.get(f"{server.url}/never/")
    assert answer.text == f"<p>no entry: configured, {answer.headers['X-Request-ID']}"
