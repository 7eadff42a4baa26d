"""Pyramid, made by a factory, under a prefix: views, JSON, static files, traversal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.server import APPS, LISTEN, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, transport: str, mode: str, certificate: Path) -> Iterator[Server]:
    ini = f"""
{LISTEN}
[site:demo]
default = yes
certificate = {certificate}

[route:demo /library/]
app = pyramid

[app:pyramid]
wsgi = pyramid_site:make_app()
path = {APPS}
mode = {mode}
"""
    with Server(tmp_path_factory.mktemp("pyramid"), ini, transport) as server:
        yield server


@pytest.fixture
def url(server: Server, scheme: str) -> str:
    """Of the library."""
    return f"{server.url if scheme == 'http' else server.secure_url}/library"


def test_a_view(client: requests.Session, url: str) -> None:
    assert client.get(f"{url}/page/you%20all").text == "hello you all"


def test_json_in_and_out(client: requests.Session, url: str) -> None:
    answer = client.post(f"{url}/sums", json={"numbers": [1, 2, 39]})
    assert answer.json() == {"sum": 42, "url": f"{url}/sums"}


def test_a_redirect_by_route_url(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/go")
    assert (answer.url, answer.text) == (f"{url}/page/you", "hello you")


@pytest.mark.parametrize("path", ["/assets/site.css", "/stylesheet"])
def test_static_files(client: requests.Session, url: str, path: str) -> None:
    answer = client.get(url + path)
    assert answer.content == (APPS / "pyramid_assets" / "site.css").read_bytes()
    assert answer.headers["Content-Type"].startswith("text/css")
    again = client.get(url + path, headers={"If-Modified-Since": answer.headers["Last-Modified"]})
    assert (again.status_code, again.content) == (304, b"")


def test_traversal_knows_the_prefix(client: requests.Session, url: str) -> None:
    book = client.get(f"{url}/shelf/book").json()
    assert book == {"name": "book", "url": f"{url}/shelf/book/", "path": "/library/shelf/book/", "children": []}
    assert client.get(f"{url}/shelf").json()["children"] == ["book"]
    assert client.get(f"{url}/").json() == {"name": "", "url": f"{url}/", "path": "/library/", "children": ["shelf"]}


def test_traversal_to_nowhere(client: requests.Session, url: str) -> None:
    assert client.get(f"{url}/shelf/missing/deeper").status_code == 404
