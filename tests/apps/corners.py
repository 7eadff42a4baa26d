"""Plain WSGI applications for the corners of PEP 3333, one a path."""

import hashlib
import json
import os
import socket
import sys
import tempfile
import time
from urllib.parse import parse_qs

BLOCK = bytes(range(256)) * 256
"""64 KiB that show where they have been cut."""

PLAIN = ("Content-Type", "text/plain")

_pages = {}


def at(path):
    """Answers for ``path``."""

    def enter(page):
        _pages[path] = page
        return page

    return enter


def application(environ, start_response):
    """All pages."""
    page = _pages.get(environ["PATH_INFO"])
    if page is None:
        start_response("404 Not Found", [PLAIN])
        return [b"the app has no such page"]
    return page(environ, start_response)


def argument(environ, name, default=""):
    """From the query."""
    return parse_qs(environ["QUERY_STRING"]).get(name, [default])[0]


def wait_at_gate(environ):
    """Stay here until the test lets us go."""
    with socket.create_connection(("127.0.0.1", int(argument(environ, "gate")))) as door:
        door.sendall(b"%d\n" % os.getpid())
        door.recv(1)


# --- answers


@at("/environ")
def show_environ(environ, start_response):
    texts = {name: value for name, value in environ.items() if isinstance(value, (str, bool, tuple))}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(texts | {"pid": os.getpid()}).encode()]


@at("/pid")
def pid(environ, start_response):
    start_response("200 OK", [PLAIN])
    return [str(os.getpid()).encode()]


@at("/hello")
def hello(environ, start_response):
    start_response("200 OK", [PLAIN, ("Content-Length", "5")])
    return [b"hello"]


@at("/nothing")
def nothing(environ, start_response):
    start_response("200 OK", [PLAIN])
    return []


@at("/nothing-yielded")
def nothing_yielded(environ, start_response):
    start_response("200 OK", [PLAIN])
    yield from ()


@at("/empty-pieces")
def empty_pieces(environ, start_response):
    start_response("200 OK", [PLAIN])
    yield b""
    yield b"a"
    yield b""
    yield b"b"


@at("/no-content")
def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


@at("/not-modified")
def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"v1"')])
    return []


@at("/written")
def written(environ, start_response):
    write = start_response("200 OK", [PLAIN])
    write(b"written, ")
    return [b"then returned"]


@at("/second-thoughts")
def second_thoughts(environ, start_response):
    start_response("200 OK", [PLAIN])
    try:
        raise ValueError("on second thoughts")
    except ValueError:
        start_response("418 I'm a teapot", [PLAIN], sys.exc_info())
    return [b"short and stout"]


