"""The app of the pool tests: one page a path. It is run by workers, so what it tells, it tells through its answers."""

import json
import os
import signal
import struct
import sys
import threading
import time
import zlib

BLOCK = bytes(range(256)) * 64
PLAIN = ("Content-Type", "text/plain")


def application(environ, start_response):
    page = PAGES[environ["PATH_INFO"].rpartition("/")[2] or "hello"]
    return page(environ, start_response)


def answer(start_response, body, *fields):
    start_response("200 OK", [PLAIN, *fields])
    return [body if isinstance(body, bytes) else str(body).encode()]


def hello(environ, start_response):
    return answer(start_response, "hello")


def pid(environ, start_response):
    return answer(start_response, os.getpid())


CALLS = []


def calls(environ, start_response):
    """The server's Python functions that this thread has entered since the last request for this page."""
    body = json.dumps(CALLS)
    CALLS.clear()

    def see(frame, event, argument):
        if event == "call" and "/tinfront/workers/" in frame.f_code.co_filename:
            CALLS.append(frame.f_code.co_qualname)

    sys.setprofile(see)
    return answer(start_response, body)


def show(environ, start_response):
    told = {name: value for name, value in environ.items() if isinstance(value, (str, bool, tuple))}
    return answer(start_response, json.dumps(told))


def echo(environ, start_response):
    """The body's length and sum, read from where the input stands; then whether it can be rewound."""
    body = environ["wsgi.input"]
    data = body.read()
    body.seek(0)
    again = body.read() == data
    return answer(start_response, json.dumps([len(data), zlib.crc32(data), environ.get("CONTENT_LENGTH"), again]))


def scribble(environ, start_response):
    """Tries to change the body that another worker may have to read."""
    body = environ["wsgi.input"]
    try:
        fd = os.open(f"/proc/self/fd/{body.fileno()}", os.O_RDWR)
        os.pwrite(fd, b"scribbled", 0)
    except OSError:
        return answer(start_response, "refused")
    return answer(start_response, "written")


def note(environ, start_response):
    """Appends a line to the file named in the query, so that the test can count how often it ran.

    Of 16 bytes: a line across the border of two pages could be cut there by a SIGKILL.
    """
    with open(environ["QUERY_STRING"], "a") as file:
        file.write(f"{environ['tinfront.request_id']:<15}\n")
    return answer(start_response, "noted")


