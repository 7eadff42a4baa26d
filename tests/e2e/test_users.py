"""Started as root: the front becomes an ordinary user, apps run as users of their own, and a keeper does the rest."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import Authority
from tests.e2e.server import APPS, PATIENCE, Server, address_of, eventually
from tests.e2e.users import (
    NOBODY,
    OTHER,
    UserServer,
    as_root,
    ids,
    interpreter,
    kinds,
    public_directory,
    tree,
)

pytestmark = as_root

INI = """
[server]
user = nobody
access_log = {here}/log/access.log
control = {here}/run/control

[listen:http]
address = 127.0.0.1:{port}
    unix:{here}/site.sock

[listen:https]
address = 127.0.0.1:0
tls = yes

[site:demo]
default = yes
certificate = {here}/tls/chain.pem
certificate_key = {here}/tls/key.pem

[route:demo /]
app = plain

[route:demo /own/]
app = own
body_limit = 10m

[app:plain]
wsgi = who:application
path = {apps}
workers = 1
env = BOOK={here}/book/plain

[app:own]
wsgi = who:application
path = {apps}
workers = 1
user = daemon
env = BOOK={here}/book/own
"""


@pytest.fixture
def here(authority: Authority) -> Iterator[Path]:
    interpreter()
    with public_directory() as directory:
        for name in ("tls", "log", "book"):
            (directory / name).mkdir()
        (directory / "book").chmod(0o777)
        (directory / "tls").chmod(0o700)
        put_certificate(directory, authority)
        yield directory


def put_certificate(here: Path, authority: Authority) -> None:
    pem = authority.issue("127.0.0.1", "localhost", name="users").read_text()
    middle = pem.index("-----BEGIN CERTIFICATE-----")
    (here / "tls" / "chain.pem").write_text(pem[middle:])
    (here / "tls" / "key.pem").write_text(pem[:middle])
    (here / "tls" / "key.pem").chmod(0o600)


def ini(here: Path, port: int = 0) -> str:
    return INI.format(here=here, apps=APPS, port=port)


def serial(server: Server) -> int:
    host, port = address_of(server.secure_url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), PATIENCE) as sock, context.wrap_socket(sock) as secure:
        return hash(secure.getpeercert(binary_form=True))


def keeper_of(server: Server) -> int:
    return next(pid for pid in tree(server.process.pid)[1:] if ids(pid)[0] == {"0"})


def low_port() -> int:
    """A free one that only root may listen on."""
    for port in range(700, 1000):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    pytest.skip("all ports below 1000 are taken")


def uid(user: str) -> int:
    return pwd.getpwnam(user).pw_uid


def test_who_is_who(here: Path, client: requests.Session) -> None:
    with UserServer(here, ini(here)) as server:
        plain, own = client.get(f"{server.url}/").json(), client.get(f"{server.url}/own/").json()
        assert client.get(f"{server.secure_url}/").json()["pid"] == plain["pid"]
        everybody = tree(server.process.pid)
        users = {pid: ids(pid) for pid in everybody}
        assert users[server.process.pid][0] == {str(uid(NOBODY))}
        assert users[server.process.pid][1] == {str(pwd.getpwnam(NOBODY).pw_gid)}
        assert "0" not in users[server.process.pid][2].split()
        keeper = keeper_of(server)
        assert sorted(min(who[0]) for pid, who in users.items() if pid != keeper) == sorted(
            [str(uid(NOBODY))] * 3 + [str(uid(OTHER))] * 2
        )
        assert [plain["uid"], own["uid"]] == [[uid(NOBODY)] * 3, [uid(OTHER)] * 3]
        assert own["groups"] == os.getgrouplist(OTHER, pwd.getpwnam(OTHER).pw_gid)
        for answer, user in ((plain, NOBODY), (own, OTHER)):
            told = [answer["environ"][name] for name in ("USER", "LOGNAME", "HOME")]
            assert told == [user, user, pwd.getpwnam(user).pw_dir]
        for answer in (plain, own):
            assert kinds(answer["fds"]) == {"null": 1, "pipe": 3, "board": 1, "socket": 3}
        # The app was imported as its user, and the front has not imported it at all.
        for name, user in (("plain", NOBODY), ("own", OTHER)):
            book = [line.split() for line in (here / "book" / name).read_text().splitlines()]
            assert {int(who) for _, who in book} == {uid(user)}
            assert str(server.process.pid) not in {pid for pid, _ in book}
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in everybody), "somebody is left")
    assert not (here / "site.sock").exists()
    assert not (here / "run" / "control").exists()


def test_one_app_cannot_read_what_is_another_s(here: Path, client: requests.Session) -> None:
    secrets = {}
    for name, user in (("own", OTHER), ("", NOBODY)):
        secrets[name] = here / f"secret-{user}"
        secrets[name].write_text(user)
        secrets[name].chmod(0o600)
        os.chown(secrets[name], uid(user), -1)
    with UserServer(here, ini(here)) as server:
        for name, user in (("own", OTHER), ("", NOBODY)):
            base = f"{server.url}/{name}".rstrip("/")
            for other, path in secrets.items():
                expected = {"text": user} if name == other else {"error": "Permission denied"}
                assert client.get(f"{base}/read{path}").json() == expected
            assert client.get(f"{base}/read{here}/tls/key.pem").json() == {"error": "Permission denied"}
        # A body that waits on disk is the front's file, and still the app can read it.
        assert client.post(f"{server.url}/own/body", data=b"\x01" * 3_000_000).json() == {"sum": 3_000_000}
        assert client.post(f"{server.url}/own/body", data=b"\x01" * 30_000).json() == {"sum": 30_000}


def test_keys_and_logs_of_root_s_are_opened_again(here: Path, client: requests.Session, authority: Authority) -> None:
    with UserServer(here, ini(here)) as server:
        before = serial(server)
        put_certificate(here, authority)
        server.signal(signal.SIGHUP)
        eventually(lambda: serial(server) != before, "the new certificate is not shown")
        client.get(f"{server.url}/own/first")
        log = here / "log" / "access.log"
        eventually(lambda: "/own/first" in log.read_text(), "nothing was logged")
        log.rename(here / "log" / "access.log.1")
        server.signal(signal.SIGUSR1)
        eventually(log.exists, "no new log was made")
        client.get(f"{server.url}/own/second")
        eventually(lambda: "/own/second" in log.read_text(), "nothing was logged in the new file")
        assert log.stat().st_uid == 0


def test_a_low_port_and_the_control_socket(here: Path, client: requests.Session) -> None:
    port = low_port()
    with UserServer(here, ini(here, port)) as server:
        assert server.url == f"http://127.0.0.1:{port}"
        assert client.get(server.url).status_code == 200
        status = (here / "run" / "control").stat()
        assert (status.st_uid, status.st_mode & 0o777) == (uid(NOBODY), 0o600)
        for user in (None, NOBODY):
            with_user = {} if user is None else {"user": user, "group": 65534, "extra_groups": []}
            code = "from tinfront.cli import main; main()"
            answer = subprocess.run(
                [interpreter(), "-c", code, "status", str(server.file)],
                env=server._env, capture_output=True, text=True, timeout=60, check=False, cwd="/", **with_user,
            )  # fmt: skip
            assert answer.returncode == 0, answer.stderr
            assert "own" in answer.stdout


def test_a_reload_may_name_a_low_port_and_another_user(here: Path, client: requests.Session) -> None:
    with UserServer(here, ini(here)) as server:
        assert client.get(f"{server.url}/own/").json()["uid"] == [uid(OTHER)] * 3
        port = low_port()
        server.file.write_text(ini(here, port).replace("user = daemon", "user = root\ngroup = 12345"))
        server.signal(signal.SIGHUP)

        def answers() -> bool:
            try:
                told = client.get(f"http://127.0.0.1:{port}/own/").json()
            except requests.ConnectionError:
                return False
            return bool((told["uid"], told["gid"]) == ([0] * 3, [12345] * 3))

        eventually(answers, "the new configuration is not in force")
        server.file.write_text("nonsense")
        server.signal(signal.SIGHUP)
        server.log.wait_for("nonsense")
        assert answers()


def test_a_configuration_that_only_root_may_read(here: Path, client: requests.Session) -> None:
    secret = here / "etc"
    secret.mkdir()
    with UserServer(here, f"include = {secret}/*.ini\n{ini(here)}") as server:
        for path in (server.file, secret):
            path.chmod(0o700)
        route = "[route:demo /{name}]\nrespond = 200 {name}\n"
        (secret / "one.ini").write_text(route.format(name="one"))
        (secret / "one.ini").chmod(0o600)
        server.signal(signal.SIGHUP)
        eventually(lambda: client.get(f"{server.url}/one").text == "one\n", "the new configuration is not in force")
        (secret / "two.ini").write_text("[route:demo /two]\nnonsense = 1\n")
        server.signal(signal.SIGHUP)
        server.log.wait_for(r"two\.ini:2: .* nonsense: unknown option")
        assert client.get(f"{server.url}/one").text == "one\n"


def test_a_nursery_that_dies_is_started_again_as_its_user(here: Path, client: requests.Session) -> None:
    with UserServer(here, ini(here), may_fail=True) as server:
        first = client.get(f"{server.url}/own/").json()
        (nursery,) = [pid for pid in tree(keeper_of(server)) if first["pid"] in tree(pid)[1:2]]
        os.kill(nursery, signal.SIGKILL)
        server.log.wait_for("its nursery has died")
        eventually(lambda: client.get(f"{server.url}/own/").json()["pid"] != first["pid"], "no new worker came")
        assert client.get(f"{server.url}/own/").json()["uid"] == [uid(OTHER)] * 3
        eventually(lambda: not os.path.exists(f"/proc/{first['pid']}"), "the orphan stayed")
        eventually(lambda: not os.path.exists(f"/proc/{nursery}"), "the nursery was not waited for")


def test_the_front_outlives_its_keeper(here: Path, client: requests.Session) -> None:
    with UserServer(here, ini(here), may_fail=True) as server:
        assert client.get(f"{server.url}/own/").json()["uid"] == [uid(OTHER)] * 3
        before = serial(server)
        os.kill(keeper_of(server), signal.SIGKILL)
        server.log.wait_for("kept root's privileges is gone")
        assert client.get(f"{server.url}/own/").json()["uid"] == [uid(OTHER)] * 3
        assert client.get(f"{server.secure_url}/").status_code == 200
        server.signal(signal.SIGHUP)
        server.log.wait_for("cannot be read: permission denied")
        assert serial(server) == before


def lives(pid: int) -> bool:
    """Whether a process runs; one that is dead but not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_keeper_ends_with_the_front(here: Path) -> None:
    with UserServer(here, ini(here), may_fail=True) as server:
        everybody = tree(server.process.pid)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            os.kill(keeper_of(server), number)  # as a control group that is ended
        server.process.kill()
        eventually(lambda: not any(map(lives, everybody[1:])), "somebody is left")
        assert not (here / "site.sock").exists()
        server.ends_by_itself()
        server.kill()
        server.wait = lambda timeout=0.0: None  # type: ignore[method-assign]