@at("/two-cookies")
def two_cookies(environ, start_response):
    start_response("200 OK", [PLAIN, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/")])
    return [b""]


@at("/file")
def file(environ, start_response):
    found = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
    found.write(BLOCK * 3)
    found.seek(1000)
    start_response("200 OK", [PLAIN])
    return environ["wsgi.file_wrapper"](found)


# --- bodies


@at("/echo")
def echo(environ, start_response):
    """What came, in pieces as an app would read it."""
    digest, length = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(65536):
        digest.update(piece)
        length += len(piece)
    found = {"sha256": digest.hexdigest(), "length": length, "told": environ.get("CONTENT_LENGTH")}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]


@at("/lines")
def lines(environ, start_response):
    """Counts lines, then reads them once more: the body can be rewound."""
    body = environ["wsgi.input"]
    first = len(body.readlines())
    body.seek(0)
    start_response("200 OK", [PLAIN])
    return [f"{first} {sum(1 for _ in body)}".encode()]


@at("/download")
def download(environ, start_response):
    """``blocks`` times 64 KiB, with a length if ``told``."""
    count = int(argument(environ, "blocks"))
    length = [("Content-Length", str(count * len(BLOCK)))] if argument(environ, "told") else []
    start_response("200 OK", [("Content-Type", "application/octet-stream"), *length])
    return (BLOCK for _ in range(count))


@at("/events")
def events(environ, start_response):
    """An event, then nothing until the gate opens, then another."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    yield b"data: first\n\n"
    wait_at_gate(environ)
    yield b"data: second\n\n"


@at("/count")
def count(environ, start_response):
    """An event for each time the gate opens, at which it waits before."""
    fields = [("Content-Type", argument(environ, "type", "text/event-stream"))]
    if argument(environ, "accel"):
        fields.append(("X-Accel-Buffering", argument(environ, "accel")))
    start_response("200 OK", fields)
    try:
        for number in range(int(argument(environ, "events"))):
            yield b"data: %d\n\n" % number
            wait_at_gate(environ)
        yield b"data: last\n\n"
    finally:
        if path := argument(environ, "closed"):
            with open(path, "w") as file:
                file.write("closed")


@at("/flood")
def flood(environ, start_response):
    """Events without end; how many bytes there were is told in a file, again and again."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    total = 0
    with open(argument(environ, "notes"), "w", buffering=1) as notes:
        try:
            while True:
                yield BLOCK
                total += len(BLOCK)
                notes.write(f"{total}\n")
        finally:
            notes.write("closed\n")


@at("/until-gone")
def until_gone(environ, start_response):
    """Says at the gate that it is there; waits for its client to leave; then says so in a file."""
    wait_at_gate(environ)
    while environ["tinfront.client_connected"]():
        time.sleep(0.002)
    with open(argument(environ, "left"), "w") as file:
        file.write("left")
    start_response("200 OK", [PLAIN])
    return [b"nobody hears this"]


@at("/read")
def read(environ, start_response):
    """Notes in a file what has come of the body, as it comes."""
    total = 0
    with open(argument(environ, "notes"), "a", buffering=1) as notes:
        try:
            while piece := environ["wsgi.input"].read1(65536):
                total += len(piece)
                notes.write(f"{total}\n")
        except OSError:
            notes.write("broken\n")
            raise
        notes.write("whole\n")
    start_response("200 OK", [PLAIN])
    return [str(total).encode()]


@at("/read-later")
def read_later(environ, start_response):
    """Waits at the gate before it reads."""
    wait_at_gate(environ)
    start_response("200 OK", [PLAIN])
    return [str(len(environ["wsgi.input"].read())).encode()]


@at("/log")
def log(environ, start_response):
    """Notes in a file who it was."""
    with open(argument(environ, "notes"), "a") as notes:
        notes.write(argument(environ, "who") + "\n")
    start_response("200 OK", [PLAIN])
    return [b"noted"]


@at("/toil")
def toil(environ, start_response):
    """Keeps its worker busy for a moment, so that whoever kills a worker finds it at work."""
    time.sleep(0.02)
    start_response("200 OK", [PLAIN])
    return [b"done"]


@at("/gate")
def gate(environ, start_response):
    """Waits before it answers."""
    wait_at_gate(environ)
    start_response("200 OK", [PLAIN])
    return [b"through"]


# --- mistakes


@at("/raises")
def raises(environ, start_response):
    raise RuntimeError("before the head")


@at("/raises-late")
def raises_late(environ, start_response):
    start_response("200 OK", [PLAIN])
    yield BLOCK
    yield BLOCK
    raise RuntimeError("after the head")


@at("/exits")
def exits(environ, start_response):
    raise SystemExit(3)


@at("/too-short")
def too_short(environ, start_response):
    start_response("200 OK", [PLAIN, ("Content-Length", "10")])
    return [b"12345"]


@at("/too-long")
def too_long(environ, start_response):
    start_response("200 OK", [PLAIN, ("Content-Length", "5")])
    return [b"1234567890"]


@at("/too-short-late")
def too_short_late(environ, start_response):
    start_response("200 OK", [PLAIN, ("Content-Length", str(3 * len(BLOCK)))])
    yield BLOCK
    yield BLOCK


@at("/splits-header")
def splits_header(environ, start_response):
    start_response("200 OK", [PLAIN, ("X-Split", "a\r\nSet-Cookie: stolen=1")])
    return [b""]


@at("/says")
def says(environ, start_response):
    """Says a word wherever an app can."""
    word = argument(environ, "word")
    environ["wsgi.errors"].write(f"{word} to wsgi.errors\n")
    print(f"{word} to stdout")
    print(f"{word} to stderr", file=sys.stderr)
    os.write(2, f"{word} to descriptor 2\n".encode())
    start_response("200 OK", [PLAIN])
    return [environ["tinfront.request_id"].encode()]


# --- processes


@at("/fork")
def fork(environ, start_response):
    """A copy of this process comes back from the app in some way; the answer is the status with which it has ended."""
    how = argument(environ, "how")
    pid = os.fork()
    if not pid:
        if how == "exit":
            sys.exit(5)
        if how == "raise":
            raise ValueError("in the copy")
        start_response("200 OK", [PLAIN])
        return [b"from the copy"] if how == "return" else iter([b"from the copy"] * 3)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    start_response("200 OK", [PLAIN])
    return [b"%d" % status]
