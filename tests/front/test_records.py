"""Records that wait for the kernel: a socket whose room is the test's to say."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from tinfront.front.records import RECORD, Records


class Secure:
    """An ``ssl.SSLSocket``, as strict as OpenSSL: what was refused has to be offered again."""

    def __init__(self, family: int = socket.AF_INET) -> None:
        self.family = family
        self.room = 1 << 60
        self.got = b""
        self.offered: bytes | None = None
        self.error: OSError | None = None
        self.corks: list[int] = []

    def fileno(self) -> int:
        return 7

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_CORK)
        self.corks.append(value)

    def write(self, data: Any) -> int:
        data = bytes(data)
        assert 0 < len(data) <= RECORD
        assert self.offered in {None, data}, "bad write retry"
        if self.error is not None:
            raise self.error
        if len(data) > self.room:
            self.offered = data
            raise ssl.SSLWantWriteError
        self.offered = None
        self.room -= len(data)
        self.got += data
        return len(data)


class Loop:
    """Of a loop, the one writer."""

    def __init__(self) -> None:
        self.writer: Callable[[], object] | None = None

    def add_writer(self, fd: int, writer: Callable[[], object]) -> None:
        assert fd == 7
        self.writer = writer

    def remove_writer(self, fd: int) -> None:
        assert fd == 7
        self.writer = None


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def call(self, name: str) -> None:
        self.told.append(name)

    def flushed(self) -> None:
        self.told.append("flushed")

    def end(self, error: Exception | None) -> None:
        self.told.append(error)


class Stage:
    def __init__(self, family: int = socket.AF_INET) -> None:
        self.socket, self.loop, self.owner = Secure(family), Loop(), Owner()
        self.records = Records(self.loop, self.socket, self.owner)  # type: ignore[arg-type]

    def give(self, room: int) -> None:
        """The kernel has room for so much more."""
        self.socket.room += room
        if self.loop.writer is not None:
            self.loop.writer()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_what_the_kernel_takes_is_gone_at_once(stage: Stage) -> None:
    stage.records.write(b"small")
    stage.records.write(b"")
    stage.records.write(bytes(5 * RECORD + 1))
    assert stage.socket.got == b"small" + bytes(5 * RECORD + 1)
    assert (stage.records.size, stage.loop.writer, stage.owner.told) == (0, None, [])


def test_several_records_leave_as_one(stage: Stage) -> None:
    stage.records.write(b"small")
    assert stage.socket.corks == []
    stage.records.write(bytes(RECORD + 1))
    assert stage.socket.corks == [1, 0]


def test_while_something_waits_the_packets_are_full(stage: Stage) -> None:
    stage.socket.room = 2 * RECORD
    stage.records.write(bytes(5 * RECORD))
    stage.records.write(b"behind it")
    stage.give(2 * RECORD)
    assert stage.socket.corks == [1]
    stage.give(1 << 60)
    assert stage.socket.corks == [1, 0]
    assert len(stage.socket.got) == 5 * RECORD + 9


def test_a_closed_socket_is_not_corked(stage: Stage) -> None:
    stage.socket.room = RECORD
    stage.records.write(bytes(3 * RECORD))
    stage.records.close()
    stage.records.cork()
    stage.records.uncork()
    assert stage.socket.corks == [1]


def test_what_is_taken_between_leaves_as_one(stage: Stage) -> None:
    stage.records.cork()
    stage.records.cork()
    stage.records.take(memoryview(bytes(RECORD)))
    stage.records.take(memoryview(bytes(RECORD)))
    stage.records.uncork()
    stage.records.uncork()
    assert stage.socket.corks == [1, 0]


def test_unix_sockets_have_no_cork() -> None:
    stage = Stage(socket.AF_UNIX)
    stage.records.write(bytes(3 * RECORD))
    assert (len(stage.socket.got), stage.socket.corks) == (3 * RECORD, [])


@pytest.mark.parametrize("size", [1, RECORD, RECORD + 1, 3 * RECORD, 10 * RECORD - 1])
@pytest.mark.parametrize("step", [100, RECORD, 5 * RECORD])
def test_what_waits_leaves_in_order(stage: Stage, size: int, step: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    stage.socket.room = 0
    stage.records.write(data)
    stage.records.write(b"behind")
    assert stage.records.size == size + 6
    while stage.loop.writer is not None:
        stage.give(step)
    assert stage.socket.got == data + b"behind"
    assert stage.records.size == 0
    assert stage.owner.told == ["pause_writing", "resume_writing", "flushed"]


def test_a_record_that_was_refused_is_offered_again_before_anything_else(stage: Stage) -> None:
    stage.socket.room = RECORD
    stage.records.write(b"x" * (RECORD + 10))
    stage.records.write(b"y" * RECORD)
    stage.give(10)  # as strict as Secure is
    stage.give(RECORD)
    assert stage.socket.got == b"x" * (RECORD + 10) + b"y" * RECORD


def test_taking_keeps_one_record_and_leaves_the_rest(stage: Stage) -> None:
    stage.socket.room = 2 * RECORD
    assert stage.records.take(memoryview(bytes(5 * RECORD))) == 3 * RECORD
    assert stage.records.size == RECORD
    assert not stage.records.free
    stage.give(RECORD)
    assert stage.records.free
    assert len(stage.socket.got) == 3 * RECORD


def test_the_memory_that_was_offered_may_be_used_anew(stage: Stage) -> None:
    memory = bytearray(b"a" * RECORD)
    stage.socket.room = 0
    assert stage.records.take(memoryview(memory)) == RECORD
    memory[:] = b"b" * RECORD
    stage.give(RECORD)
    assert stage.socket.got == b"a" * RECORD


def test_marks(stage: Stage) -> None:
    stage.records.high, stage.records.low = 100, 25
    stage.socket.room = 0
    stage.records.write(bytes(100))
    assert stage.owner.told == []
    stage.records.write(bytes(30))
    assert stage.owner.told == ["pause_writing"]
    stage.give(100)
    assert stage.owner.told == ["pause_writing"]  # 30 are left
    stage.give(30)
    assert stage.owner.told == ["pause_writing", "resume_writing", "flushed"]


def test_a_broken_connection_is_told_and_takes_all(stage: Stage) -> None:
    stage.socket.error = ConnectionResetError()
    stage.records.write(bytes(3 * RECORD))
    assert stage.owner.told == [stage.socket.error]


def test_a_connection_that_breaks_while_something_waits(stage: Stage) -> None:
    stage.socket.room = 0
    stage.records.write(b"late")
    stage.socket.error = BrokenPipeError()
    stage.give(0)
    assert stage.owner.told == ["pause_writing", stage.socket.error]


def test_nothing_happens_after_close(stage: Stage) -> None:
    stage.socket.room = 0
    stage.records.write(b"lost")
    stage.records.close()
    stage.records.write(b"more")
    assert (stage.records.size, stage.loop.writer, stage.socket.got) == (0, None, b"")
    assert not stage.records.free


def test_what_waits_still_leaves_when_no_more_is_taken(stage: Stage) -> None:
    stage.socket.room = 0
    stage.records.write(b"in time")
    stage.records.open = False
    stage.records.write(b"late")
    stage.give(10)
    assert (stage.socket.got, stage.records.free) == (b"in time", False)


def test_being_told_of_room_alone(stage: Stage) -> None:
    stage.records.watch()
    stage.records.watch()
    stage.give(0)
    assert stage.owner.told == ["flushed"]
    assert stage.loop.writer is None
