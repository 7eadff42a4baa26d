"""What the disk has said to one process, another can be told."""

import errno
import os

import pytest

from tinfront.config import source
from tinfront.config.source import DISK, FILE_MAX, Record, Recorder


def replay(recorder):
    return Record(recorder.encode())


def test_files_and_patterns(tmp_path):
    (tmp_path / "site.ini").write_bytes(b"[server]\r\n\xff\xc3\xa4\0")
    for name in ("b.ini", "a.ini", "c.txt"):
        (tmp_path / name).write_text(name)
    asked = [
        lambda one: one.read(f"{tmp_path}/site.ini"),
        lambda one: one.match("[ab].ini", str(tmp_path)),
        lambda one: one.match("none/*.ini", str(tmp_path)),
    ]
    expected = [ask(DISK) for ask in asked]
    assert expected[1:] == [["a.ini", "b.ini"], []]
    recorder = Recorder()
    assert [ask(recorder) for ask in asked] == expected
    record = replay(recorder)
    for path in tmp_path.iterdir():
        path.unlink()
    assert [ask(record) for ask in asked] == expected


def test_what_cannot_be_read(tmp_path):
    recorder = Recorder()
    for path in (f"{tmp_path}/missing", str(tmp_path)):
        with pytest.raises(OSError, match=str(tmp_path)) as raised:
            recorder.read(path)
        with pytest.raises(type(raised.value)) as again:
            replay(recorder).read(path)
        assert (again.value.errno, again.value.strerror) == (raised.value.errno, raised.value.strerror)


def test_what_was_not_asked_for_is_not_there(tmp_path):
    (tmp_path / "site.ini").write_text("x")
    record = replay(Recorder())
    with pytest.raises(FileNotFoundError):
        record.read(f"{tmp_path}/site.ini")
    assert record.match("*.ini", str(tmp_path)) == []


def test_one_that_is_too_large_is_seen_to_be(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * FILE_MAX * 2)
    recorder = Recorder()
    recorder.read(f"{tmp_path}/large")
    assert len(replay(recorder).read(f"{tmp_path}/large")) == FILE_MAX + 1


def test_a_record_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "RECORD_MAX", 10)
    recorder = Recorder()
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"123456")
    recorder.read(f"{tmp_path}/one")
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        recorder.read(f"{tmp_path}/two")
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        replay(recorder).read(f"{tmp_path}/two")
