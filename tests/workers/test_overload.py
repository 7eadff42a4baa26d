"""More to do than there are workers, through both kinds of pools: who is served, who is refused, who is dropped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.fakes import FakeExchange
from tinfront.workers import order
from tinfront.workers.jobs import refuse_later

AHEAD = 4
"""What one slot is given at once here: as if jobs had been short until now."""


@pytest.fixture(autouse=True)
def restore(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With threads, apps are imported into this process. The rules of the line hold from the beginning."""
    monkeypatch.setattr(order, "BRIEFLY", -1e9)
    monkeypatch.setattr(order.Pace, "briefly", lambda *_: AHEAD - 1)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.endswith("_site"):
            del sys.modules[name]


@pytest.fixture(params=["prefork", "threads"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Busy:
    """A pool with one slot, which is busy until told otherwise; and all it may be given at once is given."""

    def __init__(self, rig: Any, mode: str, tmp_path: Path, **options: Any) -> None:
        self.rig = rig
        self.go = tmp_path / "go"
        self.notes = tmp_path / "notes"
        self.pool = rig.start_threads(**options) if mode == "threads" else rig.start(workers=1, **options)
        self.first = [rig.submit(self.pool, "/wait", self.go)]
        rig.loop.until(lambda: self.pool.load()[0] == 1)
        rig.loop.until(lambda: getattr(self.pool, "_sent_max", 0) == AHEAD or self.pool._queue.limit == AHEAD)
        self.first += [self.add("first") for _ in range(AHEAD - 1)]
        self.settle()

    def add(self, address: str, method: str = "GET") -> Any:
        exchange = self.rig.submit(self.pool, "/note", self.notes, method, peer=(address, 1))
        self.settle()
        return exchange

    def settle(self) -> None:
        for _ in range(3):
            self.rig.loop.turn(0.0)

    def leave(self, exchange: Any) -> None:
        exchange.abort("client-gone")
        self.pool.cancel(exchange)

    def finish(self, *exchanges: Any) -> list[str]:
        """Let the app work on; returns the ids of those that ran, in their order."""
        self.go.touch()
        self.rig.wait(*self.first, *exchanges)
        return self.notes.read_text().split()


@pytest.fixture
def make(rig: Any, mode: str, tmp_path: Path) -> Any:
    def make(**options: Any) -> Busy:
        return Busy(rig, mode, tmp_path, **options)

    return make


def ids(*exchanges: Any) -> list[str]:
    return [exchange.request_id for exchange in exchanges]


def test_a_flood_from_one_address_costs_the_others_one_turn(make: Any) -> None:
    busy = make()
    flood = [busy.add("10.6.6.6") for _ in range(40)]
    others = [busy.add(f"10.0.0.{number}") for number in range(3)]
    ran = busy.finish(*flood, *others)
    behind = ran[-43:]
    assert behind[:4] == ids(flood[0], *others)
    assert behind[4:] == ids(*flood[1:])


def test_turns_can_be_switched_off(make: Any) -> None:
    busy = make(queue_fair=False)
    all_of_them = [busy.add(address) for address in ("a", "a", "a", "b")]
    assert busy.finish(*all_of_them)[-4:] == ids(*all_of_them)


def test_the_newest_first_once_the_oldest_has_waited_for_long(make: Any) -> None:
    busy = make(queue_newest_after=0.05)
    waiting = [busy.add("a") for _ in range(5)]
    busy.rig.loop.until(lambda: monotonic() - waiting[0].queued > 0.1)
    assert busy.finish(*waiting)[-5:] == ids(*reversed(waiting))


def test_the_bound_holds_and_the_largest_makes_room(make: Any, mode: str) -> None:
    busy = make(queue_max=AHEAD + 9)
    flood = [busy.add("10.6.6.6") for _ in range(20)]
    waiting = busy.pool.load()[2]
    assert waiting == AHEAD + 9
    refused = [exchange for exchange in flood if exchange.refusal]
    assert refused == flood[-10:]
    assert {exchange.refusal[1] for exchange in refused} == {"queue-full"}
    assert refused[0].fields == {"retry-after": "1"}
    others = [busy.add(f"10.0.0.{number}") for number in range(3)]
    assert not any(exchange.finished for exchange in others)
    assert [exchange.refusal[:2] for exchange in flood[7:10]] == [(503, "queue-full")] * 3
    assert busy.pool.load()[2] == waiting
    assert busy.pool.shed.full == 13
    assert busy.finish(*flood[:7], *others)[-10:-6] == ids(flood[0], *others)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whoever_has_left_is_never_run(make: Any, method: str) -> None:
    """Wherever it was: with the workers but not begun, or in line."""
    busy = make()
    sent = busy.first[1:]
    waiting = [busy.add("a", method) for _ in range(4)]
    for exchange in (sent[0], waiting[1], waiting[3]):
        busy.leave(exchange)
    stay = [exchange for exchange in (*sent[1:], waiting[0], waiting[2]) if not exchange.finished]
    busy.first = busy.first[:1]
    assert busy.finish(*stay) == ids(*stay)
    assert busy.pool.shed.gone == 3
    assert busy.pool.load()[2] == 0


def test_one_that_runs_already_is_not_counted_as_dropped(make: Any) -> None:
    busy = make()
    running = busy.first.pop(0)
    busy.leave(running)
    busy.finish()
    assert busy.pool.shed.gone == 0


def test_those_who_wait_too_long_hear_of_it(make: Any) -> None:
    busy = make(queue_timeout=0.2)
    waiting = [busy.add("a") for _ in range(4)]
    busy.rig.wait(*waiting)
    assert {exchange.refusal[:2] for exchange in waiting} == {(503, "queue-timeout")}
    assert waiting[0].fields == {"retry-after": "1"}
    busy.rig.wait(*busy.first[1:])
    assert busy.pool.shed.timeout == 4 + len(busy.first) - 1
    busy.first = busy.first[:1]
    busy.go.touch()
    busy.rig.wait(*busy.first)
    assert not busy.notes.exists()


def test_the_oldest_wait(make: Any) -> None:
    busy = make()
    oldest = busy.first[1].queued
    before = monotonic()
    assert before - oldest <= busy.pool.oldest_wait() <= monotonic() - oldest
    busy.add("a")
    assert busy.pool.oldest_wait() >= before - oldest
    busy.finish()
    busy.rig.loop.until(lambda: busy.pool.load() == (0, 1, 0))
    assert busy.pool.oldest_wait() == 0.0


def test_everybody_waits_for_a_pool_that_starts(rig: Any, mode: str) -> None:
    start = rig.start_threads if mode == "threads" else rig.start
    pool = start(wait=False, **({} if mode == "threads" else {"workers": 1}))
    exchanges = [rig.submit(pool, "/hello", peer=(f"10.0.0.{number % 7}", 1)) for number in range(100)]
    rig.wait(*exchanges)
    assert {exchange.text for exchange in exchanges} == {"hello"}


def test_who_is_crowded_out_may_have_left() -> None:
    """Its refusal comes a moment later; it may have an end of its own by then."""
    exchange = FakeExchange()
    exchange.abort("client-gone")
    refuse_later(exchange, (503, "queue-full", ""))
    assert exchange.refusal is None


def test_a_client_that_shuts_its_side_is_served_if_there_is_time(rig: Any, mode: str, tmp_path: Path) -> None:
    """It may be one that only sends no more; under pressure it is taken for one that has left."""
    busy = Busy(rig, mode, tmp_path)
    in_line = busy.add("a")
    assert busy.pool.shut(in_line)
    assert busy.pool.shut(busy.first[-1])  # with the workers, but not begun
    assert not busy.pool.shut(busy.first[0])  # runs
    assert not busy.pool.shut(FakeExchange())
    busy.finish(in_line)
    busy.rig.loop.until(lambda: busy.pool.load() == (0, 1, 0))


def test_an_app_hears_that_its_client_may_have_left(rig: Any, mode: str, tmp_path: Path) -> None:
    pool = rig.start_threads() if mode == "threads" else rig.start(workers=1)
    notes = tmp_path / "notes"
    exchange = rig.submit(pool, "/connected", notes)
    rig.loop.until(lambda: notes.exists() and "True" in notes.read_text())
    assert not pool.shut(exchange)
    rig.wait(exchange)
    assert notes.read_text().split() == ["True", "left"]
    assert exchange.text == "nobody hears this"  # though it may, if it has only shut its side


def test_where_jobs_take_long_nobody_stands_behind_more_than_those_that_run(
    rig: Any, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order.Pace, "briefly", lambda *_: 0)
    pool = rig.start_threads(threads=1) if mode == "threads" else rig.start(workers=1)
    running = rig.submit(pool, "/wait", tmp_path / "go", peer=("10.0.0.1", 1))
    rig.loop.until(lambda: pool.load()[0] == 1)
    notes = tmp_path / "notes"
    many = [rig.submit(pool, "/note", notes, peer=("10.0.0.1", 1)) for _ in range(5)]
    rig.loop.turn(0.0)
    one = rig.submit(pool, "/note", notes, peer=("10.0.0.2", 1))
    (tmp_path / "go").touch()
    rig.wait(running, one, *many)
    assert one.request_id in notes.read_text().split()[:2]
