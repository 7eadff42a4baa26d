"""The WSGI application that every server runs: a short answer, a page, a form's receiver, and what the slow need.

Standard library only.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from typing import Any

HELLO = b"Hello, world!\n"
PAGE = b"".join(b"<p>%06d " % n + b"The quick brown fox jumps over the lazy dog.</p>\n" for n in range(600))[
    : 32 * 1024
]
LARGE = bytes(range(256)) * (5_000_000 // 256)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer ``/hello/…``, ``/page/…`` and ``POST /echo/…`` (with the length of the body it read).

    For ``bench.slow`` also ``/large/…``, ``/sleep/MILLISECONDS``, and ``/id/ID``, which tells the ID and what was sent.
    """
    path = environ["PATH_INFO"]
    if path.startswith("/hello/"):
        body, kind = HELLO, "text/plain"
    elif path.startswith("/page/"):
        body, kind = PAGE, "text/html; charset=utf-8"
    elif path.startswith("/echo/"):
        received = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body, kind = b"%d\n" % len(received), "text/plain"
    elif path.startswith("/large/"):
        body, kind = LARGE, "application/octet-stream"
    elif path.startswith("/sleep/"):
        time.sleep(int(path[7:]) / 1000)
        body, kind = HELLO, "text/plain"
    elif path.startswith("/id/"):
        received = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body, kind = b"%b %b\n" % (path[4:].encode(), hashlib.sha256(received).hexdigest().encode()), "text/plain"
    else:
        start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
