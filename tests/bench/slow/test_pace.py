from __future__ import annotations

from bench.slow.pace import metered


def test_a_lap_is_the_time_of_a_piece() -> None:
    with metered() as meter:
        laps = [meter.lap(), meter.lap()]  # also when nothing has been done in between
        assert meter._process.poll() is None
    assert all(0.01 < lap < 1000 for lap in laps)
    assert meter._process.returncode is not None
