from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transports import Descriptors, socket_pair
from tinfront.front.bypass import SEND_FILE_MAX, Bypass
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
