"""What the keeper's process answers, and above all what it refuses."""

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinfront
from tinfront.config.charter import fingerprint
from tinfront.config.files import Reader
from tinfront.config.finding import Findings
from tinfront.config.model import App
from tinfront.config.source import Record
from tinfront.keeper import process
from tinfront.keeper.messages import encode
from tinfront.keeper.process import CHARTERS, Keeper
from tinfront.workers.bare import BOOTSTRAP
from tinfront.workers.nursery_process import INHERITED

INI = """
[server]
access_log = access.log
[listen:http]
address = 127.0.0.1:0
    unix:site.sock
[site:demo]
certificate = key.pem
[app:one]
wsgi = m:a
user = root
[app:two]
wsgi = m:a
"""
ONE = App("one", "m:a", user="root")


class Child:
    """A nursery that has been started."""

    made: list

    def __init__(self, app, preload, inherited, environ):
        self.made.append((app, preload, inherited))
        self.pid = os.fork()
        if not self.pid:
            os.execv("/bin/sleep", ["sleep", "60"])
        self.returncode = None


@pytest.fixture
def keeper(tmp_path, monkeypatch):
    (tmp_path / "site.ini").write_text(INI)
    (tmp_path / "key.pem").write_text("key")
    monkeypatch.setattr(Child, "made", [], raising=False)
    monkeypatch.setattr(process, "spawn", Child)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    keeper = Keeper(theirs, str(tmp_path / "site.ini"))
    keeper.here, keeper.ours = tmp_path, ours
    yield keeper
    for pid in keeper._children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for end in (ours, theirs):
        end.close()
    os.close(keeper._wake)
    os.close(keeper._waker)


def ask(keeper, *words, fds=()):
    told, given = keeper.answer(encode(*words), list(fds))
    return told, given


def refused(keeper, *words, fds=(), code=errno.EPERM):
    told, given = ask(keeper, *words, fds=fds)
    assert told[:2] == ["no", str(code)], told
    assert not given
    return told[2]


def start(keeper, app=ONE, names=INHERITED, **named):
    fds = [os.open(os.devnull, os.O_RDONLY) for _ in names]
    try:
        return ask(keeper, "start", app.name, fingerprint(app), "preload", ",".join(names), fds=fds, **named)
    finally:
        for fd in fds:
            os.close(fd)


def test_keys_and_logs_that_are_named(keeper):
    for verb, name in (("key", "key.pem"), ("log", "access.log")):
        told, (fd,) = ask(keeper, verb, str(keeper.here / name))
        assert told == ["ok"]
        assert os.path.samestat(os.fstat(fd), (keeper.here / name).stat())
        os.close(fd)


@pytest.mark.parametrize("verb", ["key", "log"])
@pytest.mark.parametrize("path", ["/etc/passwd", "site.ini", "./key.pem", "../key.pem", "key.pem/", "", "key.pem\n"])
def test_nothing_else_is_opened(keeper, verb, path):
    path = path if path.startswith("/") else f"{keeper.here}/{path}"
    assert "does not name it" in refused(keeper, verb, path)
    assert "does not name it" in refused(keeper, "log", str(keeper.here / "key.pem"))
    assert "does not name it" in refused(keeper, "key", str(keeper.here / "access.log"))


def test_addresses(keeper):
    for words in (("tcp", "127.0.0.1", "0", ""), ("unix", "", "0", str(keeper.here / "site.sock"))):
        told, (fd,) = ask(keeper, "bind", *words, "7")
        assert told == ["ok"]
        with socket.socket(fileno=fd) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    refused(keeper, "bind", "tcp", "127.0.0.1", "25", "", "7")
    refused(keeper, "bind", "tcp", "0.0.0.0", "0", "", "7")
    refused(keeper, "bind", "unix", "", "0", str(keeper.here / "other.sock"), "7")
    refused(keeper, "bind", "fd", "", "3", "", "7")
    refused(keeper, "bind", "tcp", "127.0.0.1", "-1", "", "7", code=errno.EINVAL)


def test_a_file_that_cannot_be_opened_is_not_a_refusal(keeper):
    (keeper.here / "key.pem").unlink()
    assert "key.pem" in refused(keeper, "key", str(keeper.here / "key.pem"))  # a file that does not exist: no reading
    (keeper.here / "key.pem").write_text("key")
    os.close(ask(keeper, "key", str(keeper.here / "key.pem"))[1][0])
    (keeper.here / "key.pem").unlink()
    refused(keeper, "key", str(keeper.here / "key.pem"), code=errno.ENOENT)


def test_a_new_reading_grants_more_and_soon_less(keeper):
    def rename(old, new):
        text = (keeper.here / "site.ini").read_text()
        (keeper.here / new).write_text("key")
        (keeper.here / "site.ini").write_text(text.replace(old, new))

    first = str(keeper.here / "key.pem")
    os.close(ask(keeper, "key", first)[1][0])
    name = "key.pem"
    for number in range(CHARTERS):
        assert ask(keeper, "key", first)[0] == ["ok"] or number == CHARTERS  # it may still be in use
        rename(name, name := f"key{number}.pem")
        told, given = ask(keeper, "key", str(keeper.here / name))
        assert told == ["ok"]
        os.close(given[0])
    refused(keeper, "key", first)


