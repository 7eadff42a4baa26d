from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Set

import pytest

from bench.slow.cores import on, parted


@pytest.mark.parametrize(("all_of_them", "parts"), [({3, 1, 2}, ({1}, {2, 3})), ({5}, ({5}, {5}))])
def test_the_server_has_one_core_and_the_clients_the_rest(
    all_of_them: Set[int], parts: tuple[Set[int], Set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: all_of_them)
    assert parted() == parts


def test_what_is_started_meanwhile_stays_there() -> None:
    before = os.sched_getaffinity(0)
    server, _ = parted()
    with on(server):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(child.pid) == server
    child.communicate(b"\n")


def test_it_ends_with_the_block_however_that_ends() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError), on(parted()[0]):
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == before
