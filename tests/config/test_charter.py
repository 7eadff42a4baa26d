"""What a configuration grants."""

import dataclasses

import pytest

from tinfront.config.charter import Charter, development_pem, fingerprint, read_charter
from tinfront.config.model import Address, App, Place
from tinfront.errors import ConfigError

INI = """
include = more.ini
[server]
access_log = access.log
control = run/control
[listen:http]
address = 127.0.0.1:80
    unix:site.sock
    systemd:web
[site:demo]
certificate = a.pem
certificate_key = b.pem
[site:other]
certificate = development
[route:demo /]
no_such_handler = 1
"""


@pytest.fixture
def here(tmp_path):
    (tmp_path / "site.ini").write_text(INI)
    (tmp_path / "more.ini").write_text("[app:one]\nwsgi = m:a\nuser = root\n")
    (tmp_path / "a.pem").touch()
    (tmp_path / "b.pem").touch()
    return tmp_path


def test_what_is_named(here):
    charter = read_charter(str(here / "site.ini"))
    assert charter.keys == {str(here / "a.pem"), str(here / "b.pem"), development_pem(str(here), "other")}
    assert charter.logs == {str(here / "access.log")}
    assert charter.sockets == {str(here / "run/control"), str(here / "site.sock")}
    assert charter.apps["one"].user == "root"
    assert charter == read_charter(str(here / "site.ini"))


@pytest.mark.parametrize("log", ["-", "off"])
def test_no_log(tmp_path, log):
    (tmp_path / "site.ini").write_text(f"[server]\naccess_log = {log}\n")
    assert read_charter(str(tmp_path / "site.ini")) == Charter()


def test_what_is_wrong_grants_nothing(here):
    (here / "more.ini").write_text("[app:one]\nwsgi = m:a\nuser = no-such-user\n")
    with pytest.raises(ConfigError, match="no-such-user"):
        read_charter(str(here / "site.ini"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_charter(str(here / "none.ini"))


def tcp(host, port):
    return Address("tcp", host, port)


@pytest.mark.parametrize(
    ("named", "asked", "granted"),
    [
        (tcp("127.0.0.1", 80), tcp("127.0.0.1", 80), True),
        (tcp("127.0.0.1", 80), tcp("127.0.0.1", 81), False),
        (tcp("127.0.0.1", 80), tcp("127.0.0.2", 80), False),
        (tcp("", 80), tcp("0.0.0.0", 80), True),
        (tcp("", 80), tcp("::", 80), True),
        (tcp("", 80), tcp("127.0.0.1", 80), False),
        (tcp("localhost", 80), tcp("127.0.0.1", 80), True),
        (tcp("no-such.invalid", 80), tcp("127.0.0.1", 80), False),
        (tcp("::1", 0), tcp("::1", 4000), True),
        (tcp("::1", 0), tcp("::1", 0), True),
        (tcp("::1", 0), tcp("::1", 25), False),
        (Address("unix", path="/a"), Address("unix", path="/a"), True),
        (Address("unix", path="/a"), Address("unix", path="/b"), False),
        (Address("systemd", path="a"), Address("systemd", path="a"), False),
        (Address("fd", port=3), Address("fd", port=3), False),
    ],
)
def test_addresses(named, asked, granted):
    assert Charter((named,)).may_bind(asked) is granted


def test_an_app_is_granted_as_it_is_written():
    app = App("a", "m:a", env={"A": "1"}, place=Place("x", 1))
    charter = Charter(apps={"a": app})
    for same in (app, dataclasses.replace(app, place=Place("y", 2), workers=9, timeout=1.0)):
        assert charter.app("a", fingerprint(same)) is app
    for other in ({"wsgi": "m:b"}, {"env": {"A": "2"}}, {"path": ("/x",)}, {"user": "root"}, {"group": "root"}):
        assert charter.app("a", fingerprint(dataclasses.replace(app, **other))) is None
    assert charter.app("b", fingerprint(app)) is None
