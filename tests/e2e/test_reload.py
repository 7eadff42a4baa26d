"""New configuration and new code for a running server, and nobody notices."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.clients import Gate, Wire
from tests.e2e.conftest import Authority
from tests.e2e.server import TRANSPORTS, Server, eventually, tinfront
from tinfront.workers.pool import Pool
from tinfront.workers.processes import ProcessPool

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)

APP = """\
import os, socket
VERSION = {version}
def application(environ, start_response):
    body = b"%d %d %d" % (VERSION, os.getpid(), len(environ["wsgi.input"].read()))
    if "gate" in environ["QUERY_STRING"]:
        with socket.create_connection(("127.0.0.1", int(environ["QUERY_STRING"][5:]))) as door:
            door.sendall(b"%d\\n" % os.getpid())
            door.recv(1)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

INI = """
[server]
control = run/control

[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
app = main

[app:main]
wsgi = versioned:application
path = .
workers = 2
"""


def put(directory: Path, version: int) -> None:
    """New code. Each version has a size of its own, for clocks are coarse."""
    text = APP.format(version=version) + "#" * version
    fresh = directory / "versioned.py.new"
    fresh.write_text(text)
    fresh.rename(directory / "versioned.py")


def serving(directory: Path, transport: str, ini: str = INI, **more: Any) -> Server:
    put(directory, 1)
    return Server(directory, ini, transport, **more)


def ask(wire: Wire) -> list[int]:
    """Version, pid, and bytes of the body."""
    wire.get("/")
    answer = wire.response()
    assert answer.status == 200, answer
    return [int(part) for part in answer.body.split()]


def reload(server: Server, ini: str | None = None) -> str:
    """Have it reloaded; what was said."""
    if ini is not None:
        server.file.write_text(ini)
    done = tinfront("reload", server.file)
    assert done.returncode == 0, done
    return done.stdout


def generations(server: Server) -> list[dict[str, Any]]:
    apps: list[dict[str, Any]] = json.loads(tinfront("status", "--json", server.file).stdout)["apps"]
    return apps


# --- code


def test_new_code_on_an_old_connection(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport) as server, Wire(server.url) as wire:
        assert ask(wire)[0] == 1
        put(tmp_path, 2)
        assert "new code: main (2)" in reload(server)
        assert ask(wire)[0] == 2
        eventually(lambda: [app["generation"] for app in generations(server)] == [2], "the old one did not end")


def test_a_hup_is_the_same(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport) as server, Wire(server.url) as wire:
        pid = ask(wire)[1]
        server.signal(signal.SIGHUP)
        server.log.wait_for(r"new code: main \(2\)")
        assert ask(wire)[1] != pid


