from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Iterator

import pytest
from twisted.logger import Logger, textFileLogObserver

from tinfront.front import accesslog
from tinfront.front.errorlog import ErrorLog


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a small one."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    yield ends
    for fd in ends:
        os.close(fd)


def test_lines_come_out_as_they_went_in(pipe: tuple[int, int]) -> None:
    log = ErrorLog(pipe[1])
    log.start()
    Logger("test", observer=textFileLogObserver(log)).info("ein schöner Tag")
    assert log.write("and \udc80 more\n") == 11
    log.flush()
    log.stop()
    lines = os.read(pipe[0], 10_000).decode().splitlines()
    assert lines[0].endswith("[test#info] ein schöner Tag")
    assert lines[1:] == ["and \\udc80 more"]
    os.write(pipe[1], b"x")  # the descriptor is still open


def test_a_pipe_that_nobody_reads_stops_nobody(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stop for ever: a write into the full pipe blocks."""
    monkeypatch.setattr(accesslog, "QUEUE_MAX", 10_000)
    log = ErrorLog(pipe[1])
    log.start()
    line = "x" * 99 + "\n"
    for _ in range(1000):
        log.write(line)
    assert log.dropped >= 1000 - (10_000 + 4096) // 100
    kept = 1000 - log.dropped
    # now somebody reads
    text = ""
    while text.count("x\n") < kept:
        text += os.read(pipe[0], 65536).decode()
    assert text == line * kept
    eventually = threading.Event()
    while log._writer._waiting:
        eventually.wait(0.01)
    log.write("the next\n")
    log.write("and one more\n")
    log.stop()
    assert os.read(pipe[0], 65536).decode() == (
        f"… {log.dropped} lines of this log were lost: nobody reads them\nthe next\nand one more\n"
    )


def test_the_end_does_not_wait_for_ever(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinfront.front.errorlog.FAREWELL", 0.01)
    log = ErrorLog(pipe[1])
    log.start()
    log.write("x" * 100_000)
    log.stop()
    assert log._writer._thread.is_alive()
    while log._writer._thread.is_alive():  # or it would be left behind by this test
        if select.select([pipe[0]], [], [], 0.05)[0]:
            os.read(pipe[0], 65536)
