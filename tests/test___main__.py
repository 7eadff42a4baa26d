"""How the command begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.e2e.server import ROOT, Server

SITE = "[listen:http]\naddress = 127.0.0.1:0\n[site:demo]\n[route:demo /]\nrespond = 200\n"

LARGE = """\
import os, signal, sys

for name in os.environ["SENT"].split():
    os.kill(os.getpid(), signal.Signals[name])
sys.path.remove(os.path.dirname(__file__))
del sys.modules[__name__]
import getopt
"""
"""In the place of a module that the command imports: sends signals meanwhile."""


def environment(directory: Path, *names: str) -> dict[str, str]:
    """What makes the signals of these names come while the command is imported."""
    path = directory / "large"
    path.mkdir()
    (path / "getopt.py").write_text(LARGE)
    paths = [str(path), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "SENT": " ".join(names)}


def test_signals_while_the_command_is_imported_are_made_up_for(tmp_path: Path) -> None:
    server = Server(tmp_path, "[server]\naccess_log = access.log\n" + SITE)
    server._env |= environment(tmp_path, "SIGHUP", "SIGUSR1", "SIGUSR2")
    server._command = [sys.executable, "-m", "tinfront", "run", str(server.file)]
    with server:
        server.log.wait_for("reloaded")


@pytest.mark.parametrize(("word", "code"), [("check", -signal.SIGHUP), ("run", 78)])
def test_only_a_server_lives_on(tmp_path: Path, word: str, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tinfront", word, "missing.ini"],
        cwd=tmp_path,
        env=os.environ | environment(tmp_path, "SIGHUP"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code


def test_signals_are_minded_before_anything_large_is_imported() -> None:
    code = "import sys; before = set(sys.modules); import tinfront.__main__; print(*set(sys.modules) - before)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    others = {name for name in said.split() if not name.startswith("tinfront")}
    assert {name.partition(".")[0] for name in others} <= sys.stdlib_module_names
    assert others.isdisjoint({"asyncio", "socket", "json", "inspect", "logging"})


def test_the_command_begins_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"tinfront": "tinfront.__main__:main"}
