from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from bench.slow.standin import standing_in

PATIENCE = 20.0


def test_it_takes_of_the_processor_and_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*args: Any, **more: Any) -> subprocess.Popen[bytes]:
        begun.append(popen(*args, **more))
        return begun[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", begin)
    with standing_in(0.5):
        deadline = time.monotonic() + PATIENCE
        while _cpu(begun[0].pid) < 0.2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert begun[0].returncode is not None


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
