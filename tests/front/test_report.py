from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.logger import Logger, LogLevel, formatEvent

from tests.transports import Front
from tinfront.front.report import LINES_MAX, REASONS_MAX, Pace, Report


class Lines(list[tuple[str, str]]):
    """An observer that keeps level and text."""

    def __call__(self, event: Any) -> None:
        self.append((event["log_level"].name, formatEvent(event)))

    def report(self) -> Report:
        return Report(Logger("test", observer=self))


def test_one_line_says_why() -> None:
    lines = Lines()
    front = Front(lambda exchange: exchange.refuse(503, "queue-full", "no room"), report=lines.report())
    front.exchange(b"GET /a?b HTTP/1.1\r\nHost: demo.test\r\n\r\n")
    [exchange] = front.over
    assert lines == [("info", f'192.0.2.7 "GET /a?b" 503 queue-full: no room [{exchange.request_id}]')]


def test_what_is_not_found_is_for_debugging() -> None:
    lines = Lines()
    front = Front(lambda exchange: exchange.refuse(404, "not-found"), report=lines.report())
    front.exchange(b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n")
    assert [level for level, _ in lines] == [LogLevel.debug.name]


def test_a_line_holds_what_was_understood_of_the_request_and_no_control_characters() -> None:
    lines = Lines()
    front = Front(report=lines.report())
    front.exchange(b'GET /\x1b[2J"\r HTTP/1.1\r\nHost: a\r\n\r\n')
    front.exchange(b"\x16\x03\x01")
    assert [line.partition(" [")[0].split(" ", 1)[1] for _, line in lines] == [
        r'"GET /\x1B[2J\x22\x0D" 400 bad-request-line: the request line is malformed',
        '"- -" 400 tls-on-plain-port: the client speaks TLS on a port for plain HTTP',
    ]


def test_a_flood_is_counted() -> None:
    lines = Lines()
    report = lines.report()
    front = Front(report=report)
    for _ in range(LINES_MAX + 7):
        front.exchange(b"BROKEN\r\n\r\n")
    front.exchange(b"GET / HTTP/1.1\r\n\r\n")
    assert len(lines) == LINES_MAX + 1  # another reason has its own count
    assert len(front.over) == LINES_MAX + 8  # the access log has them all
    report.tick()
    assert lines[-1] == ("info", "bad-request-line: and 7 more")
    report.tick()
    assert len(lines) == LINES_MAX + 2
    front.exchange(b"BROKEN\r\n\r\n")
    assert len(lines) == LINES_MAX + 3


def test_connections_given_up_are_counted_alike() -> None:
    lines = Lines()
    report = lines.report()
    for _ in range(LINES_MAX + 1):
        report.lost("", "bad-frame", "what is this")
    assert lines == [("info", "unix: bad-frame: what is this")] * LINES_MAX


def test_tracebacks_are_bounded_too() -> None:
    lines = Lines()

    def fail(exchange: Any) -> None:
        raise RuntimeError("a handler's")

    front = Front(fail, report=lines.report())
    for _ in range(LINES_MAX + 5):
        front.exchange(b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n")
    assert len(front.over) == LINES_MAX + 5
    assert Counter(level for level, _ in lines) == {"critical": LINES_MAX, "info": LINES_MAX}


def test_where_nobody_ticks_seconds_are_counted() -> None:
    now = [100.0]
    pace = Pace(lambda: now[0])
    assert [pace.lets() for _ in range(LINES_MAX + 3)] == [True] * LINES_MAX + [False] * 3
    now[0] += 0.9
    assert not pace.lets()
    now[0] += 0.2
    assert pace.lets()


def test_made_up_reasons_are_bounded() -> None:
    report = Lines().report()
    for number in range(REASONS_MAX * 2):
        report.lost("::1", f"reason-{number}", "")
    assert len(report._counts) <= REASONS_MAX + 1
