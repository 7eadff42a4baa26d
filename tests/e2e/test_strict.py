"""What breaks HTTP, on real sockets: it is refused, the connection ends, no app sees it, and the logs say why."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Wire, curl
from tests.e2e.server import Server, address_of, eventually

APP = r"""
ROUGH = {
    "/status": ("200 OK\r\nSet-Cookie: evil=1", []),
    "/interim": ("100 Continue", []),
    "/name": ("200 OK", [("X\r\nSet-Cookie", "evil=1")]),
    "/value": ("200 OK", [("X", "a\r\nSet-Cookie: evil=1")]),
    "/lf": ("200 OK", [("X", "a\nSet-Cookie: evil=1")]),
    "/cr": ("200 OK", [("X", "a\rSet-Cookie: evil=1")]),
    "/nul": ("200 OK", [("X", "a\0Set-Cookie\0evil=1")]),
}


def app(environ, start_response):
    body = environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    with open("seen", "a") as file:
        print(environ["REQUEST_METHOD"], path, body, file=file)
    status, headers = ROUGH.get(path, ("200 OK", []))
    answer = f"{path} {environ['REQUEST_URI']}".encode("latin-1")
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(answer))), *headers])
    return [answer]
"""

ROUGH = ("/status", "/interim", "/name", "/value", "/lf", "/cr", "/nul")

INI = """
[server]
access_log = access.log
[listen:http]
address = 127.0.0.1:0
[listen:https]
address = 127.0.0.1:0
tls = yes

[site:main]
hosts = demo.test
certificate = {certificate}
[route:main /]
app = main

[site:careful]
hosts = careful.test
encoded_slashes = reject
certificate = {certificate}
[route:careful /]
app = main

[app:main]
wsgi = strict:app
path = .
chdir = .
workers = 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, transport: str, certificate: Path) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("strict")
    (directory / "strict.py").write_text(APP)
    # An app that breaks the gateway's rules has a traceback in the log.
    with Server(directory, INI.format(certificate=certificate), transport, may_fail=True) as server:
        yield server


def seen(server: Server) -> str:
    path = server.directory / "seen"
    return path.read_text() if path.exists() else ""


SMUGGLED = "GET /smuggled HTTP/1.1\nHost: demo.test\n\n"
CHUNKED = "POST /broken HTTP/1.1\nHost: demo.test\nTransfer-Encoding: chunked\n\n"


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("POST /broken HTTP/1.1\nHost: demo.test\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n", 400, None),
        ("POST /broken HTTP/1.1\nHost: demo.test\nContent-Length: +5\n\nhello", 400, "bad-length"),
        ("POST /broken HTTP/1.1\nHost: demo.test\nTransfer-Encoding: gzip, chunked\n\n0\n\n", 501, None),
        ("POST /broken HTTP/1.0\nTransfer-Encoding: chunked\n\n0\n\n", 400, "chunked-in-1.0"),
        (CHUNKED + "5 \nhello\n0\n\n", 400, "bad-chunk"),
        (CHUNKED + "5;\nhello\n0\n\n", 400, "bad-chunk"),
        (CHUNKED + "5\nhello\n0\nHost: other.test\n\n", 400, "bad-trailer"),
        ("GET /broken HTTP/1.1\nHost: demo.test\nHost: demo.test\n\n", 400, "duplicate-header"),
        ("GET /broken HTTP/1.1\nHost: de mo.test\n\n", 400, "bad-host"),
        ("GET http://demo.test/broken HTTP/1.1\nHost: other.test\n\n", 400, "host-mismatch"),
        ("GET /broken%00 HTTP/1.1\nHost: demo.test\n\n", 400, "bad-target"),
        ("CONNECT demo.test:443 HTTP/1.1\nHost: demo.test\n\n", 405, "method-not-allowed"),
        ("GET /broken\n\n", 400, "bad-request-line"),
        ("PRI * HTTP/2.0\n\nSM\n\n", 505, "http2-on-plain-port"),
    ],
)
def test_nothing_behind_it_is_answered_and_the_app_sees_none_of_it(
    server: Server, text: str, status: int, reason: str | None
) -> None:
    with Wire(server.url) as wire:
        wire.send(text + SMUGGLED)
        answer = wire.response()
        assert (answer.status, answer.fields["connection"]) == (status, "close")
        assert reason is None or f"<code>{reason}</code>".encode() in answer.body
        assert wire.rest() == b""
    assert "smuggled" not in seen(server)
    assert "broken" not in seen(server)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_chunked_body_that_breaks_off_never_reaches_the_app(server: Server, scheme: str) -> None:
    data = (CHUNKED + "5\nhello\n").replace("\n", "\r\n").encode()
    if scheme == "http":
        with Wire(server.url) as wire:
            wire.send(data)
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.rest() == b""
    else:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(address_of(server.secure_url), 20) as sock,
            context.wrap_socket(sock, server_hostname="demo.test") as secure,
        ):
            secure.sendall(data)
            secure.unwrap().close()
    with Wire(server.url) as wire:  # the one worker takes jobs in order
        wire.get("/after")
        assert wire.response().status == 200
    assert "broken" not in seen(server)


