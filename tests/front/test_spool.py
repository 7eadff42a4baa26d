from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from tests.transports import read
from tinfront.errors import BodyTooLarge, SpoolFull
from tinfront.front import spool as module
from tinfront.front.spool import Budget, Spool, SpoolFile
from tinfront.interfaces import IBody


def test_a_budget_is_kept() -> None:
    budget = Budget(10)
    assert budget.take(10)
    assert not budget.take(1)
    assert budget.take(0)
    budget.give(4)
    assert budget.take(4)
    assert budget.used == 10


# --- files


def test_a_spool_file_leaves_nothing_behind(tmp_path: Path) -> None:
    file = SpoolFile(Budget(100, str(tmp_path)))
    first, second = file.append(b"hello"), file.append(b"world")
    assert list(tmp_path.iterdir()) == []
    assert (first.offset, first.length, second.offset, second.length) == (0, 5, 5, 5)
    assert os.pread(file.fileno(), 100, 0) == b"helloworld"
    assert os.get_inheritable(file.fileno()) is False


def test_its_space_comes_back_when_nobody_holds_it() -> None:
    budget = Budget(100)
    file = SpoolFile(budget)
    file.append(b"hello")
    assert budget.used == 5
    file.empty()
    assert (budget.used, file.size) == (0, 0)
    piece = file.append(b"again")
    assert piece.offset == 0
    del file
    assert budget.used == 0
    assert os.pread(piece.file.fd, 5, 0) == b"again"  # a slice keeps the file itself


def test_over_the_budget_nothing_is_written() -> None:
    budget = Budget(7)
    file = SpoolFile(budget)
    file.append(b"hello")
    with pytest.raises(SpoolFull, match="spool_max"):
        file.append(b"you")
    assert (file.size, budget.used) == (5, 5)
    file.append(b"me")


