"""Every file in etc/examples is right, and does what it says."""

from __future__ import annotations

import hashlib
import json
import pwd
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.e2e.clients import Wire, curl
from tests.e2e.server import ROOT, TRANSPORTS, Server, eventually, tinfront
from tests.e2e.users import UserServer, as_root, ids, interpreter, public_directory, tree

EXAMPLES = sorted(path.stem for path in (ROOT / "etc" / "examples").glob("*.ini"))


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy in which every port is a free one."""
    copy = tmp_path / "examples"
    shutil.copytree(
        ROOT / "etc" / "examples", copy, ignore=shutil.ignore_patterns(".tinfront", "*.log", "*.sock", "__pycache__")
    )
    for path in copy.glob("*.ini"):
        text = re.sub(r"(?m)^(address = 127\.0\.0\.1):\d+$", r"\1:0", path.read_text())
        path.write_text(re.sub(r"(?m)^(endpoint = tcp):\d+:", r"\1:0:", text))
    return copy


def get(client: requests.Session, url: str, **fields: str) -> requests.Response:
    return client.get(url, headers=fields, allow_redirects=False)


def static_site(server: Server, client: requests.Session) -> None:
    assert "It works" in get(client, f"{server.url}/").text
    assert "It works" in get(client, f"{server.url}/index").text


def single_page_app(server: Server, client: requests.Session) -> None:
    assert "It works" in get(client, f"{server.url}/no/such/file").text
    assert "Hello, you!" in get(client, f"{server.url}/api/hello/you").text


def flask(server: Server, client: requests.Session) -> None:
    assert get(client, f"{server.url}/").headers["Location"] == "/shop/"
    assert 'href="/shop/hello/you"' in get(client, f"{server.url}/shop/").text


def django(server: Server, client: requests.Session) -> None:
    assert f"at {server.url}/" in get(client, f"{server.url}/").text
    assert "immutable" in get(client, f"{server.url}/static/style.css").headers["Cache-Control"]


def virtual_hosts(server: Server, client: requests.Session) -> None:
    assert "It works" in get(client, server.url, Host="www.example.test").text
    assert "Flask" in get(client, server.url, Host="anybody.example.test").text
    assert get(client, server.url, Host="elsewhere.test").status_code == 404


def https(server: Server, client: requests.Session) -> None:
    answer = get(client, f"{server.url}/style.css?x")
    assert answer.headers["Location"] == "https://127.0.0.1:8443/style.css?x"
    assert b"It works" in curl("--insecure", server.secure_url).stdout


def threads(server: Server, client: requests.Session) -> None:
    assert "Flask" in get(client, server.url).text


def filters(server: Server, client: requests.Session) -> None:
    fields = get(client, server.url).headers
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert fields["Access-Control-Allow-Origin"] == "https://example.test"


def behind_a_unix_socket(server: Server, client: requests.Session) -> None:
    fields = ("--header", "X-Forwarded-For: 192.0.2.1")
    assert b"Flask" in curl(*fields, "--unix-socket", server.directory / "site.sock", "http://example.test/").stdout
    server.out.wait_for("(?m)^192.0.2.1 ")


def behind_a_balancer(server: Server, client: requests.Session) -> None:
    with Wire(server.url) as wire:
        wire.send("PROXY TCP4 192.0.2.1 192.0.2.9 50000 80\n")
        wire.get("/")
        assert b"Flask" in wire.response().body
    server.out.wait_for("(?m)^192.0.2.1 ")
    assert curl(server.url).returncode != 0


def twisted_endpoint(server: Server, client: requests.Session) -> None:
    assert "It works" in get(client, server.url).text


def routes(server: Server, client: requests.Session) -> None:
    assert "Flask" in get(client, server.url).text
    assert get(client, f"{server.url}/health").text == "ready\n"
    assert get(client, f"{server.url}/assets/style.css").ok
    assert get(client, f"{server.url}/wp-login.php").status_code == 404
    assert get(client, f"{server.url}/blog/a?b=c").headers["Location"] == "https://blog.example.test/a?b=c"


def logs(server: Server, client: requests.Session) -> None:
    answer = get(client, f"{server.url}/missing")
    assert "Tell us the number" in answer.text
    log = server.directory / "access.log"
    eventually(lambda: log.exists() and log.read_text(), "nothing was logged")
    line = json.loads(log.read_text())
    assert line["reason"] in answer.text
    assert line["request_id"] in answer.text


def limits(server: Server, client: requests.Session) -> None:
    assert "Flask" in get(client, server.url).text
    assert client.post(server.url, data=b"x" * 70_000).status_code == 413


def streaming(server: Server, client: requests.Session) -> None:
    with client.get(f"{server.url}/", stream=True) as answer:
        lines = answer.iter_lines()
        assert next(lines) == b"retry: 1000"
        assert b"the time is" in b"".join(next(lines) for _ in range(3))
    assert client.get(f"{server.url}/progress/").text == "one\ntwo\nthree\n"
    digest = client.post(f"{server.url}/upload/", data=iter([b"some ", b"thing"])).text
    assert digest == hashlib.sha256(b"some thing").hexdigest()


def workers(server: Server, client: requests.Session) -> None:
    assert "Flask" in get(client, server.url).text


def _of(name: str) -> Callable[[Server, requests.Session], None]:
    found: Callable[[Server, requests.Session], None] = globals()[name.replace("-", "_")]
    return found


@as_root
@pytest.mark.parametrize("twistd", [None, ("--reactor=epoll",)], ids=TRANSPORTS)
def test_the_example_with_users(examples: Path, twistd: tuple[str, ...] | None, client: requests.Session) -> None:
    interpreter()
    with public_directory() as directory:
        shutil.copytree(examples, directory, dirs_exist_ok=True)
        with UserServer(directory, (examples / "users.ini").read_text(), twistd=twistd) as server:
            for path, user in (("/", "nobody"), ("/private/", "daemon")):
                assert "Flask" in get(client, f"{server.url}{path}").text
                users = [ids(pid)[0] for pid in tree(server.process.pid)]
                assert {str(pwd.getpwnam(user).pw_uid)} in users


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "users"])
def test_an_example_does_what_it_says(examples: Path, name: str, transport: str, client: requests.Session) -> None:
    with Server(examples, (examples / f"{name}.ini").read_text(), transport) as server:
        _of(name)(server, client)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_right_as_it_stands(name: str) -> None:
    answer = tinfront("check", ROOT / "etc" / "examples" / f"{name}.ini")
    assert (answer.returncode, answer.stderr) == (0, "")
