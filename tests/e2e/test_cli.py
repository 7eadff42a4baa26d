"""The ``tinfront`` command: what it says, how it ends, and how it serves an app without a file."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path
from typing import IO

import pytest
import requests

from tests.e2e.server import APPS, PATIENCE, Server, eventually, tinfront

GOOD = f"""
[listen:http]
address = 127.0.0.1:0

[site:demo]
hosts = demo.test
default = yes

[route:demo /]
app = corners

[route:demo = /health]
ready = yes

[app:corners]
wsgi = corners:application
path = {APPS}
workers = 3
"""

BAD = """
[listen:http]
adress = 127.0.0.1:0

[site:demo]
hosts = demo.test

[route:dema /]
app = corners
body_limit = 10megs

[route:demo /x]
app = cornerz

[app:corners]
wsgi = corners
mode = prefrok
"""


def test_help_shows_examples() -> None:
    answer = tinfront("--help")
    assert answer.returncode == 0
    assert "tinfront run etc/site.ini" in answer.stdout
    assert "tinfront check etc/site.ini" in answer.stdout
    for command in ("run", "check"):
        assert tinfront(command, "--help").stdout.startswith(f"Usage: tinfront {command} ")


def test_the_version() -> None:
    answer = tinfront("--version")
    assert (answer.returncode, answer.stdout) == (0, "tinfront 0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve"], "serve"),
        (["run"], ""),
        (["run", "--wrong", "x.ini"], "--wrong"),
        (["run", "-w", "many", "a:b"], 'tinfront: --workers is "many", not a number\n'),
        (["run", "--threads", "-1", "a:b"], 'tinfront: --threads is "-1", not a number\n'),
        (["run", "mysite.wsgi"], 'there is no file "mysite.wsgi"; did you mean the app "mysite.wsgi:application"?\n'),
        (["run", "mysite", "-b", ":80"], 'there is no file "mysite"; did you mean the app "mysite:application"?\n'),
        (["run", "my.site", "-w", "2"], 'there is no file "my.site"; did you mean the app "my.site:application"?\n'),
        (["run", "site.ini", "-b", ":80"], "-b, -w and --threads go with MODULE:APP; a file says it itself\n"),
        (["run", "site.ini", "-w", "0"], "-b, -w and --threads go with MODULE:APP; a file says it itself\n"),
        (["run", "site.ini", "--threads", "4"], "-b, -w and --threads go with MODULE:APP; a file says it itself\n"),
    ],
)
def test_wrong_usage(arguments: list[str], told: str) -> None:
    answer = tinfront(*arguments)
    assert answer.returncode == 2
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr


def test_check_shows_what_a_file_means(tmp_path: Path) -> None:
    file = tmp_path / "site.ini"
    file.write_text(GOOD)
    answer = tinfront("check", file)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "site demo: demo.test and all other hosts" in answer.stdout
    assert "app corners: corners:application, 3 workers of 1 thread" in answer.stdout
    assert answer.stdout.index("= /health") < answer.stdout.index("/ -> app corners")  # in the order they are tried
    assert answer.stdout.endswith(f"{file}: ok\n")


@pytest.mark.parametrize("command", ["check", "run"])
def test_all_errors_of_a_file_are_shown(tmp_path: Path, command: str) -> None:
    file = tmp_path / "site.ini"
    file.write_text(BAD)
    answer = tinfront(command, file)
    assert answer.returncode == 78
    for line, told in (
        (3, 'adress: unknown option, did you mean "address"?'),
        (8, 'there is no [site:dema], did you mean "demo"?'),
        (10, '"megs" is not a unit of size'),
        (13, 'there is no [app:cornerz], did you mean "corners"?'),
        (16, 'did you mean "corners:application"?'),
        (17, 'did you mean "prefork"?'),
    ):
        assert any(f"site.ini:{line}: " in found and told in found for found in answer.stderr.splitlines()), told
    assert answer.stderr.endswith("errors, nothing started\n")


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_file_that_is_not_there(tmp_path: Path, command: str) -> None:
    answer = tinfront(command, "missing.ini", cwd=tmp_path)
    assert answer.returncode == 78
    assert "missing.ini" in answer.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "site.ini").write_text(GOOD.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        answer = tinfront("run", tmp_path / "site.ini")
    assert answer.returncode == 71
    assert f"127.0.0.1:{port}" in answer.stderr
    assert "in use" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_app_without_a_file(tmp_path: Path, client: requests.Session) -> None:
    command = ["run", "corners:application", "-b", "127.0.0.1:0", "-w", "1", "--threads", "3"]
    with _serve(tmp_path, *command) as server:
        assert server.err.wait_for(r"(?m)^tinfront serves (\S+)$")[1] == server.url
        environ = client.get(f"{server.url}/environ").json()
        assert environ["wsgi.multithread"] is True
        assert {client.get(f"{server.url}/pid").text for _ in range(10)} == {str(environ["pid"])}


def test_a_factory_and_several_addresses(tmp_path: Path, client: requests.Session) -> None:
    with _serve(tmp_path, "run", "factory:make_app()", "-b", "127.0.0.1:0", "-b", f"unix:{tmp_path}/s") as server:
        assert client.get(server.url).text == "made"
        assert len(server.urls) == 2


@pytest.mark.parametrize(
    ("target", "told"), [("broken:application", "on purpose"), ("corners:applicaton", "applicaton")]
)
def test_an_app_without_a_file_that_cannot_be_loaded(tmp_path: Path, target: str, told: str) -> None:
    _link_apps(tmp_path)
    answer = tinfront("run", target, "-b", "127.0.0.1:0", cwd=tmp_path)
    assert answer.returncode == 4
    assert told in answer.stderr


GATED = """\
import os

