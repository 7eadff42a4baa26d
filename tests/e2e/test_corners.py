"""The corners of PEP 3333, through the whole server, in both modes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.apps.corners import BLOCK
from tests.e2e.clients import Gate, Wire, curl
from tests.e2e.server import APPS, LISTEN, PATIENCE, Server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, transport: str, mode: str, certificate: Path) -> Iterator[Server]:
    ini = f"""
{LISTEN}
[site:demo]
default = yes
certificate = {certificate}

[route:demo /]
app = corners
body_limit = 64m

[route:demo /linted/]
app = linted

[app:corners]
wsgi = corners:application
path = {APPS}
mode = {mode}
threads = 2

[app:linted]
wsgi = linted:application
path = {APPS}
mode = {mode}
"""
    with Server(tmp_path_factory.mktemp("corners"), ini, transport, may_fail=True) as server:
        yield server


@pytest.fixture
def url(server: Server, scheme: str) -> str:
    return server.url if scheme == "http" else server.secure_url


def test_a_plain_answer(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/hello")
    assert (answer.status_code, answer.text, answer.headers["Content-Length"]) == (200, "hello", "5")
    assert answer.headers["Server"] == "tinfront"
    assert "Date" in answer.headers


def test_the_environ(client: requests.Session, server: Server, url: str, scheme: str, mode: str) -> None:
    answer = client.get(f"{url}/environ?a=%20b&c", headers={"X-Some-Thing": "1", "Host": "demo.test"}).json()
    port = url.rpartition(":")[2]
    assert answer["REQUEST_METHOD"] == "GET"
    assert (answer["SCRIPT_NAME"], answer["PATH_INFO"], answer["QUERY_STRING"]) == ("", "/environ", "a=%20b&c")
    assert (answer["SERVER_NAME"], answer["SERVER_PORT"]) == ("demo.test", port)
    assert (answer["HTTP_HOST"], answer["HTTP_X_SOME_THING"]) == ("demo.test", "1")
    assert answer["REMOTE_ADDR"] == "127.0.0.1"
    assert answer["wsgi.url_scheme"] == scheme
    assert answer["wsgi.multithread"] is True
    assert answer["wsgi.multiprocess"] is (mode == "prefork")
    assert "CONTENT_LENGTH" not in answer
    assert (answer["pid"] == server.process.pid) is (mode == "threads")


@pytest.mark.parametrize("path", ["/nothing", "/nothing-yielded"])
def test_an_answer_of_nothing(client: requests.Session, url: str, path: str) -> None:
    answer = client.get(url + path)
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")


def test_empty_pieces_do_not_end_the_answer(client: requests.Session, url: str) -> None:
    assert client.get(f"{url}/empty-pieces").text == "ab"


def test_head_has_the_length_and_no_body(server: Server) -> None:
    with Wire(server.url) as wire:
        wire.send("HEAD /hello HTTP/1.1\nHost: demo.test\n\n")
        assert wire.head()[1]["content-length"] == "5"
        wire.get("/pid")  # had there been a body, it would come now
        assert wire.response().body.isdigit()


@pytest.mark.parametrize(("path", "status"), [("/no-content", 204), ("/not-modified", 304)])
def test_statuses_without_a_body(server: Server, path: str, status: int) -> None:
    with Wire(server.url) as wire:
        wire.get(path)
        found, fields = wire.head()
        assert found == status
        assert "transfer-encoding" not in fields
        assert fields.get("content-length") is None
        wire.get("/pid")
        assert wire.response().body.isdigit()


def test_write_comes_before_what_is_returned(client: requests.Session, url: str) -> None:
    assert client.get(f"{url}/written").text == "written, then returned"


def test_exc_info_replaces_the_head(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/second-thoughts")
    assert (answer.status_code, answer.reason, answer.text) == (418, "I'm a teapot", "short and stout")


def test_cookies_that_come_in_several_fields_are_one(server: Server) -> None:
    with Wire(server.url) as wire:
        wire.get("/environ", "Cookie: a=1", "Cookie: b=2; c=3")
        assert json.loads(wire.response().body)["HTTP_COOKIE"] == "a=1; b=2; c=3"


def test_cookies_that_are_set_stay_several_fields(url: str, authority: object) -> None:
    head = curl("--insecure", "--dump-header", "-", f"{url}/two-cookies").stdout
    assert b"Set-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\n" in head


def test_file_wrapper_begins_where_the_file_stands(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/file")
    assert answer.content == (BLOCK * 3)[1000:]
    assert answer.headers["Content-Length"] == str(3 * len(BLOCK) - 1000)


@pytest.mark.parametrize("size", [0, 1, 100_000, 20 * MIB])
def test_bodies_arrive_whole(client: requests.Session, url: str, size: int) -> None:
    body = (BLOCK * (size // len(BLOCK) + 1))[:size]
    answer = client.post(f"{url}/echo", data=body).json()
    assert answer == {"sha256": hashlib.sha256(body).hexdigest(), "length": size, "told": str(size)}


@pytest.mark.parametrize("count", [1, 40, 400])
def test_chunked_bodies_arrive_whole_and_with_a_length(client: requests.Session, url: str, count: int) -> None:
    pieces = [bytes([number % 251]) * (number * 37 + 1) for number in range(count)]
    body = b"".join(pieces)
    answer = client.post(f"{url}/echo", data=iter(pieces)).json()
    assert answer == {"sha256": hashlib.sha256(body).hexdigest(), "length": len(body), "told": str(len(body))}


@pytest.mark.parametrize("count", [3, 50_000])
def test_bodies_can_be_read_by_line_and_again(client: requests.Session, url: str, count: int) -> None:
    assert client.post(f"{url}/lines", data=b"one line\n" * count).text == f"{count} {count}"


@pytest.mark.parametrize("told", ["", "&told=yes"])
def test_a_large_download(client: requests.Session, url: str, told: str) -> None:
    blocks = 50 * MIB // len(BLOCK)
    expected, found, length = hashlib.sha256(BLOCK * blocks), hashlib.sha256(), 0
    with client.get(f"{url}/download?blocks={blocks}{told}", stream=True) as answer:
        assert ("Content-Length" in answer.headers) is bool(told)
        for piece in answer.iter_content(256 * 1024):
            found.update(piece)
            length += len(piece)
    assert (length, found.hexdigest()) == (50 * MIB, expected.hexdigest())


def test_http_1_0_gets_a_stream_that_ends_with_the_connection(server: Server) -> None:
    with Wire(server.url) as wire:
        wire.send("GET /download?blocks=3 HTTP/1.0\nHost: demo.test\n\n")
        status, fields = wire.head()
        assert (status, "transfer-encoding" in fields) == (200, False)
        assert wire.rest() == BLOCK * 3


def test_events_arrive_as_they_are_yielded(client: requests.Session, url: str, gate: Gate) -> None:
    with client.get(f"{url}/events?gate={gate.port}", stream=True) as answer:
        pieces = answer.iter_content(None)
        assert next(pieces) == b"data: first\n\n"  # while the app holds the second back
        gate.catch().release()
        assert b"".join(pieces) == b"data: second\n\n"


# --- mistakes


@pytest.mark.parametrize("path", ["/raises", "/exits"])
def test_an_app_that_raises(client: requests.Session, server: Server, url: str, path: str) -> None:
    answer = client.get(url + path, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (500, "app-error")
    # The traceback is in the log, under the id that the page shows.
    error = "RuntimeError: before the head" if path == "/raises" else "SystemExit: 3"
    server.log.wait_for(rf"req={answer.headers['X-Request-ID']} GET {path} failed:\n\tTraceback(.*\n)+?\t{error}")
    assert client.get(f"{url}/hello").text == "hello"


def test_an_answer_that_fails_halfway_is_cut(server: Server, url: str) -> None:
    answer = curl("--insecure", f"{url}/raises-late")
    assert answer.returncode in {18, 56}, answer.stderr  # curl: the transfer closed with data outstanding
    assert (BLOCK * 2).startswith(answer.stdout)
    server.log.wait_for("RuntimeError: after the head")


@pytest.mark.parametrize(("path", "told"), [("/too-short", "gave 5 bytes"), ("/too-long", "more than")])
def test_a_wrong_length_is_not_passed_on(
    client: requests.Session, server: Server, url: str, path: str, told: str
) -> None:
    answer = client.get(url + path, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (500, "bad-length")
    server.log.wait_for(
        rf"req={answer.headers['X-Request-ID']} GET {path}: the app gave .*{told.removeprefix('gave ')}"
    )


def test_a_length_that_proves_wrong_late_cuts_the_answer(server: Server, url: str) -> None:
    assert curl("--insecure", f"{url}/too-short-late").returncode in {18, 56}


def test_a_header_cannot_be_split(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/splits-header", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (500, "bad-header")
    assert "Set-Cookie" not in answer.headers


# --- what the app says


def test_what_the_app_says_is_in_the_log(
    client: requests.Session, server: Server, url: str, scheme: str, mode: str
) -> None:
    word = f"hello-{scheme}"
    request_id = client.get(f"{url}/says?word={word}").text
    found = server.log.wait_for(rf"\[corners\] pid=(\d+) req={request_id} {word} to wsgi.errors\n")
    if mode == "threads":  # the other ways out are the server's own
        assert int(found[1]) == server.process.pid
        server.err.wait_for(rf"{word} to descriptor 2\n")
    else:
        for where in ("stdout", "stderr"):
            server.log.wait_for(rf"\[corners\] pid={found[1]} req={request_id} {word} to {where}\n")
        # Of raw bytes only the process is known.
        server.log.wait_for(rf"\[corners\] pid={found[1]} req=- {word} to descriptor 2\n")


# --- the validator


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("HEAD", b""), ("POST", b""), ("POST", b"x" * 100_000)])
def test_the_validator_finds_nothing(
    client: requests.Session, server: Server, url: str, method: str, body: bytes
) -> None:
    answer = client.request(method, f"{url}/linted/a/b%20c?q=1", data=body or None)
    assert answer.status_code == 200, server.report()
    assert answer.text == ("" if method == "HEAD" else f"{method} /a/b c {len(body)}")


@pytest.mark.parametrize(("how", "status"), [("exit", 5), ("raise", 1), ("return", 0), ("yield", 0)])
def test_what_the_app_forks_is_no_second_worker(client: requests.Session, url: str, how: str, status: int) -> None:
    for _ in range(3):
        assert client.get(f"{url}/fork?how={how}", timeout=PATIENCE).text == str(status)
    assert client.get(f"{url}/environ").status_code == 200
