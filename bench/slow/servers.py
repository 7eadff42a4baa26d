"""The peers as the slow meet them: the settings of ``bench.peers``, with room for the crowd wherever there is a bound.

Each has the bounds on time that it comes with, except gunicorn's keep-alive of 2 s, which is given the 75 s of the
others: a connection that is closed while idle is no news. waitress and granian come with bounds of 100 and 1024
connections; both get more. waitress writes no access log; granian's is off, as it costs it much.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import peers
from bench.peers import Peer, Place, command

ROOM = 19_000
"""Connections that each server has room for: this machine's descriptors are the bound."""


def _roomy(commands: list[list[str]], place: Place) -> list[list[str]]:
    """The settings of ``bench.peers`` with more room for connections."""
    conf = place.work / "nginx.conf"
    if conf.exists():
        text = conf.read_text().replace("worker_connections 4096", f"worker_connections {ROOM}")
        conf.write_text(text.replace("backlog=2048", "backlog=4096"))
    return commands


def _tinfront(threads: int, place: Place) -> list[list[str]]:
    app = place.fill(peers.TINFRONT_APP, mode="prefork") + f"workers = 2\nthreads = {threads}\n"
    return [[command("tinfront"), "run", place.write("tinfront.ini", place.fill(peers.TINFRONT) + app)]]


def _nginx_gunicorn(threads: int, place: Place) -> list[list[str]]:
    kind = "sync" if threads == 1 else "gthread"
    behind = peers.gunicorn(place, f"unix:{place.work}/app.sock", kind, threads, None)
    return _roomy([behind, peers.nginx(place, peers.UPSTREAM_GUNICORN, peers.LOCATION_GUNICORN)], place)


def _gunicorn(threads: int, place: Place) -> list[list[str]]:
    argv = peers.gunicorn(place, f"127.0.0.1:{place.http}", "gthread", max(4, threads), f"{place.work}/access.log")
    path = Path(argv[argv.index("--config") + 1])
    path.write_text(path.read_text() + f"keepalive = 75\nworker_connections = {ROOM}\n")
    return [argv]


def _waitress(threads: int, place: Place) -> list[list[str]]:
    options = f"--threads={max(4, 2 * threads)} --connection-limit={ROOM} --asyncore-use-poll --backlog=4096"
    start = f"import sys; sys.path.insert(0, {str(place.app)!r}); from waitress.runner import run; sys.exit(run())"
    return [[sys.executable, "-c", start, f"--listen=127.0.0.1:{place.http}", *options.split(), "app:application"]]


def _granian(threads: int, place: Place) -> list[list[str]]:
    options = f"--interface wsgi --workers 2 --blocking-threads {threads} --http 1 --no-ws --no-access-log"
    room = f"--backlog {ROOM} --backpressure {ROOM // 2}"
    where = f"--host 127.0.0.1 --port {place.http} --working-dir {place.app}"
    return [[command("granian"), *options.split(), *room.split(), *where.split(), "app:application"]]


_ALL = ("wsgi", "static", "tls")
_WSGI = ("wsgi",)
_ROWS: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...], Callable[[int, Place], list[list[str]]]], ...] = (
    ("tinfront", "tinfront", _ALL, ("tinfront",), _tinfront),
    ("nginx+gunicorn", "nginx + gunicorn", _ALL, ("nginx", "gunicorn"), _nginx_gunicorn),
    ("gunicorn", "gunicorn alone", _WSGI, ("gunicorn",), _gunicorn),
    ("waitress", "waitress", _WSGI, ("waitress-serve",), _waitress),
    ("granian", "granian", _WSGI, ("granian",), _granian),
)
NAMES = tuple(row[0] for row in _ROWS)


def servers(names: tuple[str, ...] = (), threads: int = 1) -> tuple[Peer, ...]:
    """The servers of these names (all for none), whose two workers have so many threads each."""
    return tuple(
        Peer(name, label, name, "" if name == "tinfront" else "tinfront", kinds, needs, partial(prepare, threads))
        for name, label, kinds, needs, prepare in _ROWS
        if not names or name in names
    )