number = 1
while os.path.exists(f"import{number}"):
    number += 1
os.mkdir(f"import{number}")
with open(f"gate{number}") as gate:
    exec(gate.read())


def application(environ, start_response):
    start_response("200 OK", [])
    return [str(number).encode()]
"""
"""Each import waits for its gate, and then runs what is sent through it."""


@pytest.fixture
def gated(tmp_path: Path) -> Server:
    (tmp_path / "gated.py").write_text(GATED)
    os.mkfifo(tmp_path / "gate1")
    os.mkfifo(tmp_path / "gate2")
    return Server(tmp_path, command=["run", "gated:application", "-b", "127.0.0.1:0", "-w", "1"], may_fail=True)


def _gate(server: Server, number: int) -> IO[str]:
    """Comes back once that import waits."""
    return open(server.directory / f"gate{number}", "w")


def test_a_reload_while_the_app_is_imported(gated: Server, client: requests.Session) -> None:
    with gated as server, _gate(server, 1):
        server.signal(signal.SIGHUP)
        _gate(server, 2).close()
        server.log.wait_for("reloaded; new code: app")
        assert client.get(server.url).text == "2"


def test_a_reload_that_mends_an_app_before_it_has_failed(gated: Server, client: requests.Session) -> None:
    with gated as server, _gate(server, 1) as first:
        server.signal(signal.SIGHUP)
        with _gate(server, 2):
            first.write("raise ValueError('on purpose')")
            first.close()
            server.log.wait_for("on purpose")
        server.log.wait_for("reloaded; new code: app")
        assert client.get(server.url).text == "2"


@pytest.mark.parametrize("fails_last", [1, 2])
def test_an_app_that_cannot_be_loaded_after_a_reload_either(gated: Server, fails_last: int) -> None:
    server = gated.__enter__()
    try:
        gates = [_gate(server, 1)]
        server.signal(signal.SIGHUP)
        gates.append(_gate(server, 2))
        for gate in gates if fails_last == 2 else reversed(gates):
            gate.write(f"raise ValueError('of gate {gates.index(gate) + 1}')")
            gate.close()
            server.log.wait_for(f"of gate {gates.index(gate) + 1}")
        assert server.process.wait(PATIENCE) == 4
    finally:
        server.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_while_the_app_is_imported(gated: Server, number: signal.Signals) -> None:
    with gated as server, _gate(server, 1):
        server.signal(number)
        server.wait()


def test_the_environment_of_a_platform(tmp_path: Path, client: requests.Session) -> None:
    with _serve(tmp_path, "run", "corners:application", PORT="0", WEB_CONCURRENCY="1") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert len({client.get(f"{url}/pid").text for _ in range(10)}) == 1


def test_the_environment_is_wrong() -> None:
    answer = tinfront("run", "corners:application", WEB_CONCURRENCY="many")
    assert answer.returncode == 2
    assert "WEB_CONCURRENCY" in answer.stderr


def _serve(directory: Path, *command: str, **env: str) -> Server:
    """A server that finds the apps from its working directory."""
    _link_apps(directory)
    return Server(directory, command=list(command), env=env)


def _link_apps(directory: Path) -> None:
    for file in APPS.glob("*.py"):
        (directory / file.name).symlink_to(file)


@pytest.mark.parametrize("told_by", ["looking", "watchfiles"])
def test_for_development(tmp_path: Path, client: requests.Session, told_by: str) -> None:
    env = {}
    if told_by == "looking":  # as if it were not installed
        (tmp_path / "watchfiles.py").write_text("raise ImportError")
        env["PYTHONPATH"] = str(tmp_path)
    else:
        pytest.importorskip("watchfiles")
    app = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [helper.TEXT]\n"
    (tmp_path / "main.py").write_text(f"import helper\n\n{app}")
    helper = tmp_path / "helper.py"
    helper.write_text("TEXT = b'one'\n")
    command = ["run", "--dev", "main:application", "-b", "127.0.0.1:0"]
    with Server(tmp_path, command=command, env=env, may_fail=True) as server:
        assert client.get(server.url).text == "one"
        helper.write_text("TEXT = b'another'\n")
        server.log.wait_for(r"helper.py changed: reloading")
        eventually(lambda: client.get(server.url).text == "another")
        helper.write_text("import nothing_like_it\n")
        server.log.wait_for("No module named 'nothing_like_it'")
        server.log.wait_for("the reload has changed nothing")
        assert client.get(server.url).text == "another"
        (tmp_path / "nothing_like_it.py").write_text("")
        helper.write_text("import nothing_like_it\nTEXT = b'the third'\n")
        eventually(lambda: client.get(server.url).text == "the third")


def test_the_control_socket(tmp_path: Path) -> None:
    with Server(tmp_path, "[server]\ncontrol = run/control\n" + GOOD) as server:
        file = str(server.file)
        shown = tinfront("status", file)
        assert shown.returncode == 0
        assert re.search(r"^corners +1 +ready +\d of 3 +\d +\d +\d +0\.0 s +0 +0 +0$", shown.stdout, re.MULTILINE)
        assert re.search(r"^\d+ +corners +idle +00:00:\d\d +0 +\d+\.\d MB$", shown.stdout, re.MULTILINE)
        status = json.loads(tinfront("status", "--json", file).stdout)
        assert status["listeners"][0]["urls"] == [server.url]
        asked = tinfront("stacks", file)
        assert asked.returncode == 0
        assert len(re.findall(r"^=== corners, worker \d+, ready$", asked.stdout, re.MULTILINE)) == 3
        assert "child.py" in asked.stdout
        assert len(json.loads(tinfront("stacks", "--json", file).stdout)["workers"]) == 3
        assert tinfront("reload", file).returncode == 0
        assert tinfront("stop", file).returncode == 0
        server.ends_by_itself()
    late = tinfront("status", file)
    assert late.returncode == 1
    assert "no server answers" in late.stderr


def test_without_a_control_socket(tmp_path: Path) -> None:
    file = tmp_path / "site.ini"
    file.write_text(GOOD)
    answer = tinfront("status", str(file))
    assert answer.returncode == 78
    assert "control = " in answer.stderr


def test_a_signal_has_the_log_say_what_workers_do(tmp_path: Path) -> None:
    with Server(tmp_path, GOOD) as server:

        def said() -> bool:
            server.signal(signal.SIGUSR2)
            return re.search(r"=== corners, worker \d+, (ready|starting)", server.log.text) is not None

        eventually(said, "nothing is said of any worker")


def test_check_tells_what_a_start_would_trip_over(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("-----BEGIN PRIVATE KEY-----\nnothing of the kind\n")
    file = tmp_path / "site.ini"
    file.write_text(
        GOOD.replace("[site:demo]", "tls = yes\n[listen:odd]\nendpoint = tcp:many\n[site:demo]\ncertificate = bad.pem")
    )
    answer = tinfront("check", file)
    assert (answer.returncode, answer.stdout) == (78, "")
    assert f"{file}:6: [listen:odd] endpoint: tcp:many: " in answer.stderr
    assert f"{file}:8: [site:demo] certificate: " in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stderr.endswith("errors, nothing started\n")


def test_an_app_that_shares_the_process_of_several_sites(tmp_path: Path) -> None:
    text = GOOD.replace("workers = 3", "mode = threads") + "\n[site:other]\nhosts = other.test\n"
    told = r"site.ini:15: \[app:corners\] mode: an app with mode = threads runs in the process that serves all 2 sites"
    with Server(tmp_path, text) as server:
        server.log.wait_for(told)
        answer = tinfront("check", server.file)
    assert answer.returncode == 0
    assert re.match(rf"{tmp_path}/{told}", answer.stderr)
    assert answer.stdout.endswith(": ok\n")
