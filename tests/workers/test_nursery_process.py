"""The handle on a nursery, with the test in the nursery's place."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import tinfront
from tinfront.config.model import App
from tinfront.workers import frames
from tinfront.workers.frames import BORN, IMPORTED, encode_order
from tinfront.workers.jobs import JobQueue
from tinfront.workers.nursery_process import INHERITED, NurseryProcess, command, environment


class Process:
    """A ``Popen`` that ends when it is killed."""

    pid = 4711

    def __init__(self) -> None:
        self.killed = False

    def poll(self) -> int | None:
        return -9 if self.killed else None

    def kill(self) -> None:
        self.killed = True


class Keeper:
    def __init__(self) -> None:
        self.failure: OSError | None = None

    def start_nursery(self, app: App, preload: bool, inherited: Any) -> Process:
        if self.failure is not None:
            raise self.failure
        self.argv, self.inherited = command(app, preload, inherited), dict(inherited)
        self.settings = json.loads(self.argv[-1])
        self.control = socket.socket(fileno=os.dup(self.settings["control"]))
        self.log = os.dup(self.settings["log"])
        return Process()


class Nurse:
    def __init__(self) -> None:
        self.reports: list[Any] = []
        self.ends = 0

    def on_report(self, process: Any, *report: Any) -> None:
        self.reports.append(report)

    def on_end(self, process: Any) -> None:
        self.ends += 1


@pytest.fixture
def parts(quiet_loop: Any, log: Any) -> Iterator[tuple[NurseryProcess, Keeper, Nurse]]:
    queue = JobQueue(1, 1, quiet_loop)
    queue.open()
    keeper, nurse = Keeper(), Nurse()
    app = App("site", "mod:app", path=("/a", "/b"), chdir="/c", env={"SECRET": "hush"}, workers=3)
    process = NurseryProcess(app, quiet_loop, log.logger, nurse)
    process.start(keeper, queue, True)
    yield process, keeper, nurse
    process.kill()
    os.close(keeper.log)
    assert process.reap()
    keeper.control.close()
    queue.close()


def test_what_it_is_started_with(parts: Any, log: Any) -> None:
    _, keeper, _ = parts
    assert keeper.argv[1:3] == ["-P", "-c"]
    assert keeper.argv[4:6] == [os.path.dirname(tinfront.__file__), tinfront.__version__]
    assert "hush" not in " ".join(keeper.argv)
    settings = keeper.settings
    assert tuple(keeper.inherited) == INHERITED
    assert keeper.inherited == {name: settings[name] for name in INHERITED}
    assert (settings["wsgi"], settings["path"], settings["chdir"]) == ("mod:app", ["/a", "/b"], "/c")
    assert (settings["preload"], settings["multiprocess"], settings["name"]) == (True, True, "site")


def test_orders_and_reports(parts: Any, quiet_loop: Any) -> None:
    process, keeper, nurse = parts
    assert process.order(frames.KILL, 7, 9)
    assert frames.decode_order(keeper.control.recv(1000)) == (frames.KILL, 7, 9, "")
    reader, writer = os.pipe()
    keeper.control.send(encode_order(IMPORTED))
    socket.send_fds(keeper.control, [encode_order(BORN, 1, 42)], [reader])
    quiet_loop.until(lambda: len(nurse.reports) == 2)
    assert nurse.reports[0] == (IMPORTED, 0, 0, "", [])
    assert nurse.reports[1][:3] == (BORN, 1, 42)
    (fd,) = nurse.reports[1][4]
    assert not os.get_inheritable(fd)
    for number in (fd, reader, writer):
        os.close(number)


@pytest.mark.parametrize("garbage", [b"", b"x"])
def test_garbage_is_an_end(parts: Any, quiet_loop: Any, garbage: bytes) -> None:
    process, keeper, nurse = parts
    keeper.control.send(garbage) if garbage else keeper.control.close()
    quiet_loop.until(lambda: nurse.ends)
    assert nurse.ends == 1
    assert not process.order(frames.KILL, 7, 9)


def test_orders_that_do_not_fit_are_not_sent(parts: Any) -> None:
    process, _, _ = parts
    assert any(not process.order(frames.KILL, 7, 9) for _ in range(10_000))


def test_it_is_waited_for(parts: Any) -> None:
    process, _, _ = parts
    assert not process.reap()
    process.kill()
    assert process.reap()


def test_a_start_that_fails_leaves_nothing_open(quiet_loop: Any, log: Any) -> None:
    queue = JobQueue(1, 1, quiet_loop)
    queue.open()
    keeper = Keeper()
    keeper.failure = OSError(2, "No such file")
    before = sorted(os.listdir("/proc/self/fd"))
    process = NurseryProcess(App("site", "mod:app"), quiet_loop, log.logger, Nurse())
    with pytest.raises(OSError, match="No such file"):
        process.start(keeper, queue, True)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert process.reap()
    queue.close()


def test_an_app_s_environment() -> None:
    app = App("site", "mod:app", env={"SECRET": "hush", "USER": "none"})
    given = {"PATH": "/bin", "HOME": "/root", "NOTIFY_SOCKET": "/run/n", "LISTEN_FDS": "1", "WATCHDOG_USEC": "1"}
    assert environment(app, given) == {"PATH": "/bin", "HOME": "/root", "SECRET": "hush", "USER": "none"}
    person = {"HOME": "/home/x", "USER": "x"}
    assert environment(app, given, person)["HOME"] == "/home/x"
    assert environment(app, given, person)["USER"] == "none"