def test_several_at_once_are_one(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport) as server, Wire(server.url) as wire:
        ask(wire)
        for _ in range(20):
            server.signal(signal.SIGHUP)
        asking = [threading.Thread(target=reload, args=(server,)) for _ in range(5)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(30)
        put(tmp_path, 7)
        reload(server)
        assert ask(wire)[0] == 7
        assert generations(server)[0]["generation"] <= 9


def test_code_that_cannot_be_imported_changes_nothing(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport, may_fail=True) as server, Wire(server.url) as wire:
        assert ask(wire)[0] == 1
        (tmp_path / "versioned.py").write_text("import missing_on_purpose\n")
        server.file.write_text(INI.replace("[route:demo /]", "[route:demo /other/]"))
        done = tinfront("reload", server.file)
        assert done.returncode == 1
        assert 'versioned.py", line 1' in done.stderr
        assert "No module named 'missing_on_purpose'" in done.stderr
        assert done.stderr.endswith("nothing has changed\n")
        server.log.wait_for("the reload has changed nothing")
        assert ask(wire)[0] == 1
        assert generations(server)[0]["generation"] == 1
        put(tmp_path, 2)
        reload(server, INI)
        assert ask(wire)[0] == 2


def test_an_app_that_is_broken_already_holds_up_nobody(tmp_path: Path, transport: str) -> None:
    more = "\n[route:demo /bad]\napp = bad\n[app:bad]\nwsgi = missing_on_purpose:app\n"
    with serving(tmp_path, transport, INI + more, may_fail=True) as server, Wire(server.url) as wire:
        server.log.wait_for("No module named")
        put(tmp_path, 2)
        done = tinfront("reload", server.file)
        assert done.returncode == 1
        assert "[app:bad] cannot be started, as before" in done.stderr
        assert "nothing has changed" not in done.stderr
        assert ask(wire)[0] == 2


def test_what_runs_and_what_waits_is_finished_by_the_old_ones(tmp_path: Path, transport: str, gate: Gate) -> None:
    server = serving(tmp_path, transport, INI.replace("workers = 2", "workers = 1"))
    with server, Wire(server.url) as running, Wire(server.url) as waiting, Wire(server.url) as fresh:
        running.get(f"/?gate={gate.port}")
        held = gate.catch()
        waiting.get(f"/?gate={gate.port}")
        eventually(lambda: generations(server)[0]["waiting"] == 1)
        put(tmp_path, 2)
        reload(server)
        assert ask(fresh)[0] == 2
        assert [(app["generation"], app["draining"]) for app in generations(server)] == [(2, False), (1, True)]
        assert re.search(r"^main +1 +draining", tinfront("status", server.file).stdout, re.MULTILINE)
        held.release()
        assert running.response().body.startswith(b"1 ")
        gate.catch().release()
        assert waiting.response().body.startswith(b"1 ")


def test_what_takes_longer_than_the_grace_is_given_up(tmp_path: Path, transport: str, gate: Gate) -> None:
    text = INI.replace("[server]", "[server]\ngrace = 300ms")
    with serving(tmp_path, transport, text, may_fail=True) as server, Wire(server.url) as running:
        running.get(f"/?gate={gate.port}")
        gate.catch()
        reload(server)
        answer = running.response()
        assert (answer.status, b"stopping" in answer.body) == (503, True)
        eventually(lambda: [app["generation"] for app in generations(server)] == [2])


def test_a_body_that_was_on_its_way_finds_the_new_code(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport) as server, Wire(server.url) as wire, Wire(server.url) as other:
        ask(other)
        wire.send("POST / HTTP/1.1\nHost: a\nContent-Length: 6\n\nabc")
        ask(other)
        put(tmp_path, 2)
        reload(server)
        wire.send("def")
        assert wire.response().body.split()[::2] == [b"2", b"6"]


def test_a_body_on_its_way_to_an_app_that_is_removed(tmp_path: Path, transport: str) -> None:
    more = "\n[route:demo /old]\napp = old\n[app:old]\nwsgi = versioned:application\npath = .\n"
    with serving(tmp_path, transport, INI + more) as server, Wire(server.url) as wire, Wire(server.url) as other:
        ask(other)
        wire.send("POST /old HTTP/1.1\nHost: a\nContent-Length: 6\n\nabc")
        ask(other)
        assert "apps removed: old" in reload(server, INI)
        wire.send("def")
        assert wire.response().body.split()[::2] == [b"1", b"6"]
        server.log.wait_for(r"(?s)apps removed.*\[old\] worker \d+ is gone: exit status 0")


def test_nobody_loses_a_request(tmp_path: Path, transport: str) -> None:
    """On connections that stay and on ones that come, with bodies and without."""
    done, problems, seen = threading.Event(), list[object](), set[int]()

    def load(url: str, stays: bool) -> None:
        try:
            while not done.is_set():
                with Wire(url) as wire:
                    for _ in range(50 if stays else 1):
                        wire.send("POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc")
                        answer = wire.response()
                        assert (answer.status, answer.body[-1:]) == (200, b"3"), answer
                        seen.add(int(answer.body.split()[0]))
                        if answer.fields.get("connection") == "close":
                            break
        except Exception as error:
            problems.append(error)

    with serving(tmp_path, transport) as server:
        threads = [threading.Thread(target=load, args=(server.url, number % 2)) for number in range(4)]
        for thread in threads:
            thread.start()
        eventually(lambda: 1 in seen or problems)
        for version in range(2, 7):
            put(tmp_path, version)
            limits = f"[listen:http]\nkeepalive_requests = {1000 + version}"
            reload(server, INI.replace("[listen:http]", limits))
            eventually(lambda: version in seen or problems)  # noqa: B023 - called at once
        done.set()
        for thread in threads:
            thread.join(20)
    assert problems == []
    assert seen == set(range(1, 7))


def test_an_app_in_threads_needs_a_restart(tmp_path: Path, transport: str) -> None:
    text = INI.replace("workers = 2", "mode = threads")
    with serving(tmp_path, transport, text) as server, Wire(server.url) as wire:
        ask(wire)
        put(tmp_path, 2)
        said = reload(server, text.replace("[app:", "[route:demo = /more]\nrespond = 200 more\n[app:"))
        assert "[app:main] runs in the server's own process (mode = threads)" in said
        assert ask(wire)[0] == 1
        wire.get("/more")
        assert wire.response().body == b"more\n"


@pytest.mark.skipif(ProcessPool.resize is Pool.resize, reason="the number of workers is fixed")
def test_one_worker_more_and_one_less(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport) as server, Wire(server.url) as wire:
        ask(wire)
        eventually(lambda: generations(server)[0]["idle"] == 2)
        server.signal(signal.SIGTTIN)
        server.log.wait_for(r"\[app:main\] has 3 workers from now on")
        eventually(lambda: generations(server)[0]["idle"] == 3)
        for count in (2, 1, 1):
            server.signal(signal.SIGTTOU)
            server.log.wait_for(rf"\[app:main\] has {count} workers from now on")
        eventually(lambda: generations(server)[0]["idle"] == 1)


# --- configuration


def test_an_app_that_is_untouched_goes_on(tmp_path: Path, transport: str) -> None:
    text = INI.replace("workers = 2", "workers = 1")
    with serving(tmp_path, transport, text) as server, Wire(server.url) as wire:
        before = ask(wire)
        said = reload(server, f"# a line more\n{text}\n[route:demo = /more]\nrespond = 200 more\n")
        assert "new code" not in said
        assert ask(wire) == before
        wire.get("/more")
        assert wire.response().body == b"more\n"
        put(tmp_path, 2)
        assert "new code: main (2)" in reload(server, text)
        assert ask(wire)[0] == 2


@pytest.mark.parametrize("by_hup", [True, False])
def test_a_bad_file_changes_nothing(tmp_path: Path, transport: str, by_hup: bool) -> None:
    with serving(tmp_path, transport) as server, Wire(server.url) as wire:
        ask(wire)
        bad = INI.replace("app = main", "ap = main").replace("workers = 2", "workers = many")
        server.file.write_text(bad)
        if by_hup:
            server.signal(signal.SIGHUP)
            said = server.log.wait_for("(?s)(.*)the reload has changed nothing")[0]
        else:
            done = tinfront("reload", server.file)
            assert done.returncode == 1
            said = done.stderr
            assert said.endswith("nothing has changed\n")
        assert re.search(r"site.ini:12: .*ap: unknown option", said)
        assert re.search(r"site.ini:17: .*workers: ", said)
        assert ask(wire)[0] == 1
        assert tinfront("status", server.file).returncode == 0


def test_listeners_come_and_go(tmp_path: Path, transport: str, client: requests.Session) -> None:
    path = tmp_path / "second"
    more = f"\n[listen:more]\naddress = unix:{path}\n"
    with serving(tmp_path, transport) as server, Wire(server.url) as stays:
        ask(stays)
        assert "opened: more" in reload(server, INI + more)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
            assert "closed: more" in reload(server, INI)
            assert not path.exists()
            while sock.recv(1000):
                pass  # idle connections are let go
        ask(stays)


def test_an_address_that_cannot_be_listened_on_changes_nothing(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport) as server, Wire(server.url) as wire:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server.file.write_text(INI + f"\n[listen:more]\naddress = 127.0.0.1:0\n    127.0.0.1:{port}\n")
            done = tinfront("reload", server.file)
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}: address already in use" in done.stderr
        ask(wire)
        assert "opened: more" in reload(server)


