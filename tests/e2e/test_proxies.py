"""Behind proxies: what applications, filters and logs make of who they say the client is; and bounds per address."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.clients import Wire
from tests.e2e.conftest import Authority
from tests.e2e.server import APPS, PATIENCE, Server, address_of, eventually, tinfront

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 1, 198, 51, 100, 2]) + b"\xdc\x04\x01\xbb"
NAMES = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix")
LIES = dict(zip(NAMES, ("6.6.6.6", "https", "evil.test", "99", "/evil"), strict=True))
LIES |= {"X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6;proto=https;host=evil.test"}


@pytest.fixture(scope="module", params=["prefork", "threads"])
def server(
    tmp_path_factory: pytest.TempPathFactory, transport: str, certificate: Path, request: pytest.FixtureRequest
) -> Iterator[Server]:
    listeners = {
        "plain": "",
        "trusting": "trusted_proxies = 127.0.0.1, 10.0.0.0/8",
        "rfc7239": "trusted_proxies = 127.0.0.1, 10.0.0.0/8\nproxy_headers = forwarded",
        "announced": "trusted_proxies = 127.0.0.1\nproxy_protocol = yes\nconnections_per_address = 2",
        "secure": "trusted_proxies = 127.0.0.1\nproxy_protocol = yes\ntls = yes",
        "few": "connections_per_address = 2",
    }
    ini = "[server]\ncontrol = run/control\n"
    ini += "".join(f"\n[listen:{name}]\naddress = 127.0.0.1:0\n{text}\n" for name, text in listeners.items())
    ini += f"""
[site:demo]
default = yes
certificate = {certificate}

[route:demo /]
app = corners

[route:demo /old]
respond = 200 seen
filters = redirect_https

