"""Server-sent events, progress and uploads, without a framework."""

import hashlib
import time

PLAIN = ("Content-Type", "text/plain")


def application(environ, start_response):
    """Whatever the mount point is good for."""
    pages = {"": events, "/progress": progress, "/upload": upload}
    return pages[environ["SCRIPT_NAME"]](environ, start_response)


def events(environ, start_response):
    """One event a second; ``retry`` tells the browser when to come again."""
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")])
    yield b"retry: 1000\n\n"
    number = 0
    while environ["tinfront.client_connected"]():
        yield b"id: %d\ndata: the time is %d\n\n" % (number, time.time())
        number += 1
        time.sleep(1)


def progress(_, start_response):
    """Lines as they become known."""
    start_response("200 OK", [PLAIN])
    for step in ("one", "two", "three"):
        yield f"{step}\n".encode()
        time.sleep(0.1)


def upload(environ, start_response):
    """The digest of a body that is never stored. If it breaks off, ``read`` raises an OSError."""
    digest = hashlib.sha256()
    while piece := environ["wsgi.input"].read1(65536):
        digest.update(piece)
    start_response("200 OK", [PLAIN])
    return [digest.hexdigest().encode()]
