"""Static files over http and https: ranges, conditions, and large files to slow clients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.clients import Wire, curl
from tests.e2e.server import LISTEN, Server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = tmp_path_factory.mktemp("files")
    (files / "index.html").write_text("<h1>home</h1>")
    (files / "style.css").write_text("body { color: teal }")
    (files / "large.bin").write_bytes(os.urandom(10 * MIB))
    (files / "sub").mkdir()
    (files / ".secret").write_text("no")
    (files / "out").symlink_to("/etc/hostname")
    return files


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, transport: str, certificate: Path, files: Path
) -> Iterator[Server]:
    ini = f"""
{LISTEN}
[site:demo]
default = yes
certificate = {certificate}

[route:demo /]
static = {files}
expires = 1d
"""
    with Server(tmp_path_factory.mktemp("static"), ini, transport) as server:
        yield server


@pytest.fixture
def url(server: Server, scheme: str) -> str:
    return server.url if scheme == "http" else server.secure_url


def test_files_and_the_index(client: requests.Session, url: str) -> None:
    page, style = client.get(f"{url}/"), client.get(f"{url}/style.css")
    assert (page.text, page.headers["Content-Type"]) == ("<h1>home</h1>", "text/html; charset=utf-8")
    assert (style.text, style.headers["Cache-Control"]) == ("body { color: teal }", "max-age=86400")


def test_a_directory_gets_its_slash(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/sub?q", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, "/sub/?q")


@pytest.mark.parametrize("path", ["/missing", "/.secret", "/out", "/sub/", "/sub/../.secret"])
def test_what_is_not_to_be_had(url: str, path: str) -> None:
    answer = curl("--insecure", "--path-as-is", "--output", os.devnull, "--write-out", "%{http_code}", url + path)
    assert answer.stdout == b"404"


@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/etc/passwd", "/sub/..%2f..%2fetc/passwd"])
def test_nobody_climbs_out(url: str, path: str) -> None:
    answer = curl("--insecure", "--path-as-is", "--output", os.devnull, "--write-out", "%{http_code}", url + path)
    assert answer.stdout in {b"400", b"404"}


def test_conditions(client: requests.Session, url: str) -> None:
    first = client.get(f"{url}/style.css")
    for name, value in (
        ("If-None-Match", first.headers["ETag"]),
        ("If-Modified-Since", first.headers["Last-Modified"]),
    ):
        again = client.get(f"{url}/style.css", headers={name: value})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    other = client.get(f"{url}/style.css", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200
    failed = client.get(f"{url}/style.css", headers={"If-Match": '"other"'})
    assert failed.status_code == 412


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-0", 0, 1), ("100-", 100, 10 * MIB), ("-5", 10 * MIB - 5, 10 * MIB), ("70000-9000000", 70_000, 9_000_001)],
)
def test_ranges(client: requests.Session, url: str, files: Path, asked: str, start: int, stop: int) -> None:
    answer = client.get(f"{url}/large.bin", headers={"Range": f"bytes={asked}"})
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{10 * MIB}"
    assert answer.content == (files / "large.bin").read_bytes()[start:stop]


def test_several_ranges(client: requests.Session, url: str, files: Path) -> None:
    answer = client.get(f"{url}/large.bin", headers={"Range": "bytes=0-9,5000000-5000009"})
    assert answer.status_code == 206
    kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    data = (files / "large.bin").read_bytes()
    parts = [part.partition(b"\r\n\r\n")[2][:-2] for part in answer.content.split(b"--" + boundary.encode())[1:-1]]
    assert parts == [data[:10], data[5_000_000:5_000_010]]


def test_a_range_beyond_the_end(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/style.css", headers={"Range": "bytes=1000-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */20")


def test_curl_resumes_a_download(tmp_path: Path, url: str, files: Path) -> None:
    data = (files / "large.bin").read_bytes()
    part = tmp_path / "large.bin"
    part.write_bytes(data[:3_000_000])
    answer = curl("--insecure", "--continue-at", "-", "--output", part, f"{url}/large.bin")
    assert (answer.returncode, part.read_bytes() == data) == (0, True)


def test_a_slow_client_gets_a_large_file_whole(client: requests.Session, server: Server, files: Path) -> None:
    with Wire(server.url, receive_buffer=32 * 1024) as slow:
        slow.get("/large.bin")
        assert client.get(f"{server.url}/style.css").ok  # while the slow client reads nothing
        status, fields = slow.head()
        assert (status, fields["content-length"]) == (200, str(10 * MIB))
        assert slow.read(10 * MIB) == (files / "large.bin").read_bytes()


def test_a_client_that_leaves_halfway_harms_nobody(client: requests.Session, server: Server, files: Path) -> None:
    for _ in range(5):
        with Wire(server.url, receive_buffer=32 * 1024) as wire:
            wire.get("/large.bin")
            wire.head()
    assert client.get(f"{server.url}/large.bin").content == (files / "large.bin").read_bytes()


def test_only_get_and_head(client: requests.Session, url: str) -> None:
    answer = client.post(f"{url}/style.css", data=b"x")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    head = client.head(f"{url}/large.bin")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(10 * MIB))
