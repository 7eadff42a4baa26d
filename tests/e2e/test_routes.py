"""Which route answers: exact, then regular expressions, then the longest prefix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.e2e.clients import curl
from tests.e2e.server import APPS, Server

INI = f"""
[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
respond = 200 root

[route:demo /a/]
respond = 200 a

[route:demo /a/b]
respond = 200 a-b

[route:demo = /a/exact]
respond = 200 exact

[route:demo ~ ^/u/\\d+$]
respond = 200 regex

[route:demo /u/]
respond = 200 u

[route:demo /app/]
app = corners

[route:demo /old/]
redirect = /new{{rest}}{{query}}

[route:demo = /gone]
respond = 410

[route:demo = /ready]
ready = yes

[app:corners]
wsgi = corners:application
path = {APPS}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("routes"), INI, transport) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "root"),
        ("/elsewhere", "root"),
        ("/a/", "a"),
        ("/a/bee", "a"),
        ("/a/b", "a-b"),
        ("/a/b/c", "a-b"),
        ("/a/exact", "exact"),
        ("/a/exact/", "a"),
        ("/u/42", "regex"),
        ("/u/x", "u"),
        ("/%61/%62", "a-b"),
        ("/a/./b/../exact", "exact"),
    ],
)
def test_the_route_of_a_path(server: Server, path: str, route: str) -> None:
    assert curl("--path-as-is", server.url + path).stdout.decode().strip() == route


@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 308)])
def test_a_prefix_without_its_slash(client: requests.Session, server: Server, method: str, status: int) -> None:
    answer = client.request(method, f"{server.url}/a?x=%20", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (status, "/a/?x=%20")


def test_an_app_under_a_prefix(client: requests.Session, server: Server) -> None:
    environ = client.get(f"{server.url}/app/environ").json()
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/environ")


def test_a_redirect_takes_the_rest_along(client: requests.Session, server: Server) -> None:
    answer = client.get(f"{server.url}/old/x%20y?z=1", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, "/new/x%20y?z=1")


def test_a_status_as_a_page(client: requests.Session, server: Server) -> None:
    answer = client.get(f"{server.url}/gone")
    assert answer.status_code == 410
    assert "410 Gone" in answer.text


def test_readiness(client: requests.Session, server: Server) -> None:
    client.get(f"{server.url}/app/pid")  # by now a worker has answered
    answer = client.get(f"{server.url}/ready")
    assert (answer.status_code, answer.text) == (200, "ready\n")