def test_twistd_s_own_option(here: Path, client: requests.Session, authority: Authority) -> None:
    text = ini(here).replace("user = nobody\n", "")
    who = pwd.getpwnam(NOBODY)
    with UserServer(here, text, twistd=("--reactor=epoll", f"--uid={who.pw_uid}", f"--gid={who.pw_gid}")) as server:
        assert ids(server.process.pid)[0] == {str(who.pw_uid)}
        assert client.get(f"{server.url}/own/").json()["uid"] == [uid(OTHER)] * 3
        before = serial(server)
        put_certificate(here, authority)
        server.signal(signal.SIGHUP)
        eventually(lambda: serial(server) != before, "the new certificate is not shown")


def test_without_root_it_says_so(here: Path) -> None:
    (here / "site.ini").write_text(ini(here))
    for code, arguments in (
        ("from tinfront.cli import main; main()", ("run", "site.ini")),
        ("from twisted.scripts.twistd import run; run()", ("-n", "--pidfile=", "tinfront", "--config", "site.ini")),
    ):
        answer = subprocess.run(
            [interpreter(), "-c", code, *arguments], cwd=here, env=UserServer(here, ini(here))._env, user="games",
            group=60, extra_groups=[], capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert answer.returncode == 78, answer
        assert "only root can become nobody" in answer.stderr
        assert "[app:own] user: only root can run it as daemon" in answer.stderr