[app:corners]
wsgi = corners:application
path = {APPS}
mode = {request.param}
"""
    with Server(tmp_path_factory.mktemp("proxies"), ini, transport) as server:
        yield server


def url(server: Server, name: str) -> str:
    return server.urls[["plain", "trusting", "rfc7239", "announced", "secure", "few"].index(name)]


def environ(client: requests.Session, server: Server, name: str, fields: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"{url(server, name)}/environ", headers=fields).json()
    return answer


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """What an app may believe of its client."""
    known = {name: value for name, value in answer.items() if "FORWARDED" in name or "REAL" in name}
    return known | {name: answer[name] for name in ("REMOTE_ADDR", "wsgi.url_scheme", "SERVER_PORT")}


def test_nobody_is_believed(client: requests.Session, server: Server) -> None:
    where = url(server, "plain").removeprefix("http://")
    assert told(environ(client, server, "plain", LIES)) == {
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PORT": where.partition(":")[2],
        "wsgi.url_scheme": "http",
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "HTTP_X_FORWARDED_PROTO": "http",
        "HTTP_X_FORWARDED_HOST": where,
    }
    assert client.get(f"{url(server, 'plain')}/old", headers=LIES, allow_redirects=False).status_code == 301


def test_a_trusted_proxy_is_believed(client: requests.Session, server: Server) -> None:
    fields = LIES | {"X-Forwarded-For": "6.6.6.6, 192.0.2.1, 10.0.0.9"}
    answer = environ(client, server, "trusting", fields)
    assert told(answer) == {
        "REMOTE_ADDR": "192.0.2.1",
        "SERVER_PORT": "99",
        "wsgi.url_scheme": "https",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "evil.test",
        "HTTP_X_FORWARDED_PREFIX": "/evil",
    }
    assert answer["HTTPS"] == "on"
    server.out.wait_for(r'(?m)^192\.0\.2\.1 - - \[.*"GET /environ ')
    answer = client.get(f"{url(server, 'trusting')}/old", headers=fields, allow_redirects=False)
    assert (answer.status_code, answer.text) == (200, "seen\n")


def test_forwarded_of_a_trusted_proxy(client: requests.Session, server: Server) -> None:
    fields = LIES | {"Forwarded": 'for=6.6.6.6, for="[2001:db8::1]:7";proto=https;host=a.test, for=10.0.0.1'}
    answer = environ(client, server, "rfc7239", fields)
    assert (answer["REMOTE_ADDR"], answer["REMOTE_PORT"], answer["wsgi.url_scheme"]) == ("2001:db8::1", "7", "https")
    assert answer["HTTP_X_FORWARDED_HOST"] == "a.test"
    assert "HTTP_X_FORWARDED_PREFIX" not in answer
    refused = client.get(f"{url(server, 'rfc7239')}/environ", headers={"Forwarded": 'for="'})
    assert (refused.status_code, "bad-forwarded" in refused.text) == (400, True)


@pytest.mark.parametrize("header", [V1, V2])
@pytest.mark.parametrize("size", [1, 20, 1000])
def test_the_proxy_protocol(server: Server, header: bytes, size: int) -> None:
    with Wire(url(server, "announced")) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(header), size):
            wire.send(header[at : at + size])
        for _ in range(2):
            wire.get("/environ", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https")
            answer = json.loads(wire.response().body)
            assert (answer["REMOTE_ADDR"], answer["REMOTE_PORT"]) == ("192.0.2.1", "56324")
            assert (answer["SERVER_PORT"], answer["wsgi.url_scheme"]) == ("443", "http")
            assert answer["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"


def test_a_balancer_that_has_ended_the_clients_tls(server: Server) -> None:
    ended = V2[:15] + bytes([V2[15] + 8]) + V2[16:] + b"\x20\0\5\1\0\0\0\0"
    with Wire(url(server, "announced")) as wire:
        wire.send(ended)
        wire.get("/environ", "X-Forwarded-Proto: http")
        answer = json.loads(wire.response().body)
        assert (answer["wsgi.url_scheme"], answer["HTTP_X_FORWARDED_PROTO"]) == ("https", "https")


@pytest.mark.parametrize("header", [V1, V2])
def test_the_proxy_protocol_before_tls(server: Server, header: bytes, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.file))
    with socket.create_connection(address_of(url(server, "secure")), PATIENCE) as plain:
        plain.sendall(header)
        with context.wrap_socket(plain, server_hostname="demo.test") as client:
            client.sendall(b"GET /environ HTTP/1.1\r\nHost: demo.test\r\nConnection: close\r\n\r\n")
            data = b""
            while piece := client.recv(65536):
                data += piece
    answer = json.loads(data.partition(b"\r\n\r\n")[2])
    assert (answer["REMOTE_ADDR"], answer["wsgi.url_scheme"]) == ("192.0.2.1", "https")


def test_the_bounds_and_their_counts(server: Server) -> None:
    def counts(name: str) -> dict[str, Any]:
        status = json.loads(tinfront("status", "--json", str(server.file)).stdout)
        assert status["connections"]["limit"] > 0
        return next(item for item in status["listeners"] if item["name"] == name)

    with Wire(url(server, "announced")) as wire:  # no PROXY header
        wire.get("/hello")
        assert wire.is_cut()
    assert counts("announced")["unannounced"] == 1
    server.log.wait_for("127.0.0.1 is disconnected for lack of a PROXY header: it does not begin with")
    with Wire(url(server, "few")) as first, Wire(url(server, "few")) as second:
        for wire in (first, second):
            wire.get("/hello")
            assert wire.response().body == b"hello"
        with Wire(url(server, "few")) as third:
            assert third.is_cut()
    assert counts("few")["over_address"] == 1
    eventually(lambda: counts("few")["open"] == 0)
    with Wire(url(server, "few")) as wire:
        wire.get("/hello")
        assert wire.response().body == b"hello"
    assert "PER ADDRESS" in tinfront("status", str(server.file)).stdout


def test_at_the_bound_of_all_connections_the_idlest_go(tmp_path: Path, transport: str) -> None:
    ini = """
[server]
connections_max = 20
control = run/control

[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
respond = 200 hello
"""
    with Server(tmp_path, ini, transport) as server:
        wires: list[Wire] = []
        for _ in range(60):
            wires.append(Wire(server.url))
            wires[-1].get("/")
            assert wires[-1].response().body == b"hello\n"
        status = json.loads(tinfront("status", "--json", str(server.file)).stdout)
        assert status["connections"]["open"] <= 20
        assert status["listeners"][0]["closed_idle"] >= 40
        assert wires[0].is_cut()
        wires[-1].get("/")
        assert wires[-1].response().body == b"hello\n"
        for wire in wires:
            wire.__exit__(None, None, None)
