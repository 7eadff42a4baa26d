"""Entries and their cache."""

import gc
import os
import time

import pytest

from tinfront.handlers.static_cache import ENTRIES_MAX, FILES_MAX, SMALL, Cache, Entry, identity
from tinfront.handlers.static_lookup import Found
from tinfront.http.dates import format_date
from tinfront.http.message import FileSlice, OpenFile

OLD = 1_600_000_000 * 10**9 + 123_456_789


def make_found(path, data=None, mtime_ns=OLD):
    if data is not None:
        path.write_bytes(data)
        os.utime(path, ns=(mtime_ns, mtime_ns))
    return Found(OpenFile(os.open(path, os.O_RDONLY)), os.fsencode(path.name))


def make_entry(path, data=None, now=0.0, cache_control=None, mtime_ns=OLD):
    return Entry(make_found(path, data, mtime_ns), "text/plain", cache_control, now)


@pytest.fixture
def settled(monkeypatch):
    """Files written by the test count as settled."""
    monkeypatch.setattr(time, "time", lambda: 4e9)


def test_a_small_file_is_held_in_memory(tmp_path):
    entry = make_entry(tmp_path / "a", b"hello", cache_control="max-age=5")
    assert entry.body == b"hello"
    assert entry.head.status == 200
    assert entry.head.length == entry.length == 5
    assert entry.etag == f'"{OLD:x}-5"'
    assert entry.modified == OLD // 10**9
    assert entry.head.fields == [
        ("Content-Type", "text/plain"),
        ("Last-Modified", format_date(OLD // 10**9)),
        ("ETag", entry.etag),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "max-age=5"),
    ]
    assert entry.piece(1, 3) == b"ell"


def test_a_304_keeps_only_what_it_should(tmp_path):
    entry = make_entry(tmp_path / "a", b"hello", cache_control="max-age=5")
    assert entry.not_modified.status == 304
    assert entry.not_modified.fields == [("ETag", entry.etag), ("Cache-Control", "max-age=5")]


def test_heads_are_frozen(tmp_path):
    entry = make_entry(tmp_path / "a", b"hello")
    assert entry.head.block.endswith(b"Content-Length: 5\r\n")
    assert entry.not_modified.block is not None


@pytest.mark.parametrize(("size", "kind"), [(0, bytes), (SMALL, bytes), (SMALL + 1, FileSlice)])
def test_the_bound_of_memory(tmp_path, size, kind):
    entry = make_entry(tmp_path / "a", b"x" * size)
    assert isinstance(entry.body, kind)
    assert entry.length == entry.head.length == size


def test_a_larger_file_is_held_open(tmp_path):
    entry = make_entry(tmp_path / "a", b"x" * SMALL + b"tail")
    assert (entry.body.offset, entry.body.length) == (0, SMALL + 4)
    piece = entry.piece(SMALL, 4)
    assert os.pread(piece.file.fd, piece.length, piece.offset) == b"tail"


@pytest.mark.parametrize("second", [0, 1, -5])
def test_dates_that_say_nothing_make_no_validators(tmp_path, second):
    entry = make_entry(tmp_path / "a", b"hello", mtime_ns=second * 10**9)
    assert entry.etag is None
    assert entry.modified is None
    assert [name for name, _ in entry.head.fields] == ["Content-Type", "Accept-Ranges"]


def test_a_date_in_the_future_is_not_told(tmp_path):
    entry = make_entry(tmp_path / "a", b"hello", mtime_ns=4_000_000_000 * 10**9)
    assert entry.modified is None
    assert entry.etag is not None
    assert entry.head.get("last-modified") is None


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    found = make_found(tmp_path / "a", b"hello world")
    os.truncate(tmp_path / "a", 5)
    entry = Entry(found, "text/plain", None, 0.0)
    assert entry.body == b"hello"
    assert entry.length == entry.head.length == 5
    assert entry.etag.endswith('-5"')


def test_a_file_that_grows_while_it_is_read(tmp_path):
    found = make_found(tmp_path / "a", b"hello")
    (tmp_path / "a").write_bytes(b"hello world")
    assert Entry(found, "text/plain", None, 0.0).body == b"hello world"


def test_a_file_that_never_rests_is_left_to_the_outbox(tmp_path, monkeypatch):
    found = make_found(tmp_path / "a", b"hello")
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: b"")
    entry = Entry(found, "text/plain", None, 0.0)
    assert isinstance(entry.body, FileSlice)
    assert entry.length == entry.body.length == 5


