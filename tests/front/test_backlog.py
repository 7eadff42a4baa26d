from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tinfront.front.backlog import READ_SIZE, SEND_MAX, Backlog
from tinfront.front.spool import Budget
from tinfront.http.message import FileSlice


def backlog(budget: Budget, memory_max: int = 100, file_max: int = 1 << 30) -> Backlog:
    terms: Any = SimpleNamespace(budget=budget, memory_max=memory_max, file_max=file_max)
    return Backlog(terms)


def read(held: Backlog) -> bytes:
    """Everything, as an outbox would take it."""
    data = b""
    while held.queue:
        piece = held.queue[0]
        if isinstance(piece, FileSlice):
            part = os.pread(piece.file.fd, min(piece.length, 7), piece.offset)
            held.advance(piece, len(part))
            data += part
        else:
            data += held.pop()
    return data


def test_memory_then_disk_in_order() -> None:
    budget = Budget(1 << 20)
    held = backlog(budget)
    for _ in range(30):
        held.add(b"0123456789")
    assert (budget.held, budget.used, held.held) == (100, 200, 100)
    assert len(held.queue) == 2  # small pieces become one, in memory and in the file
    assert budget.spilled == 0
    assert read(held) == b"0123456789" * 30
    held.emptied()
    assert (budget.held, budget.used) == (0, 0)


def test_when_the_memory_of_all_is_used_up_it_goes_to_disk_at_once() -> None:
    budget = Budget(1 << 20, memory=150)
    first, second, third = backlog(budget), backlog(budget), backlog(budget)
    first.add(b"a" * 100)
    second.add(b"b" * 60)
    second.add(b"b" * 10)
    third.add(b"c" * 50)
    assert (budget.held, budget.used, budget.spilled) == (150, 70, 1)
    third.add(b"c" * 20)
    assert (budget.held, budget.used, budget.spilled) == (150, 90, 2)
    assert (read(first), read(second), read(third)) == (b"a" * 100, b"b" * 70, b"c" * 70)
    first.close()
    assert budget.held == 0


def test_what_was_given_as_a_whole_is_settled() -> None:
    budget = Budget(1 << 30)
    held = backlog(budget, memory_max=1000)
    file = FileSlice(SimpleNamespace(fd=-1), 0, 5)  # type: ignore[arg-type]
    held.extend((b"a" * 600, file, b"b" * 600))
    held.settle()
    assert (budget.held, budget.used) == (0, 1200)
    assert [piece.length for piece in held.queue if isinstance(piece, FileSlice)] == [600, 5, 600]
    held.close()
    small = backlog(budget, memory_max=1000)
    small.extend((b"a" * 600,))
    small.settle()
    assert (budget.held, budget.used) == (600, 0)
    budget.memory = 599
    small.settle()
    assert (budget.held, budget.used, budget.spilled) == (0, 600, 1)


def test_the_transport_never_gets_more_than_it_should_at_once() -> None:
    budget = Budget(1 << 30)
    held = backlog(budget)
    body = os.urandom(SEND_MAX * 2 + 5)
    held.extend((body,))
    pieces = []
    while held.queue:
        pieces.append(held.pop())
        assert budget.held == held.held == len(body) - sum(map(len, pieces))
    assert [len(piece) for piece in pieces] == [SEND_MAX, SEND_MAX, 5]
    assert b"".join(pieces) == body


def test_no_room_at_all_is_told_and_nothing_is_lost() -> None:
    budget = Budget(50)
    held = backlog(budget)
    held.add(b"a" * 100)
    assert not held.full
    held.add(b"b" * 50)
    held.add(b"c" * 10)
    assert held.full
    assert (budget.full, budget.held, budget.used) == (1, 110, 50)
    held.spill()
    assert held.short  # still
    budget.limit = 1000
    held.spill()
    assert not held.full
    assert (budget.held, budget.used) == (0, 160)
    assert read(held) == b"a" * 100 + b"b" * 50 + b"c" * 10
    held.close()
    assert (budget.held, budget.used) == (0, 0)


def test_the_file_has_its_bound() -> None:
    held = backlog(Budget(1 << 20), memory_max=0, file_max=20)
    held.add(b"x" * 19)
    assert not held.full
    held.add(b"x")
    assert held.full


_STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remember", "extend", "settle", "spill", "pop"]), st.binary(max_size=60)),
    max_size=30,
)


@given(_STEPS, st.integers(0, 80), st.integers(0, 200), st.integers(0, 200))
def test_whatever_happens_bytes_and_counts_are_right(
    steps: list[tuple[str, bytes]], memory_max: int, memory: int, disk: int
) -> None:
    budget = Budget(disk, memory=memory)
    held = backlog(budget, memory_max)
    expected, taken = b"", b""
    for step, data in steps:
        if step == "pop":
            if held.queue and not isinstance(held.queue[0], FileSlice):
                taken += held.pop()
        elif step in ("settle", "spill"):
            getattr(held, step)()
        elif data:
            expected += data
            held.extend((data,)) if step == "extend" else getattr(held, step)(data)
        assert budget.held == held.held
        assert budget.held == sum(len(piece) for piece in held.queue if not isinstance(piece, FileSlice))
        assert budget.used <= disk
    assert taken + read(held) == expected
    held.close()
    del held
    assert (budget.held, budget.used) == (0, 0)


def test_sizes_fit_together() -> None:
    assert READ_SIZE <= SEND_MAX