@pytest.mark.parametrize("path", ROUGH)
def test_headers_cannot_be_injected_by_the_app(server: Server, path: str) -> None:
    with Wire(server.url) as wire:
        wire.get(path, "Accept: application/json")
        status, fields = wire.head()
        body = wire.read(int(fields["content-length"]))
        assert (status, b'"bad-header"' in body) == (500, True)
        assert "set-cookie" not in fields
        server.log.wait_for(rf'"GET {path}" 500 bad-header: ')
        wire.get("/after")  # it is the app's fault, so the client may go on
        assert wire.response().status == 200


@pytest.mark.parametrize("path", ["/a%2Fb", "/a%2fb", "/a%5Cb"])
def test_each_site_has_its_way_with_encoded_slashes(server: Server, path: str) -> None:
    with Wire(server.url) as wire:
        wire.get(f"{path}?c=%2F")
        decoded = path.replace("%2F", "/").replace("%2f", "/").replace("%5C", "\\")
        assert wire.response().body == f"{decoded} {path}?c=%2F".encode()
        wire.send(f"GET {path} HTTP/1.1\nHost: careful.test\n\n")
        answer = wire.response()
        assert (answer.status, b"encoded-slash" in answer.body) == (400, True)
        wire.send("GET /a?b=%2F HTTP/1.1\nHost: careful.test\n\n")
        assert wire.response().body == b"/a /a?b=%2F"


def test_tls_on_a_plain_port_and_plain_text_on_a_tls_port(server: Server) -> None:
    answer = curl("--insecure", server.url.replace("http", "https"))
    assert answer.returncode == 35  # curl: the handshake failed, at once and not at a timeout
    server.log.wait_for(r'"- -" 400 tls-on-plain-port')
    answer = curl("--write-out", "\n%{http_code}", server.secure_url.replace("https", "http"))
    assert answer.stdout.endswith(b"\n400")
    assert b"https://" in answer.stdout


def test_the_logs_say_what_was_refused(server: Server) -> None:
    with Wire(server.url) as wire:
        wire.send(b'GET /shown"\x1b HTTP/1.1\r\nHost: demo.test\r\n\r\n')
        assert wire.response().status == 400
    line = r'"GET /shown\x22\x1B HTTP/1.1" 400 '
    eventually(lambda: line in (server.directory / "access.log").read_text())


def test_a_flood_is_counted_in_the_error_log(server: Server) -> None:
    def counted() -> bool:
        for _ in range(30):
            with Wire(server.url) as wire:
                wire.send("FLOOD\n\n")
                wire.response()
        return "bad-request-line: and " in server.log.text

    eventually(counted)