def die(environ, start_response):
    note(environ, start_response) if environ["QUERY_STRING"] else None
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(environ, start_response):
    """The first worker dies of it, the second answers."""
    try:
        os.close(os.open(environ["QUERY_STRING"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return answer(start_response, "survived")
    return os.kill(os.getpid(), signal.SIGKILL)


def die_once_reading(environ, start_response):
    """As ``die_once``, after some of the body was read; tells how much there is."""
    environ["wsgi.input"].read(50_000)
    if not os.path.exists(environ["QUERY_STRING"]):
        return die_once(environ, start_response)
    return answer(start_response, 50_000 + len(environ["wsgi.input"].read()))


def clean_up(environ, start_response):
    try:
        while True:
            time.sleep(0.01)
    finally:
        with open(environ["QUERY_STRING"], "w"):
            pass


def garbage(environ, start_response):
    """Writes into every socket it has."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                os.write(int(fd), b"\xff" * 200)
        except OSError:
            pass
    time.sleep(20)


def babble(environ, start_response, junk=b"what is written here is read by nobody, one should think\n"):
    """Notes that it runs, writes into every socket it has, and answers as if nothing had happened."""
    with open(environ["QUERY_STRING"], "a") as notes:
        notes.write(f"{os.getpid()}\n")
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                os.write(int(fd), junk)
        except OSError:
            pass
    return answer(start_response, "done")


def mumble(environ, start_response):
    """What it writes is the beginning of a long frame, and the answer is taken for more of it."""
    return babble(environ, start_response, struct.pack("=IIQdqB", 300_000, 0, 1, 0.0, 0, 3))


def die_late(environ, start_response):
    start_response("200 OK", [PLAIN, ("X-Accel-Buffering", "no")])
    yield b"some"
    os.kill(os.getpid(), signal.SIGKILL)


def leave(environ, start_response):
    os._exit(int(environ["QUERY_STRING"] or 7))


def wait(environ, start_response):
    """Until the file named in the query is there."""
    while not os.path.exists(environ["QUERY_STRING"]):
        time.sleep(0.002)
    return answer(start_response, os.getpid())


def wait_closing(environ, start_response):
    class Body(list):
        def close(self):
            while not os.path.exists(environ["QUERY_STRING"]):
                time.sleep(0.002)

    start_response("200 OK", [PLAIN])
    return Body([b"early"])


def stream(environ, start_response):
    """As many blocks as the query says."""
    start_response("200 OK", [PLAIN])
    return (BLOCK for _ in range(int(environ["QUERY_STRING"])))


def events(environ, start_response):
    """Until somebody stops it; then it says so in the file named in the query."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    try:
        for number in range(1_000_000):
            yield b"data: %d\n\n" % number
            time.sleep(0.001)
    finally:
        with open(environ["QUERY_STRING"], "w") as file:
            file.write("closed")


def large(environ, start_response):
    return answer(start_response, BLOCK * int(environ["QUERY_STRING"]))


def file(environ, start_response):
    """The file named in the query, from its third byte."""
    opened = open(environ["QUERY_STRING"], "rb")  # noqa: SIM115 - the gateway closes it
    opened.seek(2)
    start_response("200 OK", [PLAIN])
    return environ["wsgi.file_wrapper"](opened)


def fail(environ, start_response):
    raise RuntimeError("on purpose")


def fail_late(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    yield b"some"
    raise RuntimeError("on purpose, late")


def leave_by_exception(environ, start_response):
    raise {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt}[environ["QUERY_STRING"]]


def say(environ, start_response):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    environ["wsgi.errors"].write("to errors\n")
    environ["wsgi.errors"].write("unfinished")
    os.write(1, b"to descriptor 1\n")
    os.write(2, b"to descriptor 2\n")
    return answer(start_response, "said")


def modules(environ, start_response):
    return answer(
        start_response, json.dumps([name for name, module in sys.modules.items() if getattr(module, "__file__", None)])
    )


def descriptors(environ, start_response):
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass
    return answer(start_response, json.dumps(found))


def process(environ, start_response):
    told = {
        "argv": sys.argv,
        "path": sys.path,
        "cwd": os.getcwd(),
        "group": os.getpgid(0),
        "parent": os.getppid(),
        "threads": threading.active_count(),
        "variable": os.environ.get("JOBS_SITE"),
        "stdin": os.readlink("/proc/self/fd/0"),
    }
    return answer(start_response, json.dumps(told))


def upload(environ, start_response):
    """Notes each piece of the body in the file named in the query, and what it was in the end."""
    total = 0
    with open(environ["QUERY_STRING"], "a", buffering=1) as notes:
        try:
            while piece := environ["wsgi.input"].read1(65536):
                total += len(piece)
                notes.write(f"{total}\n")
        except OSError as error:
            notes.write(f"{type(error).__name__}\n")
            raise
        notes.write("whole\n")
    return answer(start_response, json.dumps([total, environ.get("CONTENT_LENGTH")]))


def upload_when_told(environ, start_response):
    while not os.path.exists(environ["QUERY_STRING"]):
        time.sleep(0.002)
    return answer(start_response, len(environ["wsgi.input"].read()))


def ignore(environ, start_response):
    return answer(start_response, "not read")


def die_reading(environ, start_response):
    environ["wsgi.input"].read(1)
    die_once(environ, start_response)


def native(environ, start_response):
    """C code that keeps the interpreter's lock, for the seconds in the query."""
    import ctypes

    ctypes.PyDLL(None).sleep(int(environ["QUERY_STRING"]))
    return answer(start_response, "slept")


def segfault(environ, start_response):
    import ctypes

    ctypes.string_at(0)


LEAK = []


def leak(environ, start_response):
    """As many megabytes as the query says."""
    LEAK.append(os.urandom(1000) * 1000 * int(environ["QUERY_STRING"]))
    return answer(start_response, os.getpid())


def started(environ, start_response):
    """What ``on_start`` has noted, the mask of new files, and the interpreter."""
    mask = os.umask(0)
    os.umask(mask)
    path = os.environ.get("PATH", "")
    told = [STARTED, mask, sys.prefix, os.environ.get("VIRTUAL_ENV"), path.partition(":")[0]]
    return answer(start_response, json.dumps(told))


STARTED = []


def on_start():
    STARTED.append(os.getpid())


def on_start_badly():
    raise LookupError("no start today")


def on_exit():
    with open(os.environ["JOBS_SITE"], "a") as file:
        file.write(f"{os.getpid()}\n")


def on_exit_badly():
    on_exit()
    raise LookupError("no end today")


def connected(environ, start_response):
    """Waits until the client has left, and says so in the file named in the query."""
    with open(environ["QUERY_STRING"], "a", buffering=1) as notes:
        notes.write(f"{environ['tinfront.client_connected']()}\n")
        while environ["tinfront.client_connected"]():
            time.sleep(0.002)
        notes.write("left\n")
    return answer(start_response, "nobody hears this")


PAGES = {name.replace("_", "-"): page for name, page in list(globals().items()) if callable(page)}
