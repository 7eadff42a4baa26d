from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, make_head
from tinfront.front import accesslog
from tinfront.front.accesslog import BATCH, FORMATS, AccessLog, Moments, combined, escaped, json_line
from tinfront.interfaces import IObserver


class Over(FakeExchange):
    """One that is over."""

    def __init__(self, head: Any = None, **more: Any) -> None:
        super().__init__(head, **more)
        self.started = self.received = 100.0
        self.answered = 100.5
        self.ended = 101.25
        self.sent = 512
        self.reason = ""
        self.code = 200

    @property
    def status(self) -> int:
        return self.code


def moments(wall: float = 1_795_357_683.25) -> Moments:
    made = Moments()
    made.set(wall, 101.25)
    return made


def test_combined() -> None:
    head = make_head(fields={"user-agent": "me", "referer": "http://demo.test/"}, query="a=b")
    line = combined(Over(head), moments())
    pattern = (
        r'127\.0\.0\.1 - - \[2\d/Nov/2026:\d\d:\d\d:03 [+-]\d{4}\] "GET /\?a=b HTTP/1\.1" 200 512 '
        r'"http://demo\.test/" "me"\n'
    )
    assert re.fullmatch(pattern, line)
    assert combined(Over(peer=("", 0)), moments()).startswith("unix: - - [")
    assert combined(Over(), moments()).endswith('"-" "-"\n')


def test_nothing_can_forge_a_line() -> None:
    head = make_head(fields={"user-agent": 'x"\\ \x1b[2J\xe9', "referer": "a\tb"}, target='/"%0a')
    line = combined(Over(head), moments())
    assert '"GET /\\x22%0a HTTP/1.1"' in line
    assert line.endswith('"a\\x09b" "x\\x22\\x5C \\x1B[2J\\xE9"\n')
    assert line.count("\n") == 1
    assert line.isascii()


def test_escaped() -> None:
    harmless = "".join(chr(code) for code in range(32, 127) if chr(code) not in '"\\')
    assert escaped(harmless) is harmless
    assert escaped('"\\\x7f\r\n\xff') == r"\x22\x5C\x7F\x0D\x0A\xFF"


def test_json() -> None:
    exchange = Over(make_head(fields={"user-agent": 'x"\n\xe9'}), secure=True)
    exchange.queued, exchange.claimed, exchange.pid, exchange.retries = 100.1, 100.2, 42, 1
    exchange.reason = "body-too-large"
    line = json_line(exchange, moments())
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    found = json.loads(line)
    assert found["time"].endswith(":03.250Z")
    assert found["scheme"] == "https"
    assert found["user_agent"] == 'x"\n\xe9'
    assert (found["status"], found["bytes"], found["pid"], found["retries"]) == (200, 512, 42, 1)
    assert (found["time_total"], found["queue_time"], found["app_time"], found["send_time"]) == (1.25, 0.1, 0.3, 0.75)
    assert (found["reason"], found["site"]) == ("body-too-large", "")


def test_json_of_one_that_was_never_answered() -> None:
    exchange = Over()
    exchange.answered = exchange.claimed = exchange.queued = 0.0
    found = json.loads(json_line(exchange, moments()))
    assert (found["queue_time"], found["app_time"], found["send_time"]) == (0.0, 0.0, 0.0)


def test_moments_are_made_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    made = moments(1000.9)
    first = made.clf(101.25)
    assert made.clf(101.3) is first
    assert made.clf(101.36) is not first
    assert made.iso(101.25)[-5:] in (".900Z", ".899Z")
    for number in range(1000):
        assert re.fullmatch(r"\S+T\d\d:\d\d:\d\d\.\d{3}Z", made.iso(101.25 + number / 999))


# --- the log


def lines(path: Path) -> list[str]:
    return path.read_text("latin-1").splitlines()


def simple(exchange: Any, when: Moments) -> str:
    return f"{exchange.head.target}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def ended(target: str) -> Any:
    return Over(make_head(target=target))


def test_the_interface(path: Path) -> None:
    verifyObject(IObserver, AccessLog(str(path), simple))


