"""The WSGI application that every server runs: a short answer, a page, and a form's receiver. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

HELLO = b"Hello, world!\n"
PAGE = b"".join(b"<p>%06d " % n + b"The quick brown fox jumps over the lazy dog.</p>\n" for n in range(600))[
    : 32 * 1024
]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer ``/hello/…``, ``/page/…`` and ``POST /echo/…`` (with the length of the body it read)."""
    path = environ["PATH_INFO"]
    if path.startswith("/hello/"):
        body, kind = HELLO, "text/plain"
    elif path.startswith("/page/"):
        body, kind = PAGE, "text/html; charset=utf-8"
    elif path.startswith("/echo/"):
        received = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body, kind = b"%d\n" % len(received), "text/plain"
    else:
        start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