def test_what_was_changed_a_moment_ago_is_read_again(tmp_path):
    cache = Cache(10**6)
    cache.keep("/a", make_entry(tmp_path / "a", b"one"))
    assert cache.renew("/a", make_found(tmp_path / "a"), 5.0) is None


@pytest.mark.usefixtures("settled")
def test_what_has_not_changed_is_renewed(tmp_path):
    cache = Cache(10**6)
    entry = make_entry(tmp_path / "a", b"one", now=10.0)
    cache.keep("/a", entry)
    assert entry.fresh_until == 11.0
    assert cache.renew("/a", make_found(tmp_path / "a"), 20.0) is entry
    assert entry.fresh_until == 21.0
    assert cache.renew("/b", make_found(tmp_path / "a"), 20.0) is None


@pytest.mark.usefixtures("settled")
def test_a_change_that_resets_the_date_is_noticed(tmp_path):
    cache = Cache(10**6)
    cache.keep("/a", make_entry(tmp_path / "a", b"one"))
    before = identity(make_found(tmp_path / "a"))
    other = make_found(tmp_path / "b", b"two")  # same size, same date
    other.name = b"a"
    assert identity(other) != before
    assert cache.renew("/a", other, 5.0) is None


def test_bytes_are_bounded_and_the_oldest_go(tmp_path):
    cache = Cache(25_000)
    for number in range(5):
        cache.keep(f"/{number}", make_entry(tmp_path / "a", b"x" * 7000))
    assert list(cache.entries) == ["/2", "/3", "/4"]
    cache.keep("/2", cache.entries["/2"])
    cache.keep("/5", make_entry(tmp_path / "a", b"x" * 7000))
    assert list(cache.entries) == ["/4", "/2", "/5"]


def test_what_is_larger_than_the_bound_is_not_kept(tmp_path):
    cache = Cache(5000)
    cache.keep("/small", make_entry(tmp_path / "a", b"x"))
    cache.keep("/large", make_entry(tmp_path / "b", b"x" * 6000))
    assert list(cache.entries) == ["/small"]
    nothing = Cache(0)
    nothing.keep("/a", make_entry(tmp_path / "a", b""))
    assert not nothing.entries


def test_replacing_and_dropping_give_room_back(tmp_path):
    cache = Cache(20_000)
    for _ in range(10):
        cache.keep("/a", make_entry(tmp_path / "a", b"x" * 9000))
    cache.drop("/a")
    cache.drop("/a")
    cache.keep("/b", make_entry(tmp_path / "a", b"x" * 9000))
    cache.keep("/c", make_entry(tmp_path / "a", b"x" * 8000))
    assert list(cache.entries) == ["/b", "/c"]


def test_entries_are_bounded(tmp_path):
    cache = Cache(10**9)
    entry = make_entry(tmp_path / "a", b"")
    for number in range(ENTRIES_MAX + 10):
        cache.keep(f"/{number}", entry)
    assert len(cache.entries) == ENTRIES_MAX
    assert "/9" not in cache.entries


def test_descriptors_are_bounded(tmp_path):
    cache = Cache(10**9)
    make_entry(tmp_path / "a", b"x" * (SMALL + 1))
    gc.collect()  # what other tests have left must not close in the midst of the counting
    before = len(os.listdir("/proc/self/fd"))
    for number in range(FILES_MAX + 10):
        cache.keep(f"/{number}", make_entry(tmp_path / "a"))
    assert len(os.listdir("/proc/self/fd")) - before == FILES_MAX
    for number in range(FILES_MAX + 10):
        cache.drop(f"/{number}")
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_nobody_asks_for_goes_when_something_comes(tmp_path):
    cache = Cache(10**9)
    cache.keep("/old", make_entry(tmp_path / "a", b"x", now=0.0))
    cache.keep("/newer", make_entry(tmp_path / "a", b"x", now=50.0))
    cache.keep("/new", make_entry(tmp_path / "a", b"x", now=100.0))
    assert list(cache.entries) == ["/newer", "/new"]
