"""The app's words on their way to the error log."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

import pytest

from tinfront.workers import applog
from tinfront.workers.applog import RECORD_MAX, AppStream, LogPipe, cut, emit_to, log_line


@pytest.fixture
def pipe(quiet_loop: Any, log: Any) -> Any:
    """(write end, wait for lines)"""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pipe = LogPipe(reader, quiet_loop, log.logger, "site")
    pipe.pid = 7

    def lines(count: int) -> list[str]:
        quiet_loop.until(lambda: len(log.lines) >= count, f"not logged: {log.lines}")
        return log.lines

    yield writer, lines
    pipe.close()
    pipe.close()
    try:
        os.close(writer)
    except OSError:
        pass


@pytest.fixture
def request_id() -> Any:
    applog.current[threading.get_ident()] = "id-1"
    yield "id-1"
    del applog.current[threading.get_ident()]


# --- streams


def test_lines_are_records(request_id: str) -> None:
    records: list[Any] = []
    stream = AppStream(lambda *record: records.append(record), "e")
    stream.write("one\n")
    print("two", "words", file=stream)
    stream.write("begun, ")
    stream.write("ended\nbegun")
    stream.writelines([" again", "\n"])
    stream.flush()
    assert records == [("e", "id-1", text) for text in ("one", "two words", "begun, ended", "begun again")]


def test_several_lines_at_once_stay_together(request_id: str) -> None:
    records: list[Any] = []
    stream = AppStream(lambda *record: records.append(record[2]), "e")
    stream.write("Traceback:\n  line\nError\nrest")
    assert records == ["Traceback:\n  line\nError"]
    assert stream in applog.unfinished
    applog.settle()
    assert records[1:] == ["rest"]
    assert stream not in applog.unfinished


def test_each_thread_has_its_own_line() -> None:
    records: list[Any] = []
    stream = AppStream(lambda *record: records.append(record[1:]), "e")
    stream.write("main ")

    def other() -> None:
        applog.current[threading.get_ident()] = "id-2"
        stream.write("other\n")
        applog.settle()
        del applog.current[threading.get_ident()]

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    stream.write("thread\n")
    assert records == [("id-2", "other"), ("", "main thread")]


def test_a_line_without_end_has_a_bound() -> None:
    records: list[Any] = []
    stream = AppStream(lambda *record: records.append(record[2]), "e")
    for _ in range(10):
        stream.write("x" * (RECORD_MAX // 4))
    applog.settle()
    assert sum(map(len, records)) == 10 * (RECORD_MAX // 4)
    assert max(map(len, records)) <= 2 * RECORD_MAX


def test_what_is_written_must_be_text() -> None:
    with pytest.raises(TypeError, match="wants str, not bytes"):
        AppStream(lambda *record: None, "e").write(b"x")  # type: ignore[arg-type]


def test_it_looks_like_a_text_stream() -> None:
    reader, writer = os.pipe()
    stream = AppStream(lambda *record: None, "e", writer)
    assert stream.fileno() == writer
    assert stream.writable()
    assert not stream.isatty()
    assert stream.encoding == "utf-8"
    stream.buffer.write(b"bytes")
    assert os.read(reader, 10) == b"bytes"
    os.close(reader)
    os.close(writer)
    with pytest.raises(io.UnsupportedOperation):
        AppStream(lambda *record: None, "e").fileno()


def test_cut_keeps_both_ends() -> None:
    assert cut("short") == "short"
    text = cut("a" * RECORD_MAX + "b" * RECORD_MAX)
    assert text.startswith("aaa")
    assert text.endswith("bbb")
    assert f"[{RECORD_MAX} characters cut]" in text
    assert len(text) < RECORD_MAX + 100


def test_a_front_that_is_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    emit_to(writer)("e", "id", "text")
    os.close(writer)


# --- the pipe


def test_records_keep_level_request_and_lines(pipe: Any, log: Any) -> None:
    writer, lines = pipe
    emit_to(writer)("e", "id-1", "Traceback:\n  line\nError")
    emit_to(writer)("i", "", "told")
    assert lines(2) == ["[site] pid=7 req=id-1 Traceback:\n  line\nError", "[site] pid=7 req=- told"]
    assert log.levels == ["error", "info"]


def test_raw_bytes_are_lines(pipe: Any, log: Any) -> None:
    writer, lines = pipe
    os.write(writer, b"Fatal: \xff\r\n\nsecond")
    os.write(writer, b" half\n")
    assert lines(2) == ["[site] pid=7 req=- Fatal: \ufffd", "[site] pid=7 req=- second half"]
    assert log.levels == ["warn", "warn"]


def test_the_rest_comes_at_the_end(pipe: Any) -> None:
    writer, lines = pipe
    os.write(writer, b"no newline")
    os.close(writer)
    assert lines(1) == ["[site] pid=7 req=- no newline"]


def test_a_line_that_never_ends_is_logged_in_parts(pipe: Any, log: Any, quiet_loop: Any) -> None:
    writer, lines = pipe
    os.set_blocking(writer, False)
    sent = 0
    while sent < 8 * RECORD_MAX:
        try:
            sent += os.write(writer, b"x" * 4096)
        except BlockingIOError:
            quiet_loop.turn()
    assert all(len(line) < 5 * RECORD_MAX for line in lines(1))


def test_control_characters_are_taken_out(log: Any) -> None:
    log_line(log.logger, "e", "site", 7, "id\n\x1b", "a\x1b[31m\tb\nc\x00\x9b")
    assert log.lines == ["[site] pid=7 req=id?? a?[31m\tb\nc??"]


def test_braces_are_text(pipe: Any) -> None:
    writer, lines = pipe
    emit_to(writer)("e", "id", "{app} {0} {")
    assert lines(1) == ["[site] pid=7 req=id {app} {0} {"]
