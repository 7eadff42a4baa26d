from __future__ import annotations

import subprocess
from typing import Any

import pytest

from bench.slow.pace import metered


def test_a_lap_is_the_time_of_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    class Noting(popen):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            begun.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noting)
    with metered() as meter:
        laps = [meter.lap(), meter.lap()]  # also when nothing has been done in between
    assert all(0.01 < lap < 1000 for lap in laps)
    assert begun[0].returncode is not None
