"""Applications that nobody here wrote, each in a file of its own, run unchanged.

``make apps`` runs them all and prints a table; what is lacking then is an error. Elsewhere a file whose application is
not installed is skipped.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import BIN, Server

INI = """\
[listen:http]
address = 127.0.0.1:0

[site:wild]
default = yes

[route:wild /]
app = wild
body_limit = 64m

[app:wild]
wsgi = wild:application
path = {directory}
{more}
"""

CREW = {
    "prefork": "mode = prefork\nworkers = 2",
    "prefork with threads": "mode = prefork\nworkers = 1\nthreads = 4",
    "threads": "mode = threads\nthreads = 4",
}
"""What ``[app:NAME]`` says, by the word the tests print."""

Serve = Callable[..., Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--apps", action="store_true", help="an application that is not installed is an error")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): modules, or commands, without which these tests cannot run")


def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = [name for mark in item.iter_markers("needs") for name in mark.args]
    lacking = [name for name in needed if not _is_installed(name)]
    if lacking:
        tell = pytest.fail if item.config.getoption("--apps", default=False) else pytest.skip
        tell(f"not installed: {', '.join(lacking)} (make apps installs it)")


def _is_installed(name: str) -> bool:
    beside = shutil.which(name, path=str(BIN)) or shutil.which(name)
    return beside is not None or importlib.util.find_spec(name) is not None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """A line for each application."""
    if not config.getoption("--apps", default=False):
        return
    results: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            results.setdefault(Path(report.fspath).stem.removeprefix("test_"), Counter())[outcome] += 1
    terminalreporter.section("applications behind tinfront")
    terminalreporter.line(f"{'app':<12} {'checks':>6}  result")
    for app, counts in sorted(results.items()):
        bad = [f"{count} {outcome}" for outcome, count in counts.items() if outcome != "passed"]
        terminalreporter.line(f"{app:<12} {counts.total():>6}  {', '.join(bad) or 'runs unchanged'}")


@pytest.fixture(params=list(CREW), ids=lambda word: word.replace(" ", "-"))
def crew(request: pytest.FixtureRequest) -> str:
    """How the application is run: lines for its section."""
    return CREW[request.param]


@pytest.fixture
def serve(tmp_path: Path, crew: str) -> Serve:
    """Serve the application that a file's text makes; the file is what its documentation tells people to write."""

    @contextmanager
    def started(text: str, more: str = "", **named: Any) -> Iterator[Server]:
        (tmp_path / "wild.py").write_text(text)
        with Server(tmp_path, INI.format(directory=tmp_path, more=f"{crew}\n{more}"), **named) as server:
            yield server

    return started