def test_one_line_per_exchange_in_order(path: Path) -> None:
    log = AccessLog(str(path), simple)
    log.start()
    for number in range(BATCH * 3 + 5):
        log.on_finish(ended(f"/{number}"))
    log.stop()
    assert lines(path) == [f"/{number}" for number in range(BATCH * 3 + 5)]
    assert log.dropped == 0
    assert path.stat().st_mode & 0o777 == 0o640


def test_it_appends(path: Path) -> None:
    path.write_text("before\n")
    log = AccessLog(str(path), simple)
    log.start()
    log.on_finish(ended("/after"))
    log.stop()
    assert lines(path) == ["before", "/after"]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AccessLog(str(tmp_path / "missing" / "log"), simple).start()


def test_standard_output(capfd: Any) -> None:
    log = AccessLog("-", simple)
    log.start()
    log.on_finish(ended("/out"))
    log.stop()
    assert capfd.readouterr().out == "/out\n"


def test_a_renamed_file_is_left_for_a_new_one(path: Path) -> None:
    log = AccessLog(str(path), simple)
    log.start()
    log.on_finish(ended("/1"))
    log.flush()
    written = threading.Event()
    write = log._writer._write

    def watched(data: bytes) -> None:
        write(data)
        written.set()

    log._writer._write = watched  # type: ignore[method-assign]
    log.on_finish(ended("/2"))
    log.flush()
    assert written.wait(10)
    old = path.with_suffix(".1")
    path.rename(old)
    log.reopen()
    log.on_finish(ended("/3"))
    log.stop()
    assert lines(old) == ["/1", "/2"]
    assert lines(path) == ["/3"]


def test_a_disk_that_does_not_keep_up_costs_lines_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesslog, "QUEUE_MAX", 10)
    log = AccessLog(str(path), simple)  # nobody writes yet
    for number in range(4):
        log.on_finish(ended(f"/{number}"))
        log.flush()
    assert log.dropped == 1
    said: list[Any] = []
    teller = Logger(namespace="test", observer=said.append)
    log.report(teller)
    log.report(teller)
    assert [event["count"] for event in said] == [1]
    log.start()
    log.stop()
    assert lines(path) == ["/0", "/1", "/2"]


def test_a_full_disk_costs_lines_only() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    log = AccessLog("/dev/full", simple)
    log.start()
    for _ in range(BATCH * 2):
        log.on_finish(ended("/x"))
    log.stop()
    assert not log._writer._thread.is_alive()
    assert log._writer._waiting == 0


def test_after_the_stop_lines_are_dropped(path: Path) -> None:
    log = AccessLog(str(path), simple)
    log.start()
    log.stop()
    log.on_finish(ended("/late"))
    log.flush()
    assert log.dropped == 1


def test_one_that_was_never_started_stops(path: Path) -> None:
    log = AccessLog(str(path), simple)
    log.on_finish(ended("/x"))
    log.stop()
    assert not path.exists()


def test_formats_have_names() -> None:
    assert list(FORMATS.items()) == [("combined", combined), ("json", json_line)]


def test_it_moves_and_changes_its_lines(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    log = AccessLog(str(path), lambda exchange, moments: "old\n")
    log.start()
    log.on_finish(Over())
    log.change(str(other), lambda exchange, moments: "new\n")
    log.on_finish(Over())
    log.change(str(other), lambda exchange, moments: "newer\n")
    log.on_finish(Over())
    log.stop()
    assert (path.read_text(), other.read_text()) == ("old\n", "new\nnewer\n")


def test_it_stays_where_it_is_if_it_cannot_move(path: Path, tmp_path: Path) -> None:
    log = AccessLog(str(path), lambda exchange, moments: "old\n")
    log.start()
    with pytest.raises(OSError, match="missing"):
        log.change(str(tmp_path / "missing" / "log"), lambda exchange, moments: "new\n")
    log.on_finish(Over())
    log.stop()
    assert path.read_text() == "old\n"


def test_one_that_was_opened_in_vain_is_closed(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    log = AccessLog(str(path), combined)
    log.open()
    log.stop()
    assert len(os.listdir("/proc/self/fd")) == before
