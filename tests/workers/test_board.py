"""The claim board, mapped twice as by front and worker."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from tinfront.config.model import App
from tinfront.workers.board import GONE, RING, SEAT_BITS, Board, create_board
from tinfront.workers.crew import ceiling


@pytest.fixture
def fd() -> Iterator[int]:
    fd = create_board(6)
    yield fd
    os.close(fd)


@pytest.fixture
def boards(fd: int) -> Iterator[tuple[Board, Board]]:
    front, worker = Board(fd), Board(fd)
    yield front, worker
    front.close()
    worker.close()


def claim(board: Board, slot: int, job_id: int, now: float) -> None:
    board.times[slot * Board.STEP + 1] = now
    board.ids[slot * Board.STEP] = job_id


def finish(board: Board, job_id: int, seat: int) -> None:
    board.finished[job_id % RING] = job_id << SEAT_BITS | seat


def test_claims_are_seen_by_the_other_side(boards: tuple[Board, Board]) -> None:
    front, worker = boards
    assert front.claims() == {}
    claim(worker, 0, 7, 1.25)
    claim(worker, 5, 2**63 - 1, 2.5)
    assert front.claims() == {7: (0, 1.25), 2**63 - 1: (5, 2.5)}
    front.clear(0)
    assert worker.claims() == {2**63 - 1: (5, 2.5)}


def test_revocations_are_seen_by_the_other_side(boards: tuple[Board, Board]) -> None:
    front, worker = boards
    front.revoke(RING + 3)
    assert worker.revoked[3] == RING + 3
    front.abandon(RING + 3)
    assert worker.revoked[3] == RING + 3 | GONE
    front.revoke(RING + 3)  # what nobody wants stays unwanted
    assert worker.revoked[3] == RING + 3 | GONE
    front.revoke(3)
    assert worker.revoked[3] == 3


def test_slots_and_ring_do_not_overlap(boards: tuple[Board, Board]) -> None:
    front, worker = boards
    for slot in range(6):
        claim(worker, slot, slot + 1, slot + 0.5)
    for job_id in range(RING):
        front.revoke(job_id + RING)
        finish(worker, job_id + 2 * RING, 5)
    assert front.claims() == {slot + 1: (slot, slot + 0.5) for slot in range(6)}
    assert [worker.revoked[at] for at in range(RING)] == list(range(RING, 2 * RING))
    assert {front.finisher(job_id) for job_id in range(2 * RING, 3 * RING)} == {5}


def test_who_has_finished_a_job_is_seen_by_the_other_side(boards: tuple[Board, Board]) -> None:
    front, worker = boards
    assert [front.finisher(job_id) for job_id in (1, 9, RING)] == [-1, -1, -1]
    finish(worker, 9, 0)
    finish(worker, RING, 4095)
    finish(worker, 2**48 - 1, 3)
    assert [front.finisher(job_id) for job_id in (9, RING, 2**48 - 1)] == [0, 4095, 3]
    # Another job at the same place of the ring is another job, in whatever seat it was run.
    assert [front.finisher(job_id) for job_id in (9 + RING, 2 * RING, RING - 1)] == [-1, -1, -1]
    finish(worker, 9 + RING, 0)
    assert [front.finisher(job_id) for job_id in (9, 9 + RING)] == [-1, 0]


def test_a_note_has_room_for_every_seat() -> None:
    largest = max(ceiling(App("a", "a:b", workers=1024)), ceiling(App("a", "a:b", workers=1024, workers_max=1024)))
    assert 2 * largest <= 1 << SEAT_BITS


def test_a_worker_cannot_pull_it_away(fd: int) -> None:
    for size in (0, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\0" * 200_000])
def test_what_is_no_board(content: bytes) -> None:
    fd = os.memfd_create("other")
    os.write(fd, content)
    with pytest.raises(ValueError, match="not a claim board"):
        Board(fd)
    os.close(fd)


def test_it_is_not_inherited_by_accident(fd: int) -> None:
    assert not os.get_inheritable(fd)


def test_a_running_job_that_is_abandoned_is_marked_in_its_slot(boards: tuple[Board, Board]) -> None:
    """Its place in the ring may be another's by the time it is asked for."""
    front, worker = boards
    claim(worker, 2, 9, 1.0)
    front.abandon(9)
    front.abandon(9 + RING)
    assert worker.revoked[9] == 9 + RING | GONE
    assert worker.ids[2 * Board.STEP + Board.LEFT] == 9 | GONE
    front.abandon(10)
    assert worker.ids[2 * Board.STEP + Board.LEFT] == 9 | GONE
