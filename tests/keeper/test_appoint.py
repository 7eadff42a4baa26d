import os

import pytest

from tinfront.config.model import App, Config, Place, Server
from tinfront.errors import ConfigError
from tinfront.keeper import appoint as module
from tinfront.keeper.appoint import appoint, require_rights
from tinfront.keeper.local import LocalKeeper
from tinfront.keeper.remote import RemoteKeeper

NOBODY = {"user": "4000000001", "group": "7"}


def config(file="site.ini", app=None, **server):
    apps = {"a": App("a", "m:a", place=Place("site.ini", 9), **(app or {}))}
    return Config("/here", Server(**server), apps=apps, place=Place(file, 1))


def be(monkeypatch, uid, gid=7):
    monkeypatch.setattr(module.os, "geteuid", lambda: uid)
    monkeypatch.setattr(module.os, "getegid", lambda: gid)


def test_root_that_becomes_somebody_has_a_keeper(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    be(monkeypatch, 0)
    keeper = appoint(config(**NOBODY))
    assert isinstance(keeper, RemoteKeeper)
    assert keeper.owner == (4000000001, 7)
    assert keeper._file == "/here/site.ini"


@pytest.mark.parametrize(
    ("uid", "made"), [(0, config()), (0, config(user="root")), (0, config("", **NOBODY)), (5, config(**NOBODY))]
)
def test_nobody_else(monkeypatch, uid, made):
    be(monkeypatch, uid)
    assert type(appoint(made)) is LocalKeeper


def test_who_is_not_root_cannot_become_others(monkeypatch):
    be(monkeypatch, 5)
    with pytest.raises(ConfigError) as caught:
        require_rights(config(app=NOBODY, **NOBODY))
    assert caught.value.findings == (
        "[server] user: only root can become 4000000001; start the server as root, or as that",
        "site.ini:9: [app:a] user: only root can run it as 4000000001; start the server as root",
    )


@pytest.mark.parametrize(("uid", "gid"), [(0, 0), (4000000001, 7)])
def test_who_is_root_or_is_that_may(monkeypatch, uid, gid):
    be(monkeypatch, uid, gid)
    require_rights(config(app=NOBODY, **NOBODY))
    require_rights(config())
