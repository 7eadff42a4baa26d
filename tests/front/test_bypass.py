from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.transports import Descriptors, socket_pair
from tinfront.front.bypass import SEND_FILE_MAX, Bypass, TlsBypass
from tinfront.front.records import RECORD
from tinfront.http.message import FileSlice, OpenFile

BIG = bytes(range(256)) * 1000


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket_pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def a_file(path: Path, data: bytes) -> FileSlice:
    path.write_bytes(data)
    return FileSlice(OpenFile(os.open(path, os.O_RDONLY)), 0, len(data))


def begun(pair: tuple[socket.socket, socket.socket], folder: Path) -> tuple[Bypass, Descriptors, FileSlice]:
    descriptors = Descriptors()
    return Bypass(pair[0].fileno(), descriptors), descriptors, a_file(folder / "file", BIG)


def test_a_file_goes_as_the_client_reads(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    ours, theirs = pair
    descriptors = Descriptors()
    bypass = Bypass(ours.fileno(), descriptors)
    assert bypass.write_ahead(b"<") == b""
    piece = a_file(tmp_path / "file", BIG)
    got = bytearray()

    def more() -> None:
        while piece.length and (sent := bypass.send_file(piece, more)) > 0:
            piece.offset += sent
            piece.length -= sent

    more()
    assert piece.length
    for _ in range(10_000):
        if len(got) > len(BIG):
            break
        got += theirs.recv(65536)
        descriptors.turn()
    assert got == b"<" + BIG
    assert bypass.send_file(FileSlice(piece.file, len(BIG), 1), more) == 0  # behind the end
    bypass.close()
    assert not descriptors.writers


def test_a_slow_client_is_watched_from_its_first_wait_to_its_last(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    _, theirs = pair
    bypass, descriptors, piece = begun(pair, tmp_path)
    turns: list[int] = []

    def more() -> None:
        sent = bypass.send_file(piece, more)
        if sent < piece.length:
            assert bypass.send_file(piece, more) == -1  # it waits
        turns.append(sent)
        piece.offset += sent
        piece.length -= sent

    more()
    while piece.length:
        theirs.recv(65536)
        descriptors.turn()
    descriptors.turn()
    assert len(turns) > 2
    assert sum(turns) == len(BIG)
    assert descriptors.added == 1
    assert not descriptors.writers
    bypass.close()


def test_one_that_stops_in_the_middle_is_watched_no_more(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    _, theirs = pair
    bypass, descriptors, piece = begun(pair, tmp_path)
    called: list[bool] = []
    assert 0 < bypass.send_file(piece, lambda: called.append(True)) < len(BIG)
    while not descriptors.turn():
        theirs.recv(65536)
    assert called == [True]
    assert not descriptors.writers
    bypass.close()


def test_no_more_than_a_turn_at_once() -> None:
    assert SEND_FILE_MAX <= 1024 * 1024


def test_what_is_not_taken_ahead_is_given_back(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    bypass = Bypass(ours.fileno(), Descriptors())
    rest = bypass.write_ahead(BIG)
    assert 0 < len(rest) < len(BIG)
    assert BIG.endswith(rest)
    assert bypass.write_ahead(b"more") == b"more"
    bypass.close()


def test_its_descriptor_is_its_own(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    ours, theirs = pair
    bypass = Bypass(ours.fileno(), Descriptors())
    ours.close()
    assert bypass.send_file(a_file(tmp_path / "file", b"abc"), lambda: None) == 3
    assert theirs.recv(10) == b"abc"
    bypass.close()
    assert theirs.recv(10) == b""


def test_a_client_that_has_gone(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    ours, theirs = pair
    theirs.close()
    bypass = Bypass(ours.fileno(), Descriptors())
    assert bypass.write_ahead(b"x") == b"x"
    with pytest.raises(OSError, match="pipe"):
        bypass.send_file(a_file(tmp_path / "file", b"abc"), lambda: None)
    bypass.close()


def test_who_waits_hears_nothing_after_the_close(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    ours, theirs = pair
    descriptors = Descriptors()
    bypass = Bypass(ours.fileno(), descriptors)
    called: list[bool] = []
    piece = a_file(tmp_path / "file", BIG)
    while (sent := bypass.send_file(piece, lambda: called.append(True))) > 0:
        piece.offset += sent
        piece.length -= sent
    assert descriptors.writers
    bypass.close()
    theirs.recv(65536)
    assert not descriptors.turn()
    assert called == []


class Taker:
    """Records of which the kernel takes so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got = b""
        self.free = True
        self.corks: list[int] = []

    def cork(self) -> None:
        self.corks.append(1)

    def uncork(self) -> None:
        self.corks.append(0)

    def take(self, data: memoryview) -> int:
        assert self.free
        taken = min(len(data), self.room // RECORD * RECORD + RECORD)
        self.got += data[:taken]
        self.room -= taken
        self.free = self.room >= 0
        return taken

    def write(self, data: bytes) -> None:
        self.got += data


@pytest.mark.parametrize(("size", "corks"), [(RECORD, [0]), (RECORD + 1, [1, 0])])
def test_only_what_is_several_records_is_corked(tmp_path: Path, size: int, corks: list[int]) -> None:
    for send in (
        lambda bypass, piece: bypass.send_file(piece, _never),
        lambda bypass, piece: bypass.send_at_once(b"h", FileSlice(piece.file, 1, size - 1))[1] + 1,
    ):
        piece, records = a_file(tmp_path / "file", bytes(size)), Taker(1 << 30)
        assert send(TlsBypass(records), piece) == size
        assert records.corks == corks


@pytest.mark.parametrize("room", [0, 1, RECORD, 100_000, 1 << 30])
def test_a_file_goes_over_tls_as_far_as_the_kernel_takes_it(tmp_path: Path, room: int) -> None:
    piece, records = a_file(tmp_path / "file", BIG), Taker(room)
    bypass: Any = TlsBypass(records)  # type: ignore[arg-type]
    rest, taken = bypass.send_at_once(b"head", piece)
    assert rest == b""
    assert 0 < taken <= len(BIG)
    assert records.got == b"head" + BIG[:taken]
    if not records.free:
        assert bypass.send_file(FileSlice(piece.file, taken, 1), _never) == -1
    while taken < len(BIG):
        records.free, records.room = True, room
        sent = bypass.send_file(FileSlice(piece.file, taken, len(BIG) - taken), _never)
        assert sent > 0
        taken += sent
    assert records.got == b"head" + BIG
    bypass.close()


def test_a_head_may_be_larger_than_a_record(tmp_path: Path) -> None:
    piece, records = a_file(tmp_path / "file", BIG), Taker(0)
    head = b"h" * (RECORD + 1)
    bypass: Any = TlsBypass(records)  # type: ignore[arg-type]
    assert bypass.send_at_once(head, piece) == (b"h", 0)
    assert bypass.send_at_once(b"h" * (64 * 1024), piece) == (b"h" * (64 * 1024), 0)
    assert bypass.write_ahead(b"ahead") == b""
    assert records.got == head[:RECORD] + b"ahead"


def test_a_file_that_shrank_or_cannot_be_read_over_tls(tmp_path: Path) -> None:
    piece, records = a_file(tmp_path / "file", b"short"), Taker(1 << 30)
    bypass: Any = TlsBypass(records)  # type: ignore[arg-type]
    assert bypass.send_file(FileSlice(piece.file, 5, 10), _never) == 0
    assert bypass.send_at_once(b"head", FileSlice(piece.file, 0, 10)) == (b"", 5)
    folder = OpenFile(os.open(tmp_path, os.O_RDONLY))
    with pytest.raises(IsADirectoryError):
        bypass.send_file(FileSlice(folder, 0, 10), _never)
    assert bypass.send_at_once(b"head", FileSlice(folder, 0, 10)) == (b"head", 0)


def _never() -> None:
    raise AssertionError
