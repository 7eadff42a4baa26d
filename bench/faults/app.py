"""The application under fault: every answer tells the request's id, the worker and the version of the code.

``servers`` puts the version into the first line below the docstring; environment: ``BENCH_BEGUN``, a file that gets a
line for every request whose work began; ``BENCH_HEAP``, megabytes of Python objects to hold.
"""

from __future__ import annotations

VERSION = 0

import ctypes  # noqa: E402 - the version stands first
import os  # noqa: E402
import time  # noqa: E402

WORK = 0.002
"""Seconds that a usual request takes."""

TOUCHED = 0.05
"""Share of the heap that a request reads."""

_begun = os.environ.get("BENCH_BEGUN")
_log = os.open(_begun, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if _begun else -1
_leak: list[bytes] = []
# A list of one number is about 100 bytes: itself, its one slot, its number.
_heap = [[number << 40] for number in range(int(os.environ.get("BENCH_HEAP", "0")) * 1_000_000 // 108)]


def application(environ, start_response):  # type: ignore[no-untyped-def]
    """Answer ``/hello/…`` for the stage, and ``/FAULT?ID``."""
    name, known = environ["QUERY_STRING"], environ["PATH_INFO"]
    body = f"{name} {os.getpid()} {VERSION}".encode()
    if known.startswith("/hello/"):
        body = b"Hello, world!\n"
    elif known == "/work":
        if environ["REQUEST_METHOD"] == "POST":
            name = environ["wsgi.input"].read().decode()
            body = f"{name} {os.getpid()} {VERSION}".encode()
        if _log >= 0:
            os.write(_log, f"{name}\n".encode())
        time.sleep(WORK)
    elif known == "/touch":
        sum(each[0] for each in _heap[: int(len(_heap) * TOUCHED)])
    elif known == "/leak":
        _leak.append(b"x" * 10_000_000)
    elif known == "/spin":
        while True:
            pass
    elif known == "/native":
        ctypes.PyDLL(None).sleep(3600)  # a PyDLL keeps the interpreter's lock
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
