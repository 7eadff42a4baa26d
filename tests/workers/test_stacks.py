"""Questions, answers, and silence, with the test in the worker's place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tinfront.workers.child import DUMP, TELL, TOLD
from tinfront.workers.stacks import GIVE_UP, SILENCE, SIZE_MAX, Stacks, annotate

TEXT = b'Thread 0x0000000a (most recent call first):\n  File "app.py", line 3 in work\n'


class Parts:
    def __init__(self, loop: Any) -> None:
        self.loop = loop
        reader, self.writer = os.pipe()
        self.signals: list[int] = []
        self.stacks = Stacks(reader, loop, self.signals.append)
        self.told: list[str] = []

    def say(self, data: bytes) -> None:
        os.write(self.writer, data)
        self.loop.turn(0.0)


@pytest.fixture
def parts(quiet_loop: Any) -> Iterator[Parts]:
    parts = Parts(quiet_loop)
    yield parts
    parts.stacks.close()
    parts.stacks.close()
    os.close(parts.writer)


def test_an_answer(parts: Parts) -> None:
    parts.stacks.ask(10.0, parts.told.append)
    assert parts.signals == [TELL]
    assert parts.stacks.awaited
    parts.say(TEXT[:20])
    assert parts.told == []
    parts.say(TEXT[20:] + TOLD)
    assert parts.told == [TEXT.decode().strip()]
    assert parts.stacks.silent_since == 0.0
    assert not parts.stacks.awaited
    parts.stacks.tick(100.0)
    assert parts.signals == [TELL]


def test_several_who_ask_are_told_the_same(parts: Parts) -> None:
    others: list[str] = []
    parts.stacks.ask(10.0, parts.told.append)
    parts.stacks.ask(10.1, others.append)
    parts.say(TEXT + TOLD)
    assert parts.told == others == [TEXT.decode().strip()]


def test_silence_is_broken_by_the_signal_handler(parts: Parts) -> None:
    parts.stacks.ask(10.0, parts.told.append)
    parts.stacks.tick(10.0 + SILENCE / 2)
    assert parts.signals == [TELL]
    parts.stacks.tick(10.0 + SILENCE)
    parts.stacks.tick(10.1 + SILENCE)
    assert parts.signals == [TELL, DUMP]
    parts.say(TEXT)
    parts.stacks.tick(10.3 + SILENCE)  # there may be more
    assert parts.told == []
    parts.stacks.tick(10.5 + SILENCE)
    assert parts.told == [TEXT.decode().strip()]
    assert parts.stacks.silent_since == 10.0  # the interpreter has said nothing
    parts.say(TEXT + TOLD)
    assert parts.stacks.silent_since == 0.0


def test_whoever_says_nothing_at_all_is_given_up(parts: Parts) -> None:
    parts.stacks.ask(10.0, parts.told.append)
    parts.stacks.tick(10.0 + SILENCE)
    parts.stacks.tick(10.0 + GIVE_UP)
    assert parts.told == [""]


def test_a_probe_asks_for_a_sign_of_life_only(parts: Parts) -> None:
    parts.stacks.probe(10.0)
    parts.stacks.probe(11.0)
    assert parts.stacks.silent_since == 10.0
    parts.stacks.tick(100.0)
    assert parts.signals == [TELL, TELL]
    parts.say(TEXT + TOLD)
    assert parts.stacks.silent_since == 0.0


def test_too_much_is_dropped(parts: Parts) -> None:
    parts.stacks.ask(10.0, parts.told.append)
    for _ in range(SIZE_MAX // 32768 + 2):
        parts.say(b"x" * 32768)
    assert len(parts.stacks._text) <= SIZE_MAX
    parts.say(TOLD)
    assert len(parts.told[0]) <= SIZE_MAX + 65536


def test_what_nobody_asked_for_is_not_kept(parts: Parts) -> None:
    parts.say(TEXT)
    assert parts.stacks._text == b""


def test_the_end_of_the_worker_is_an_answer(parts: Parts) -> None:
    parts.stacks.ask(10.0, parts.told.append)
    parts.say(TEXT)
    parts.stacks.close()
    assert parts.told == [TEXT.decode().strip()]
    parts.stacks.ask(11.0, parts.told.append)
    assert parts.told[1:] == [""]


def test_threads_are_called_by_what_they_do() -> None:
    text = (
        "Thread 0x00007f01 (most recent call first):\n  File a\n\n"
        "Thread 0x00007f02 [worker-1] (most recent call first):\n  File b\n  File c\n\n"
        "Current thread 0x00007f03 (most recent call first):\n  File d"
    )
    assert annotate(text, {0x7F02: "GET / req=1"}) == (
        "GET / req=1:\n  File b\n  File c\n\nThread 0x00007f01:\n  File a\n\nCurrent thread 0x00007f03:\n  File d"
    )
    assert annotate("no stacks", {}) == "no stacks"
