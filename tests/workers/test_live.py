"""The app's end of a body that is still on its way."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.errors import BodyLost, ClientGone
from tinfront.workers.live import ASK, SIZE, live_input

END = SIZE.pack(0)


class Ends:
    """Both ends; the test is the front."""

    def __init__(self) -> None:
        self.front, theirs = socket.socketpair()
        self.front.settimeout(20)
        self.input: BinaryIO = live_input(theirs.detach())

    def piece(self, data: bytes) -> None:
        self.front.sendall(SIZE.pack(len(data)) + data)

    def close(self) -> None:
        self.front.close()
        self.input.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def test_a_body_in_pieces(ends: Ends) -> None:
    ends.piece(b"first line\nsec")
    ends.piece(b"ond line\nrest")
    ends.front.sendall(END)
    assert ends.input.readline() == b"first line\n"
    assert ends.input.read(3) == b"sec"
    assert ends.input.read() == b"ond line\nrest"
    assert ends.input.read() == ends.input.read(5) == ends.input.readline() == b""


def test_it_is_asked_for_once_and_not_before_the_first_read(ends: Ends) -> None:
    ends.front.setblocking(False)
    with pytest.raises(BlockingIOError):
        ends.front.recv(9)
    ends.piece(b"ab")
    ends.front.sendall(END)
    ends.input.read(1)
    assert ends.front.recv(9) == ASK
    ends.input.read()
    with pytest.raises(BlockingIOError):
        ends.front.recv(9)


def test_what_has_come_is_given_at_once(ends: Ends) -> None:
    ends.piece(b"ab")
    assert ends.input.read1(100) == b"ab"  # type: ignore[attr-defined]


def test_all_ways_to_read_it() -> None:
    for read, expected in (
        (list, [b"a\n", b"b"]),
        (lambda body: body.readlines(), [b"a\n", b"b"]),
        (lambda body: body.read(100), b"a\nb"),
        (lambda body: body.read(-1), b"a\nb"),
    ):
        ends = Ends()
        ends.piece(b"a\n")
        ends.piece(b"b")
        ends.front.sendall(END)
        assert read(ends.input) == expected
        ends.close()


@pytest.mark.parametrize("sent", [b"", SIZE.pack(9)[:2], SIZE.pack(9), SIZE.pack(9) + b"four", SIZE.pack(4) + b"four"])
@pytest.mark.parametrize("count", [-1, 100])
def test_a_body_that_breaks_off_never_looks_whole(ends: Ends, sent: bytes, count: int) -> None:
    ends.front.sendall(sent)
    ends.front.shutdown(socket.SHUT_WR)
    for _ in range(2):
        with pytest.raises(BodyLost) as caught:
            ends.input.read(count)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, ClientGone)


def test_nobody_is_there_to_be_asked(ends: Ends) -> None:
    ends.front.close()
    with pytest.raises(BodyLost):
        ends.input.read(1)


def test_it_has_no_descriptor_and_cannot_be_rewound(ends: Ends) -> None:
    with pytest.raises(io.UnsupportedOperation):
        ends.input.fileno()
    with pytest.raises(io.UnsupportedOperation):
        ends.input.seek(0)
    assert ends.input.readable()
    assert not ends.input.writable()


def test_the_front_hears_of_the_close(ends: Ends) -> None:
    ends.input.close()
    ends.input.close()
    assert ends.front.recv(1) == b""


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(1, 60), min_size=1, max_size=9))
def test_any_pieces_by_any_reads(pieces: list[bytes], counts: list[int]) -> None:
    ends = Ends()
    for piece in pieces:
        ends.piece(piece)
    ends.front.sendall(END)
    read = [ends.input.read(count) for count in counts]
    read.append(ends.input.read())
    assert b"".join(read) == b"".join(pieces)
    ends.close()


def test_a_descriptor_that_does_not_block_is_made_to() -> None:
    front, theirs = socket.socketpair()
    theirs.setblocking(False)
    fd = theirs.detach()
    stream = live_input(fd)
    assert os.get_blocking(fd)
    stream.close()
    front.close()
