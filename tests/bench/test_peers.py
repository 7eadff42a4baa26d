from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

import pytest

from bench import peers
from bench.peers import PEERS, Peer, Place

BY_NAME = {peer.name: peer for peer in PEERS}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    work = tmp_path / "work"
    work.mkdir()
    return Place(work, tmp_path / "www", tmp_path / "app", tmp_path / "c.pem", tmp_path / "c.key", 8001, 8002)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put commands beside this Python that print a version and nothing else."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in ("nginx", "gunicorn", "uwsgi", "granian", "tinfront", "wrk"):
        command = bin_ / name
        command.write_text(f"#!/bin/sh\necho '{name} version 1.2.3'\n")
        command.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bin_ / "python"))
    return bin_


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_can_be_prepared_and_nothing_is_left_to_fill_in(peer: Peer, place: Place) -> None:
    commands = peer.prepare(place)
    assert commands
    for path in place.work.iterdir():
        text = path.read_text()
        assert not re.search(r"\{\w+\}", text), path
        assert "{{" not in text
        assert text.count("{") == text.count("}")
    told = "".join(path.read_text() for path in place.work.iterdir()) + str(commands)
    assert "8001" in told


@pytest.mark.parametrize("name", ["nginx", "nginx+gunicorn", "nginx+uwsgi"])
def test_nginx_has_what_makes_it_fast_and_logs(name: str, place: Place) -> None:
    BY_NAME[name].prepare(place)
    text = (place.work / "nginx.conf").read_text()
    for line in ("worker_processes 1;", "sendfile on;", "tcp_nopush on;", "open_file_cache max=", "TLSv1.2 TLSv1.3;"):
        assert line in text
    assert f"access_log {place.work}/access.log combined" in text


def test_the_apps_behind_nginx_are_reached_over_a_socket_and_do_not_log_as_well(place: Place) -> None:
    BY_NAME["nginx+gunicorn"].prepare(place)
    settings: dict[str, object] = {}
    exec((place.work / "gunicorn.conf.py").read_text(), settings)
    assert settings["bind"] == f"unix:{place.work}/app.sock"
    assert (settings["workers"], settings["worker_class"], settings["accesslog"]) == (2, "sync", None)
    BY_NAME["nginx+uwsgi"].prepare(place)
    uwsgi = (place.work / "uwsgi.ini").read_text()
    assert f"uwsgi-socket = {place.work}/app.sock" in uwsgi
    assert "processes = 2" in uwsgi
    assert "disable-logging = true" in uwsgi


@pytest.mark.parametrize(
    ("name", "mode", "count"), [("tinfront-prefork", "prefork", "workers"), ("tinfront-threads", "threads", "threads")]
)
def test_tinfront_is_configured_by_its_ini(name: str, mode: str, count: str, place: Place) -> None:
    [argv] = BY_NAME[name].prepare(place)
    assert argv[1:] == ["run", str(place.work / "tinfront.ini")]
    ini = configparser.ConfigParser()
    ini.read(argv[2])
    assert ini["server"]["access_log"] == str(place.work / "access.log")
    assert ini["listen:http"]["address"] == "127.0.0.1:8001"
    assert ini["site:bench"]["certificate"] == str(place.certificate)
    assert ini["app:hello"]["mode"] == mode
    assert count in ini["app:hello"]


def test_granian_and_tinfront_have_as_many_threads(place: Place) -> None:
    [argv] = BY_NAME["granian"].prepare(place)
    assert argv[argv.index("--blocking-threads") + 1] == str(peers.THREADS)
    assert "--access-log" in argv
    assert "--access-log" not in BY_NAME["granian-quiet"].prepare(place)[0]
    BY_NAME["tinfront-threads"].prepare(place)
    assert f"threads = {peers.THREADS}\n" in (place.work / "tinfront.ini").read_text()


def test_peers_are_chosen_by_name_and_family() -> None:
    assert {peer.name for peer in peers.chosen(["nginx", "tinfront"])} == {
        "nginx", "tinfront-static", "tinfront-prefork", "tinfront-threads",
    }  # fmt: skip
    usual = {peer.name for peer in peers.chosen([])}
    assert "gunicorn-alone" not in usual
    assert {"nginx+gunicorn", "nginx+uwsgi", "granian"} <= usual
    with pytest.raises(ValueError, match="no such peer: apache"):
        peers.chosen(["nginx", "apache"])


def test_every_peer_is_compared_with_a_tinfront_that_takes_part() -> None:
    for peer in PEERS:
        assert peer.name.startswith("tinfront") == (not peer.against)
        if peer.against:
            assert set(peer.kinds) <= set(BY_NAME[peer.against].kinds)


def test_what_is_not_installed_is_named(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert BY_NAME["nginx+gunicorn"].lacks() == ""
    (installed / "gunicorn").unlink()
    monkeypatch.setattr(peers.shutil, "which", lambda *_, **__: None)
    assert BY_NAME["nginx+gunicorn"].lacks() == "not installed: gunicorn"


def test_versions_are_those_that_the_commands_tell() -> None:
    found = peers.versions()
    found.pop("waitress", None)  # a library's: its command does not tell
    assert found == dict.fromkeys(("nginx", "gunicorn", "uwsgi", "granian", "tinfront", "wrk"), "1.2.3")
