"""A nursery, started and ordered by hand."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.workers.conftest import SITES, Keeper, Log, SelectLoop
from tinfront.config.model import App
from tinfront.workers import frames
from tinfront.workers.board import Board, create_board
from tinfront.workers.frames import BORN, DIED, FAILED, FORK, IMPORTED, KILL, PING, THREADED
from tinfront.workers.jobs import JobQueue
from tinfront.workers.nursery_process import NurseryProcess


class Hand:
    """A ``Nurse`` that records."""

    def __init__(
        self, loop: SelectLoop, wsgi: str = "jobs_site:application", preload: bool = True, **options: Any
    ) -> None:
        self.loop = loop
        self.log = Log()
        self.reports: list[tuple[Any, ...]] = []
        self.ends = 0
        self.fds: list[int] = []
        self.queue = JobQueue(1, 1, loop)
        self.queue.open()
        app = App("site", wsgi, path=(str(SITES),), **options)
        self.process = NurseryProcess(app, loop, self.log.logger, self)
        self.process.start(Keeper(), self.queue, preload)

    def on_report(self, process: Any, kind: int, first: int, second: int, text: str, fds: list[int]) -> None:
        assert process is self.process
        self.reports.append((kind, first, second, text))
        self.fds += fds

    def on_end(self, process: Any) -> None:
        self.ends += 1

    def wait(self, kind: int, number: int = 1) -> Any:
        def come() -> list[Any]:
            return [report for report in self.reports if report[0] == kind]

        self.loop.until(lambda: len(come()) >= number, f"no report {kind}: {self.reports} {self.log.text}")
        return come()[number - 1]

    def fork(self, seat: int = 0) -> tuple[int, socket.socket]:
        """Returns the pid and our end of the reply stream."""
        stream, theirs = socket.socketpair()
        files, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stream.settimeout(20)
        null = os.open(os.devnull, os.O_WRONLY)
        assert self.process.order(FORK, seat, fds=[null, null, files.fileno(), theirs.fileno()])
        for sock in (theirs, files, _):
            sock.close()
        os.close(null)
        born = sum(report[0] == BORN for report in self.reports)
        return self.wait(BORN, born + 1)[2], stream

    def close(self) -> None:
        self.process.close()
        self.loop.until(self.process.reap)
        self.queue.close()
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def hand(quiet_loop: SelectLoop) -> Iterator[Hand]:
    hand = Hand(quiet_loop)
    yield hand
    hand.close()


def test_a_worker_is_born_serves_and_dies(hand: Hand) -> None:
    hand.wait(IMPORTED)
    pid, stream = hand.fork()
    assert frames.Decoder().feed(stream.recv(1000))[0][0] == frames.READY
    names = [os.readlink(f"/proc/self/fd/{fd}") for fd in hand.fds]
    assert names == ["/memfd:tinfront-sources (deleted)", "anon_inode:[pidfd]"]
    assert hand.process.order(KILL, pid, signal.SIGKILL)
    kind, died, status, text = hand.wait(DIED)
    assert (kind, died, status) == (DIED, pid, signal.SIGKILL)
    assert "KiB" in text
    assert stream.recv(10) == b""
    assert select.select(hand.fds[1:], [], [], 5)[0] == hand.fds[1:]
    stream.close()


def test_it_signals_only_its_own_workers(hand: Hand) -> None:
    hand.wait(IMPORTED)
    bystander = os.fork()
    if not bystander:
        signal.pause()
        os._exit(0)
    hand.process.order(KILL, bystander, signal.SIGKILL)
    pid, stream = hand.fork()
    hand.process.order(KILL, pid, signal.SIGKILL)
    hand.wait(DIED)
    assert os.waitpid(bystander, os.WNOHANG) == (0, 0)
    os.kill(bystander, signal.SIGKILL)
    os.waitpid(bystander, 0)
    stream.close()


def test_when_the_front_hangs_up_all_end(hand: Hand) -> None:
    hand.wait(IMPORTED)
    pid, stream = hand.fork()
    assert stream.recv(1000)
    hand.process.close()
    hand.loop.until(hand.process.reap)
    assert stream.recv(10) == b""
    assert not os.path.exists(f"/proc/{pid}")
    assert not hand.process.order(KILL, pid, signal.SIGKILL)
    stream.close()


def test_it_says_that_it_is_alive(hand: Hand) -> None:
    hand.wait(IMPORTED)
    assert hand.process.order(PING, 7)
    assert hand.wait(PING) == (PING, 7, 0, "")


def test_an_unknown_order_is_not_obeyed(hand: Hand) -> None:
    hand.wait(IMPORTED)
    assert hand.process.order(99, 1, 2)
    pid, stream = hand.fork()
    assert pid > 0
    stream.close()


@pytest.mark.parametrize(
    ("wsgi", "kind", "told"),
    [
        ("broken_site:application", FAILED, "LookupError: this site is broken on purpose"),
        ("jobs_site:nothing", FAILED, "AttributeError"),
        ("threaded_site:application", THREADED, "("),
    ],
)
def test_apps_that_it_cannot_fork(quiet_loop: SelectLoop, wsgi: str, kind: int, told: str) -> None:
    hand = Hand(quiet_loop, wsgi)
    assert told in hand.wait(kind)[3]
    quiet_loop.until(lambda: hand.ends)
    assert not hand.process.imported
    hand.close()


def test_without_preload_it_imports_nothing(quiet_loop: SelectLoop) -> None:
    hand = Hand(quiet_loop, "broken_site:application", preload=False)
    hand.wait(IMPORTED)
    _, stream = hand.fork()
    ((kind, *_, body),) = frames.Decoder().feed(stream.recv(100_000))
    assert kind == frames.BROKEN
    assert b"LookupError: this site is broken on purpose" in body
    assert os.waitstatus_to_exitcode(hand.wait(DIED)[2]) == 3
    stream.close()
    hand.close()


def test_a_directory_that_cannot_be_entered(quiet_loop: SelectLoop) -> None:
    hand = Hand(quiet_loop, chdir="/no/such/directory")
    assert "FileNotFoundError" in hand.wait(FAILED)[3]
    hand.close()


def test_what_the_app_says_at_import_is_logged(quiet_loop: SelectLoop, tmp_path: Any) -> None:
    (tmp_path / "talking_site.py").write_text(
        "import os, sys\nprint('to stdout')\nprint('to stderr', file=sys.stderr)\nos.write(2, b'to descriptor\\n')\n"
        "def application(e, s): ...\n"
    )
    hand = Hand(quiet_loop, "talking_site:application", chdir=str(tmp_path), env={"PYTHONPATH": str(tmp_path)})
    hand.wait(IMPORTED)
    quiet_loop.until(lambda: len(hand.log.lines) >= 3)
    pid = hand.process._process.pid  # type: ignore[union-attr]
    assert hand.log.lines == [f"[site] pid={pid} req=- to {where}" for where in ("stdout", "stderr", "descriptor")]
    hand.close()


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("end", ["sys.exit(0)", "raise ValueError", "pass"])
def test_what_the_app_forks_at_import_reports_nothing(
    quiet_loop: SelectLoop, tmp_path: Any, end: str, preload: bool
) -> None:
    (tmp_path / "forking_site.py").write_text(
        "import os, sys\npid = os.fork()\n"
        f"if pid:\n    os.waitpid(pid, 0)\nelse:\n    {end}\ndef application(e, s): ...\n"
    )
    hand = Hand(quiet_loop, "forking_site:application", preload=preload, env={"PYTHONPATH": str(tmp_path)})
    hand.wait(IMPORTED)
    _, stream = hand.fork()
    frame = frames.Decoder().feed(stream.recv(1000))[0]
    assert frame[0] == frames.READY
    assert {report[0] for report in hand.reports} <= {IMPORTED, BORN, frames.SOURCES}
    stream.close()
    hand.close()


def test_a_board_is_what_it_inherits() -> None:
    fd = create_board(2)
    board = Board(fd)
    assert board.slots == 2
    board.close()
    os.close(fd)