def test_a_listener_with_other_options_keeps_its_socket(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport) as server, Wire(server.url) as old:
        ask(old)
        changed = INI.replace("[listen:http]", "[listen:renamed]\nkeepalive_requests = 1")
        assert "opened: renamed; closed: http" in reload(server, changed)
        old.get("/")
        answer = old.response()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        with Wire(server.url) as fresh:
            fresh.get("/")
            assert fresh.response().fields["connection"] == "close"
        assert tinfront("status", server.file).stdout.count("http://") == 1


def test_an_endpoint_with_other_options_keeps_its_port(tmp_path: Path, transport: str) -> None:
    text = INI.replace("address = 127.0.0.1:0", "endpoint = tcp:0:interface=127.0.0.1")
    with serving(tmp_path, transport, text) as server, Wire(server.url) as old:
        ask(old)
        reload(server, text.replace("[listen:http]", "[listen:http]\nkeepalive_requests = 1"))
        old.get("/")
        assert old.response().fields["connection"] == "close"
        with Wire(server.url) as fresh:
            fresh.get("/")
            assert fresh.response().fields["connection"] == "close"


def test_sites_and_routes(tmp_path: Path, transport: str) -> None:
    two = "\n[site:two]\nhosts = two.test\n[route:two /]\nrespond = 200 two\n"
    with serving(tmp_path, transport, INI + two) as server, Wire(server.url) as wire:

        def two_says() -> tuple[int, bytes]:
            wire.send("GET / HTTP/1.1\nHost: two.test\n\n")
            answer = wire.response()
            return answer.status, answer.body

        assert two_says() == (200, b"two\n")
        reload(server, INI + two.replace("200 two", "418 changed"))
        assert two_says() == (418, b"changed\n")
        reload(server, INI.replace("default = yes", "hosts = demo.test"))
        assert two_says()[0] == 404


