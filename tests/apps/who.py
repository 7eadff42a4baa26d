"""Tells who runs it and what it can reach. A line in the file $BOOK for each process that imports it."""

import json
import os
import random
import signal

if "BOOK" in os.environ:
    with open(os.environ["BOOK"], "a") as book:
        book.write(f"{os.getpid()} {os.geteuid()}\n")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    answer = {}
    if path.startswith("/read/"):
        try:
            with open(path[len("/read") :]) as file:
                answer["text"] = file.read()
        except OSError as error:
            answer["error"] = error.strerror
    elif path == "/body":
        body = environ["wsgi.input"].read()
        answer["sum"] = sum(body)
    elif path.startswith("/garbage/"):
        _garbage(int(path[len("/garbage/") :]))
    elif path.startswith("/babble/"):
        with open(path[len("/babble") :], "a") as runs:
            runs.write(f"{os.getpid()}\n")
        _babble()
    else:
        answer = {
            "pid": os.getpid(),
            "uid": os.getresuid(),
            "gid": os.getresgid(),
            "groups": os.getgroups(),
            "environ": dict(os.environ),
            "fds": {name: _link(name) for name in os.listdir("/proc/self/fd") if _link(name)},
        }
    data = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]


def _link(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""


def _babble():
    """What an app may say by mistake: to whom, it does not know."""
    for name in os.listdir("/proc/self/fd"):
        if _link(name).startswith("socket:"):
            os.write(int(name), b"hello world, this is debugging output\n")


def _garbage(seed):
    """What a worker could say that was taken over: anything, to everybody it can reach."""
    noise = random.Random(seed)
    for name in os.listdir("/proc/self/fd"):
        if _link(name).startswith("socket:"):
            for _ in range(noise.randrange(1, 5)):
                data = noise.randbytes(noise.choice((1, 8, 40, 400, 70_000)))
                if noise.random() < 0.5:
                    data = len(data).to_bytes(4, "little") + data
                try:
                    os.set_blocking(int(name), False)
                    os.write(int(name), data)
                except OSError:
                    pass
    if noise.random() < 0.3:
        os.kill(os.getpid(), signal.SIGKILL)