def test_a_bad_file_changes_nothing(keeper):
    os.close(ask(keeper, "key", str(keeper.here / "key.pem"))[1][0])
    (keeper.here / "site.ini").write_text("[server]\nno = option\naccess_log\n")
    assert "site.ini:3" in refused(keeper, "log", "/etc/passwd")
    os.close(ask(keeper, "key", str(keeper.here / "key.pem"))[1][0])


def test_an_app_with_a_user_is_started(keeper):
    told, (pidfd,) = start(keeper)
    assert told[0] == "ok"
    pid = int(told[1])
    app, preload, inherited = Child.made[0]
    assert (app, preload, tuple(inherited)) == (ONE, True, INHERITED)
    assert ask(keeper, "reap", str(pid)) == (["ok", ""], [])
    assert ask(keeper, "end", str(pid), "9") == (["ok"], [])
    assert os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    assert ask(keeper, "reap", str(pid)) == (["ok", "-9"], [])
    os.close(pidfd)
    refused(keeper, "reap", str(pid), code=errno.ECHILD)
    refused(keeper, "end", str(pid), "9")


def test_no_other_app_is_started(keeper):
    for app in (App("one", "os:system", user="root"), App("none", "m:a", user="root"), App("two", "m:a")):
        assert start(keeper, app)[0][:2] == ["no", str(errno.EPERM)]
    for names in (INHERITED[:-1], (*INHERITED, "wsgi"), ("wsgi", *INHERITED[1:]), INHERITED[::-1]):
        assert start(keeper, names=names)[0][:2] == ["no", str(errno.EINVAL)]
    refused(keeper, "start", "one", fingerprint(ONE), "preload", ",".join(INHERITED), fds=[0], code=errno.EINVAL)
    assert not Child.made


def test_nobody_else_s_processes_are_signalled(keeper):
    for pid in (1, os.getpid(), os.getppid()):
        refused(keeper, "end", str(pid), "0")
    for pid in ("0", "-1", "x", "", "99999999999"):
        assert ask(keeper, "end", pid, "9")[0][0] == "no"


@given(
    st.one_of(
        st.binary(max_size=100),
        st.lists(
            st.sampled_from(
                ["bind", "key", "log", "start", "end", "reap", "tcp", "unix", "one", "0", "9", "-1", "", "/"]
            ),
            min_size=1,
            max_size=7,
        ).map(lambda words: "\0".join(words).encode()),
    )
)
def test_any_bytes_have_an_answer(keeper, data):
    told, given = keeper.answer(data, [])
    assert encode(*told)
    for fd in given:
        os.close(fd)
    assert told[0] == "no" or data.startswith(b"bind")


def test_its_life(keeper):
    pid = os.fork()
    if not pid:
        keeper.ours.close()
        keeper.run()
        os._exit(0)
    keeper.ours.sendmsg([encode("key", str(keeper.here / "key.pem"))])
    message, fds, _, _ = socket.recv_fds(keeper.ours, 100, 4)
    assert message == b"ok"
    assert os.read(fds[0], 10) == b"key"
    os.close(fds[0])
    socket.send_fds(keeper.ours, [b"key"], [0])
    assert keeper.ours.recv(1000).startswith(b"no")
    path = str(keeper.here / "site.sock")
    keeper.ours.sendmsg([encode("bind", "unix", "", "0", path, "7")])
    _, fds, _, _ = socket.recv_fds(keeper.ours, 100, 4)
    os.close(fds[0])
    assert os.path.exists(path)
    keeper.ours.shutdown(socket.SHUT_RDWR)
    assert os.waitpid(pid, 0)[1] == 0
    assert not os.path.exists(path)


def test_it_has_no_reactor_and_nothing_of_others():
    code = BOOTSTRAP.format("tinfront.keeper.process").replace("main(sys.argv[3])", "print(*sys.modules)")
    answer = subprocess.run(
        [sys.executable, "-I", "-c", code, str(Path(tinfront.__file__).parent), "1"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    tops = {name.partition(".")[0] for name in answer.stdout.split()}
    assert "tinfront" in tops
    assert not tops & {"twisted", "zope", "cryptography", "uvloop", "OpenSSL", "asyncio"}


def test_the_configuration_as_the_disk_has_it_now(keeper):
    (keeper.here / "more.ini").write_text("[app:more]\nwsgi = m:a\n")
    file = keeper.here / "site.ini"
    file.write_text(f"include = *ore.ini\n{INI}")
    told, given = ask(keeper, "config")
    assert told == ["ok"]
    with open(given[0], "rb") as snapshot:
        record = Record(snapshot.read())
    file.unlink()
    reader = Reader(Findings(), record)
    reader.read("site.ini", str(file))
    assert [section.header for section in reader.sections][:2] == ["app:more", "server"]
    refused(keeper, "config", str(file), code=errno.EINVAL)
