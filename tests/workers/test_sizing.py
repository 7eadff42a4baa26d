"""How many workers: numbers in, a number out."""

from __future__ import annotations

from collections.abc import Iterable

from tinfront.workers.sizing import GROW_PAUSE, GROW_WAIT, SHRINK_AFTER, Sizing

TICK = 0.25
Look = tuple[float, int]


class Pool:
    """A pool whose new workers are ready at once, one thread each."""

    def __init__(self, least: int = 1, most: int = 4, workers: int = 2) -> None:
        self.sizing = Sizing(least, most, 1)
        self.workers = workers
        self.now = 100.0
        self.changes: list[int] = []

    def live(self, seconds: float, looks: Iterable[Look]) -> None:
        """``looks`` are pairs of the oldest wait and the idle slots, over and over."""
        pairs = list(looks)
        for number in range(int(seconds / TICK)):
            self.now += TICK
            wait, idle = pairs[number % len(pairs)]
            count = self.sizing.advise(self.now, self.workers, self.workers, wait, idle)
            if count != self.workers:
                self.changes.append(count)
            self.workers = count


def test_it_grows_while_jobs_wait_one_by_one_up_to_the_most() -> None:
    pool = Pool()
    pool.live(GROW_PAUSE * 0.9, [(GROW_WAIT, 0)])
    assert pool.changes == [3]
    pool.live(60.0, [(GROW_WAIT, 0)])
    assert pool.changes == [3, 4]


def test_it_does_not_grow_while_those_that_are_coming_are_not_there() -> None:
    sizing = Sizing(1, 4, 1)
    assert sizing.advise(100.0, 3, 2, 10.0, 0) == 3
    assert sizing.advise(100.0, 3, 3, 10.0, 0) == 4


def test_a_short_wait_is_none() -> None:
    pool = Pool()
    pool.live(60.0, [(GROW_WAIT / 2, 0)])
    assert pool.changes == []


def test_it_shrinks_slowly_down_to_the_least() -> None:
    pool = Pool(workers=3)
    pool.live(SHRINK_AFTER + 1.0, [(0.0, 3)])
    assert len(pool.changes) == 1
    pool.live(SHRINK_AFTER * 5, [(0.0, 3)])
    assert pool.changes == [2, 1]


def test_a_worker_that_is_needed_now_and_then_stays() -> None:
    pool = Pool(workers=3)
    pool.live(SHRINK_AFTER * 10, [(0.0, 2)] * 60 + [(0.0, 0)])
    assert pool.changes == []


def test_load_that_comes_and_goes_does_not_make_it_flap() -> None:
    pool = Pool(workers=2)
    pool.live(SHRINK_AFTER * 20, [(GROW_WAIT * 2, 0)] * 8 + [(0.0, 4)] * 80)
    assert pool.changes == [3, 4]


def test_who_was_resized_by_hand_stays_for_a_while() -> None:
    pool = Pool(workers=3)
    pool.sizing.resized(pool.now)
    pool.live(SHRINK_AFTER * 0.9, [(0.0, 3)])
    assert pool.changes == []


def test_with_threads_a_whole_worker_must_be_idle() -> None:
    sizing = Sizing(1, 4, 8)
    assert sizing.advise(100.0, 2, 2, 0.0, 7) == 2
    assert sizing.advise(100.0 + SHRINK_AFTER * 2, 2, 2, 0.0, 7) == 2
    assert sizing.advise(100.0 + SHRINK_AFTER * 4, 2, 2, 0.0, 8) == 1
