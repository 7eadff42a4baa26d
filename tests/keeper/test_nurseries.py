"""Starting nurseries, here and as others."""

import os
import sys

import pytest

from tinfront.config.model import App
from tinfront.keeper import nurseries
from tinfront.keeper.nurseries import identity_of, spawn

CODE = (
    "import os, sys; given = int(sys.argv[1]);"
    "fds = [n for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)];"
    "os.write(given, repr((sorted(map(int, fds)), os.readlink('/proc/self/fd/0'), os.getpgid(0) == os.getpid(),"
    " os.environ['A'], os.environ.get('HOME'), os.getresuid(), os.getresgid(), os.getgroups())).encode())"
)


def run(monkeypatch, app, environ):
    monkeypatch.setattr(
        nurseries, "command", lambda app, preload, inherited: [sys.executable, "-c", CODE, str(inherited["log"])]
    )
    reading, writing = os.pipe()
    stray = os.dup(reading)
    os.set_inheritable(stray, True)
    process = spawn(app, True, {"log": writing}, environ)
    os.close(writing)
    assert process.wait(30) == 0
    told = eval(os.read(reading, 1000))
    os.close(reading)
    os.close(stray)
    return writing, told


def test_it_gets_its_descriptors_and_nothing_else(monkeypatch):
    fd, told = run(monkeypatch, App("a", "m:a", env={"A": "b"}), {"HOME": "/h", "NOTIFY_SOCKET": "x"})
    assert told[:5] == ([0, 1, 2, fd], "/dev/null", True, "b", "/h")
    assert told[5:] == (os.getresuid(), os.getresgid(), os.getgroups())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")
def test_as_another_user(monkeypatch):
    monkeypatch.setattr(nurseries.os, "environ", os.environ)
    app = App("a", "m:a", env={"A": "b"}, user="root", group="12345")
    _, told = run(monkeypatch, app, {"HOME": "/h"})
    assert told[4:7] == (os.path.expanduser("~root"), (0, 0, 0), (12345,) * 3)
    assert 12345 in told[7]


def test_who_an_app_is(monkeypatch):
    assert identity_of(App("a", "m:a")) is None
    with pytest.raises(OSError, match="user no-such-user"):
        identity_of(App("a", "m:a", user="no-such-user"))
    monkeypatch.setattr(nurseries.os, "geteuid", lambda: 4000000001)
    monkeypatch.setattr(nurseries.os, "getegid", lambda: 7)
    assert identity_of(App("a", "m:a", user="4000000001", group="7")) is None
    other = identity_of(App("a", "m:a", user="4000000001", group="8"))
    assert other is not None
    assert other.gid == 8