def test_the_access_log_moves(tmp_path: Path, transport: str) -> None:
    def logged(name: str, form: str) -> str:
        return INI.replace("[server]", f"[server]\naccess_log = {name}\naccess_log_format = {form}")

    with serving(tmp_path, transport, logged("one", "%(U)s")) as server, Wire(server.url) as wire:
        for path, text in [
            ("/1", logged("two", "two %(U)s")),
            ("/2", logged("off", "json")),
            ("/3", logged("one", "%(U)s")),
        ]:
            wire.get(path)
            wire.response()
            reload(server, text)
        wire.get("/4")
        wire.response()
        server.file.write_text(logged("missing/directory", "json"))
        assert "No such file" in tinfront("reload", server.file).stderr
    assert (tmp_path / "one").read_text() == "/1\n/4\n"
    assert (tmp_path / "two").read_text() == "two /2\n"


def test_what_needs_a_restart_is_said(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport) as server:
        server.file.write_text(INI.replace("run/control", "other"))
        server.signal(signal.SIGHUP)
        server.log.wait_for(r"\[server\] control: a change needs a restart")
        server.log.wait_for("reloaded; ")


# --- certificates


@contextmanager
def tls_to(server: Server, context: ssl.SSLContext, port: int = 0) -> Iterator[ssl.SSLSocket]:
    port = port or int(server.secure_url.rpartition(":")[2])
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    with sock, context.wrap_socket(sock, server_hostname="demo.test") as tls:
        yield tls


def shown(server: Server, context: ssl.SSLContext) -> bytes:
    with tls_to(server, context) as tls:
        certificate = tls.getpeercert(True)
        assert certificate
        return certificate


def answers(tls: ssl.SSLSocket) -> bool:
    tls.sendall(b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n")
    return tls.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("where", ["the same file", "another file"])
def test_a_new_certificate(tmp_path: Path, transport: str, authority: Authority, where: str) -> None:
    first = authority.issue("demo.test", name=f"first-{transport}-{where[:3]}")
    second = authority.issue("demo.test", name=f"second-{transport}-{where[:3]}")
    (tmp_path / "demo.pem").write_bytes(first.read_bytes())
    context = ssl.create_default_context(cafile=str(authority.file))
    text = INI.replace(
        "[site:demo]", "[listen:https]\naddress = 127.0.0.1:0\ntls = yes\n[site:demo]\ncertificate = demo.pem"
    )
    with serving(tmp_path, transport, text) as server:
        before = shown(server, context)
        with tls_to(server, context) as old:
            if where == "the same file":
                (tmp_path / "demo.pem").write_bytes(second.read_bytes())
                reload(server)
            else:
                reload(server, text.replace("demo.pem", str(second)))
            assert shown(server, context) != before
            assert answers(old)
        server.file.write_text(text.replace("demo.pem", "missing.pem"))
        done = tinfront("reload", server.file)
        assert done.returncode == 1
        assert "missing.pem" in done.stderr
        assert shown(server, context) != before


def test_tls_comes_and_goes(tmp_path: Path, transport: str, certificate: Path, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.file))
    with serving(tmp_path, transport) as server, Wire(server.url) as wire:
        port = server.address[1]
        secure = INI.replace("127.0.0.1:0", "127.0.0.1:0\ntls = yes")
        reload(server, secure.replace("default = yes", f"default = yes\ncertificate = {certificate}"))
        with tls_to(server, context, port) as tls:
            assert answers(tls)
        assert ask(wire)[0] == 1
        reload(server, INI)
        with Wire(server.url) as fresh:
            assert ask(fresh)[0] == 1


# --- the service manager


def test_systemd_is_told(tmp_path: Path, transport: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)

        def hear(wanted: Callable[[str], object]) -> str:
            while not wanted(said := systemd.recv(4096).decode()):
                pass
            return said

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with serving(tmp_path, transport, env=environ) as server, Wire(server.url) as wire:
            assert server.url in hear(lambda said: said.startswith("READY=1"))
            ask(wire)
            hear("WATCHDOG=1".__eq__)
            reload(server)
            assert "MONOTONIC_USEC=" in hear(lambda said: said.startswith("RELOADING=1"))
            hear(lambda said: said.startswith("READY=1"))
            server.signal(signal.SIGTERM)
            hear(lambda said: said.startswith("STOPPING=1"))