def test_a_full_disk_is_a_full_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(100)
    file = SpoolFile(budget)
    pwrite, done = os.pwrite, []

    def full(fd: int, data: Any, offset: int) -> int:
        if done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done.append(True)
        return pwrite(fd, data[:2], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(SpoolFull, match="No space"):
        file.append(b"hello")
    assert (file.size, budget.used) == (0, 0)
    monkeypatch.undo()
    file.append(b"hello")
    assert os.pread(file.fileno(), 100, 0) == b"hello"


def test_no_directory_is_a_full_spool(tmp_path: Path) -> None:
    budget = Budget(100, str(tmp_path / "missing"))
    with pytest.raises(SpoolFull, match="missing"):
        SpoolFile(budget)
    assert budget.used == 0


def test_a_file_system_without_unnamed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def without(path: str, flags: int, mode: int = 0o777, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", without)
    file = SpoolFile(Budget(100, str(tmp_path)))
    file.append(b"hello")
    assert list(tmp_path.iterdir()) == []
    assert os.pread(file.fileno(), 5, 0) == b"hello"


# --- bodies


def test_the_interface() -> None:
    verifyObject(IBody, Spool(Budget(1), 1, 1))


def test_a_small_body_stays_in_memory() -> None:
    budget = Budget(100)
    body = Spool(budget, 100, 10)
    assert body.data() == b""
    body.feed(b"hello")
    piece = body.data()
    assert piece == b"hello"
    body.feed(b"world")
    assert body.data() == b"helloworld"
    assert type(body.data()) is bytes
    assert (body.length, budget.used) == (10, 0)


def test_one_piece_is_not_copied() -> None:
    body, data = Spool(Budget(100), 100, 100), b"hello" * 10
    body.feed(data)
    assert body.data() is data


def test_a_larger_one_goes_to_disk_as_a_whole() -> None:
    budget = Budget(100)
    body = Spool(budget, 100, 10)
    body.feed(b"hello")
    body.feed(b"world!")
    assert body.data() is None
    assert budget.used == 11
    body.feed(b"!")
    assert os.pread(body.fileno(), 100, 0) == b"helloworld!!"
    assert body.length == 12
    body.close()
    body.close()
    assert budget.used == 0


def test_the_limit() -> None:
    body = Spool(Budget(100), 10, 100)
    body.feed(b"x" * 10)
    with pytest.raises(BodyTooLarge):
        body.feed(b"x")
    assert body.length == 10


def test_no_room_on_disk() -> None:
    budget = Budget(10)
    body = Spool(budget, 100, 5)
    with pytest.raises(SpoolFull):
        body.feed(b"x" * 11)
    body.close()
    assert budget.used == 0


def test_many_small_pieces_cost_little_more_than_they_hold() -> None:
    body = Spool(Budget(0), 1 << 20, 64 * 1024)
    for _ in range(60_000):
        body.feed(b"ab"[:1])
    assert sum(map(sys.getsizeof, body._pieces)) < 1.2 * 60_000
    assert body.data() == b"a" * 60_000


def test_large_pieces_are_kept_as_they_came() -> None:
    body = Spool(Budget(0), 1 << 20, 64 * 1024)
    pieces = [bytes([number]) * 10_000 for number in range(6)]
    for piece in pieces:
        body.feed(piece)
    assert [id(piece) for piece in body._pieces] == [id(piece) for piece in pieces]


@given(st.lists(st.integers(0, 5000), max_size=30), st.integers(0, 40_000))
def test_pieces_of_any_size_are_one_body(sizes: list[int], memory_max: int) -> None:
    budget = Budget(1 << 20)
    body = Spool(budget, 1 << 20, memory_max)
    expected = b""
    for number, size in enumerate(sizes):
        piece = bytes([number]) * size
        body.feed(piece)
        expected += piece
    assert budget.held + budget.used == body.length == len(expected)
    assert os.pread(body.fileno(), 1 << 20, 0) == expected
    assert body.data() == (expected if len(expected) <= memory_max else None)
    body.close()
    assert budget.held == budget.used == 0


def test_a_body_in_memory_has_a_sealed_descriptor() -> None:
    body = Spool(Budget(0), 100, 100)
    body.feed(b"hello")
    fd = body.fileno()
    assert body.fileno() == fd
    assert os.pread(fd, 100, 0) == b"hello"
    assert body.data() == b"hello"
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == module._SEALS
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    body.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_an_empty_one_has_a_descriptor_too() -> None:
    body = Spool(Budget(0), 100, 100)
    assert os.pread(body.fileno(), 1, 0) == b""
    body.close()


def test_bodies_share_the_memory() -> None:
    budget = Budget(1000, memory=100)
    first, second, third = Spool(budget, 1000, 80), Spool(budget, 1000, 80), Spool(budget, 1000, 80)
    first.feed(b"a" * 40)
    first.feed(b"a" * 40)
    second.feed(b"b" * 20)
    assert (budget.held, budget.used, budget.spilled) == (100, 0, 0)
    second.feed(b"b")  # as a whole, so that the memory is there for another
    assert (budget.held, budget.used, budget.spilled) == (80, 21, 1)
    third.feed(b"c" * 21)
    assert (budget.held, budget.used, budget.spilled) == (80, 42, 2)
    first.feed(b"a")  # over its own bound, which is no lack of memory
    assert (budget.held, budget.used, budget.spilled) == (0, 123, 2)
    third.feed(b"c" * 21)
    assert read(first) + read(second) + read(third) == b"a" * 81 + b"b" * 21 + b"c" * 42
    for body in (first, second, third, third):
        body.close()
    assert (budget.held, budget.used) == (0, 0)


def test_what_found_no_room_is_counted_and_leaves_nothing() -> None:
    budget = Budget(10, memory=5)
    body = Spool(budget, 100, 50)
    body.feed(b"12345")
    for _ in range(2):
        with pytest.raises(SpoolFull):
            body.feed(b"678901")
    assert (budget.full, budget.held, budget.used) == (2, 5, 0)
    body.close()
    assert budget.held == 0


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20), st.integers(0, 100))
def test_whatever_the_pieces(pieces: list[bytes], memory_max: int) -> None:
    budget = Budget(1 << 20)
    body = Spool(budget, 1 << 20, memory_max)
    for piece in pieces:
        body.feed(piece)
    whole = b"".join(pieces)
    assert read(body) == whole
    assert body.length == len(whole)
    assert (body.data() is None) is (len(whole) > memory_max)
    assert os.pread(body.fileno(), len(whole) + 1, 0) == whole
    assert budget.held + budget.used == len(whole)
    body.close()
    assert (budget.held, budget.used) == (0, 0)
