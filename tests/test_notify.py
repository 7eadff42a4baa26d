"""What systemd is told."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from tinfront.notify import Notifier

URLS = ["http://127.0.0.1:80"]


class Systemd:
    """The other end."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["a path", "an abstract name"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "a path" else f"@tinfront-test-{os.getpid()}"


@pytest.fixture
def systemd(path: str) -> Iterator[Systemd]:
    systemd = Systemd(path)
    yield systemd
    systemd.socket.close()


def started(path: str, **environ: str) -> tuple[Notifier, Clock]:
    clock = Clock()
    return Notifier(clock, {"NOTIFY_SOCKET": path, **environ}), clock


def test_it_is_ready_when_every_app_has_started_or_failed(path: str, systemd: Systemd) -> None:
    notifier, _ = started(path)
    good: Deferred[bool] = Deferred()
    bad: Deferred[bool] = Deferred()
    notifier.start(URLS, [good, bad])
    good.callback(True)
    assert systemd.heard() == ["STATUS=starting the applications"]
    bad.callback(False)
    assert systemd.heard() == ["READY=1\nSTATUS=serving http://127.0.0.1:80"]
    notifier.close()


def test_a_reload_begins_and_ends(path: str, systemd: Systemd) -> None:
    notifier, _ = started(path)
    notifier.start(URLS, [])
    notifier.reloading()
    notifier.ready(["http://b"], "; the last reload has failed")
    _, _, begun, ended = systemd.heard()
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=reloading", begun)
    assert ended == "READY=1\nSTATUS=serving http://b; the last reload has failed"
    notifier.close()


def test_a_reload_while_the_apps_start_is_no_news(path: str, systemd: Systemd) -> None:
    notifier, _ = started(path)
    notifier.start(URLS, [Deferred()])
    systemd.heard()
    notifier.reloading()
    notifier.ready(URLS)
    assert systemd.heard() == []
    notifier.close()


def test_the_end(path: str, systemd: Systemd) -> None:
    notifier, _ = started(path)
    booting: Deferred[bool] = Deferred()
    notifier.start(URLS, [booting])
    notifier.stopping()
    assert systemd.heard()[-1].startswith("STOPPING=1\n")
    booting.callback(False)
    assert systemd.heard() == []
    notifier.close()


def test_the_watchdog_hears_of_it_twice_in_its_time(path: str, systemd: Systemd) -> None:
    notifier, clock = started(path, WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid()))
    notifier.start(URLS, [])
    systemd.heard()
    clock.pump([1.5, 1.5])
    assert systemd.heard() == ["WATCHDOG=1", "WATCHDOG=1"]
    notifier.close()
    assert not clock.getDelayedCalls()


def test_the_watchdog_of_somebody_else(path: str, systemd: Systemd) -> None:
    notifier, clock = started(path, WATCHDOG_USEC="3000000", WATCHDOG_PID="1")
    notifier.start(URLS, [succeed(True)])
    assert not clock.getDelayedCalls()
    notifier.close()


def test_workers_do_not_see_it(path: str, systemd: Systemd) -> None:
    environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    Notifier(Clock(), environ).close()
    assert environ == {"HOME": "/"}


def test_nobody_wants_to_know() -> None:
    clock = Clock()
    notifier = Notifier(clock, {})
    notifier.start(URLS, [])
    notifier.reloading()
    notifier.stopping()
    notifier.close()
    assert not clock.getDelayedCalls()


def test_nobody_is_there_to_hear(tmp_path: Path) -> None:
    notifier, _ = started(str(tmp_path / "gone"))
    notifier.start(URLS, [])
    notifier.close()
