"""A small tree of files, static handlers for it, and what they answer."""

from __future__ import annotations

import os
from types import SimpleNamespace

from tests.fakes import FakeExchange, make_head
from tinfront.config.model import Place, Route, Server
from tinfront.config.option import settings
from tinfront.handlers.static import OPTIONS, make
from tinfront.handlers.static_cache import SMALL
from tinfront.http.message import FileSlice

OLD = 1_600_000_000
LARGE = bytes(range(256)) * (SMALL // 256 + 1)


def make_tree(tmp_path):
    """A root of a few old files, and a secret beside it."""
    root = tmp_path / "root"
    contents = {
        "index.html": b"home",
        "a.txt": b"0123456789",
        "large.bin": LARGE,
        "docs/index.html": b"docs",
        "docs/app.js": b"js",
        "plain/file": b"file",
        "\u00e4 b%.txt": b"umlaut",
        ".env": b"secret",
    }
    for name, data in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (OLD, OLD))
    (tmp_path / "secret").write_bytes(b"secret")
    return root


def make_handler(path, kind="prefix", pattern="/", cache=10**6, **options):
    given = settings(OPTIONS, {"static": str(path), **options})
    route = Route("demo", kind, pattern, "static", given, place=Place("site.ini", 7))
    return make(given, SimpleNamespace(route=route, server=Server(static_cache=cache), pools={}))


def ask(handler, path="/a.txt", method="GET", mount="", started=1000.0, query="", **fields):
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    exchange = FakeExchange(make_head(method, path, named, query), mount=mount, started=started)
    handler.handle(exchange)
    assert exchange.finished
    return exchange


def read(exchange):
    """The body, all pieces put together, checked against the length that was announced."""
    head, body = exchange.answer
    pieces = body if isinstance(body, list) else [body]
    data = b"".join(
        os.pread(piece.file.fd, piece.length, piece.offset) if isinstance(piece, FileSlice) else piece
        for piece in pieces
    )
    assert len(data) == head.length
    return data
