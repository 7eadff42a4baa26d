"""Flask under a prefix, so that every URL it makes has to know where it is mounted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.server import APPS, LISTEN, Server


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for the app to send."""
    path = tmp_path_factory.mktemp("documents") / "report.pdf"
    path.write_bytes(os.urandom(300_000))
    return path


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, transport: str, mode: str, certificate: Path, document: Path
) -> Iterator[Server]:
    ini = f"""
{LISTEN}
[site:demo]
default = yes
certificate = {certificate}

[route:demo /shop/]
app = flask
body_limit = 16m

[app:flask]
wsgi = flask_site:app
path = {APPS}
env = FLASK_FILE={document}
mode = {mode}
"""
    with Server(tmp_path_factory.mktemp("flask"), ini, transport, may_fail=True) as server:
        yield server


@pytest.fixture
def url(server: Server, scheme: str) -> str:
    """Of the shop."""
    return f"{server.url if scheme == 'http' else server.secure_url}/shop"


def test_a_form_and_a_redirect_to_another_view(client: requests.Session, url: str) -> None:
    assert 'action="/shop/greet"' in client.get(f"{url}/").text
    answer = client.post(f"{url}/greet", data={"name": "Zoë"})
    assert answer.history[0].headers["Location"] == "/shop/hello/Zo%C3%AB"
    base = url.removesuffix("shop")
    assert answer.json() == {"hello": "Zoë", "session": "Zoë", "host": base, "path": "/hello/Zoë?"}


def test_the_prefix_gets_its_slash(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}?q=1", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, "/shop/?q=1")


def test_external_urls_have_scheme_host_and_prefix(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/absolute", allow_redirects=False)
    assert answer.headers["Location"] == f"{url}/"


@pytest.mark.parametrize("size", [100, 5_000_000])
def test_upload(client: requests.Session, url: str, size: int) -> None:
    body = os.urandom(size)
    answer = client.post(f"{url}/upload", data={"note": "naïve"}, files={"file": ("a b.bin", body)}).json()
    assert answer == {"name": "a b.bin", "size": size, "sha256": hashlib.sha256(body).hexdigest(), "note": "naïve"}


def test_a_streamed_generator(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/stream")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.text == "".join(f"{number},{number * number}\n" for number in range(1000))


def test_send_file_goes_through_our_file_wrapper(client: requests.Session, url: str, document: Path) -> None:
    answer = client.get(f"{url}/file")
    assert answer.headers["X-Body"] == "tinfront.workers.gateway"
    assert answer.headers["Content-Length"] == "300000"
    assert answer.content == document.read_bytes()


def test_send_file_in_part(client: requests.Session, url: str, document: Path) -> None:
    answer = client.get(f"{url}/file", headers={"Range": "bytes=1000-200999"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, "bytes 1000-200999/300000")
    assert answer.content == document.read_bytes()[1000:201_000]


def test_head_of_a_file(client: requests.Session, url: str) -> None:
    answer = client.head(f"{url}/file")
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "300000", b"")


def test_a_view_that_fails(client: requests.Session, server: Server, url: str) -> None:
    answer = client.get(f"{url}/fails")
    assert answer.status_code == 500
    assert "Internal Server Error" in answer.text  # Flask's own page
    server.log.wait_for(r"\[flask\] pid=\d+ req=\S+ (.*\n)+?.*RuntimeError: a view has failed")
