"""The front's side, with a real process on the other; the user is the one who runs the tests."""

import os
import pwd
import signal
import socket
import time
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from tinfront.config.model import Address, App
from tinfront.interfaces import IKeeper
from tinfront.keeper import remote
from tinfront.keeper.identity import find
from tinfront.keeper.remote import UNKNOWN, RemoteKeeper
from tinfront.workers import frames
from tinfront.workers.board import create_board

APPS = Path(__file__).parents[1] / "apps"
SELF = pwd.getpwuid(os.geteuid()).pw_name

INI = """
[server]
access_log = access.log
[listen:http]
address = 127.0.0.1:0
[site:demo]
certificate = key.pem
"""


class Descriptors:
    """Whoever watches descriptors."""

    def __init__(self):
        self.readers = {}

    def add_reader(self, fd, callback, *args):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        self.readers.pop(fd, None)


@pytest.fixture
def keeper(tmp_path):
    (tmp_path / "site.ini").write_text(INI)
    (tmp_path / "key.pem").write_text("key")
    keeper = RemoteKeeper(str(tmp_path / "site.ini"), find(SELF), {})
    keeper.here = tmp_path
    keeper.start()
    keeper.start()
    yield keeper
    keeper.close()
    assert keeper._process.returncode is not None


def wait_for(happened):
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def die(keeper):
    keeper._process.kill()
    keeper._process.wait()


def test_it_is_a_keeper(keeper):
    assert verifyObject(IKeeper, keeper)


def test_it_opens_what_is_named(keeper):
    with keeper.bind(Address("tcp", "127.0.0.1", 0), 7) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not sock.getblocking()
        assert not sock.get_inheritable()
    assert keeper.read_key(str(keeper.here / "key.pem")) == b"key"
    fd = keeper.open_log(str(keeper.here / "access.log"))
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_it_says_what_is_refused(keeper):
    with pytest.raises(PermissionError, match="does not name it"):
        keeper.read_key("/etc/passwd")
    with pytest.raises(PermissionError, match="does not name it"):
        keeper.open_log(str(keeper.here / "other.log"))
    with pytest.raises(PermissionError, match="does not name it"):
        keeper.bind(Address("tcp", "127.0.0.2", 0), 7)
    with pytest.raises(OSError, match="NUL"):
        keeper.read_key("a\0b")
    with pytest.raises(FileNotFoundError):
        keeper.bind(Address("systemd", path="none"), 7)  # what was passed in is here


def outfit():
    """What a nursery inherits, and the front's end of its control socket."""
    jobs, _ = pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(30)
    board = create_board(2)
    log = os.open(os.devnull, os.O_WRONLY)
    return {"jobs": jobs.fileno(), "board": board, "control": theirs.fileno(), "log": log}, ours, (*pair, theirs)


def nursery_of(keeper, app):
    inherited, control, sockets = outfit()
    try:
        return keeper.start_nursery(app, True, inherited), control
    except OSError:
        control.close()
        raise
    finally:
        for sock in sockets:
            sock.close()
        os.close(inherited["board"])
        os.close(inherited["log"])


def app_in(keeper, **named):
    app = App("one", "who:application", (str(APPS),), **named)
    with open(keeper.here / "site.ini", "a") as file:
        file.write(f"[app:one]\nwsgi = who:application\npath = {APPS}\n")
        file.write("".join(f"{name} = {value}\n" for name, value in named.items()))
    return app


def test_a_nursery_of_the_other_process(keeper):
    nursery, control = nursery_of(keeper, app_in(keeper, user=SELF))
    with control:
        reports = [frames.decode_order(control.recv(frames.ORDER_MAX)) for _ in range(2)]
        assert [report[0] for report in reports] == [frames.SOURCES, frames.IMPORTED]
        assert nursery.poll() is None
        nursery.kill()
        wait_for(lambda: nursery.poll() is not None)
    assert nursery.returncode == -signal.SIGKILL
    assert nursery.poll() == -signal.SIGKILL
    nursery.kill()


def test_a_nursery_that_ends_by_itself(keeper):
    nursery, control = nursery_of(keeper, app_in(keeper, user=SELF))
    control.close()
    wait_for(lambda: nursery.poll() is not None)
    assert nursery.returncode == 0


def test_an_app_without_a_user_is_started_here(keeper):
    process, control = nursery_of(keeper, app_in(keeper))
    control.close()
    assert process.wait(30) == 0


def test_an_app_that_is_not_in_the_file(keeper):
    with pytest.raises(PermissionError, match=r"\[app:one\]"):
        nursery_of(keeper, App("one", "who:application", user=SELF))


def test_a_signal_for_who_is_gone(keeper):
    pid = os.fork()
    if not pid:
        os._exit(0)
    pidfd = os.pidfd_open(pid)
    os.waitpid(pid, 0)
    keeper.signal(pid, pidfd, signal.SIGTERM)
    os.close(pidfd)


def test_after_its_death_the_front_does_what_it_may(keeper, monkeypatch):
    monkeypatch.setattr(remote, "hide_memory", lambda: None)
    monkeypatch.setattr(remote.Identity, "assume", lambda self: None)
    descriptors = Descriptors()
    nursery, control = nursery_of(keeper, app_in(keeper, user=SELF))
    keeper.drop(descriptors)
    assert keeper._environ == find(SELF).environment()
    (lose,) = descriptors.readers.values()
    die(keeper)
    with pytest.raises(PermissionError, match="restart"):
        nursery_of(keeper, App("one", "who:application", (str(APPS),), user=SELF))
    lose()
    assert not descriptors.readers
    assert keeper.read_key(str(keeper.here / "key.pem")) == b"key"
    os.close(keeper.open_log(str(keeper.here / "access.log")))
    keeper.bind(Address("tcp", "127.0.0.1", 0), 7).close()
    with pytest.raises(PermissionError, match="restart"):
        nursery_of(keeper, App("one", "who:application", (str(APPS),), user=SELF))
    nursery.kill()
    control.close()
    wait_for(lambda: nursery.poll() is not None)
    assert nursery.returncode in (UNKNOWN, -signal.SIGKILL)


def test_a_keeper_that_does_not_answer_is_given_up(keeper):
    os.kill(keeper._process.pid, signal.SIGSTOP)
    keeper._sock.settimeout(0.05)
    with pytest.raises(PermissionError, match="restart"):
        keeper.read_key("/x")
    os.kill(keeper._process.pid, signal.SIGCONT)
