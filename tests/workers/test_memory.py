from __future__ import annotations

import os
import threading
import time

from tinfront.workers import memory


def test_our_own_memory() -> None:
    resident, anonymous = memory.resident(os.getpid())
    assert resident > anonymous > 1024**2
    private = memory.private(os.getpid())
    assert private is not None
    assert 1024**2 < private <= resident * 2
    ballast = b"x" * (64 * 1024**2)
    grown = memory.private(os.getpid())
    assert grown is not None
    assert grown > private + 50 * 1024**2
    del ballast


def test_nobody() -> None:
    assert memory.resident(0) == (0, 0)
    assert memory.private(0) is None
    assert memory.switches(0, 0) is None
    assert memory.switches(os.getpid(), 0) is None


def test_who_waits_is_counted() -> None:
    tid = threading.get_native_id()
    before = memory.switches(os.getpid(), tid)
    assert before is not None
    for _ in range(5):
        time.sleep(0.001)
    after = memory.switches(os.getpid(), tid)
    assert after is not None
    assert after >= before + 5
