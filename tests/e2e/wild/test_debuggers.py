"""Debuggers and profilers inside an application: they may fail, but nothing hangs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

BREAKS = """
import pdb

def application(environ, start_response):
    if environ["PATH_INFO"] == "/pdb":
        pdb.set_trace()
    if environ["PATH_INFO"] == "/breakpoint":
        breakpoint()
    if environ["PATH_INFO"] == "/input":
        input("your name? ")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"went on"]
"""

PROFILED = """
from werkzeug.middleware.profiler import ProfilerMiddleware

def greet(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"hello, "
    yield b"profiler"

application = ProfilerMiddleware(greet, stream=None, profile_dir="%s")
"""


@pytest.mark.parametrize("path", ["/pdb", "/breakpoint"])
def test_a_debugger_is_refused_with_a_hint(serve: Any, client: requests.Session, path: str) -> None:
    with serve(BREAKS, may_fail=True) as server:
        answers = [client.get(f"{server.url}{path}") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [500] * 3
        server.log.wait_for(r"BdbQuit\n.*hint: the app called a debugger, but a worker has no terminal")
        assert client.get(f"{server.url}/").text == "went on"


def test_an_app_that_asks_the_terminal(serve: Any, client: requests.Session) -> None:
    with serve(BREAKS, may_fail=True) as server:
        assert client.get(f"{server.url}/input").status_code == 500
        server.log.wait_for("EOFError")
        assert client.get(f"{server.url}/").text == "went on"


@pytest.mark.needs("werkzeug")
def test_a_profiler_as_middleware(serve: Any, crew: str, tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    with serve(PROFILED % profiles) as server:

        def ask(number: int) -> str:
            return requests.get(f"{server.url}/{number}", timeout=20).text

        # From Python 3.12 on, one profiler runs in a process at a time.
        with ThreadPoolExecutor(1 if "threads" in crew else 4) as threads:
            assert set(threads.map(ask, range(20))) == {"hello, profiler"}
    assert len(list(profiles.iterdir())) == 20
