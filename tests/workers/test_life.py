"""The life of a pool, with real processes: workers that wear out, are too many, stand still, or are asked questions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinfront.workers import nurse


def pids(pool: Any) -> set[int]:
    return {worker.pid for worker in pool._crew if worker.stays and worker.ready}


# --- workers that have done their share


def test_a_worker_that_has_answered_enough_is_replaced_and_nobody_notices(rig: Any) -> None:
    pool = rig.start(workers=2, max_requests=20, max_requests_jitter=5)
    seen = set()
    for _ in range(5000):
        exchange = rig.get(pool, "/pid", method="POST")
        assert exchange.answer, exchange.refusal
        seen.add(exchange.text)
        if len(seen) == 6:
            break
    assert len(seen) == 6
    assert "max_requests: it has answered" in rig.log.text
    rig.loop.until(lambda: pool._crew.ready == 2)
    assert pool.status()["ends"]["max_requests"] >= 2
    assert set(rig.log.levels) == {"info"}


def test_a_worker_that_holds_too_much_is_replaced(rig: Any) -> None:
    pool = rig.start(workers=1, max_rss=60 * 1024**2)
    first = rig.get(pool, "/leak", 10).text
    assert rig.get(pool, "/leak", 80).text == first
    rig.loop.until(lambda: "max_rss: it holds" in rig.log.text)
    assert rig.get(pool, "/pid").text != first


def test_a_worker_that_is_old_is_replaced_when_it_is_idle(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, max_lifetime=0.2)
    before = pids(pool)
    running = rig.submit(pool, "/wait", tmp_path / "go", method="POST")
    rig.loop.until(lambda: pids(pool) and pids(pool).isdisjoint(before))
    assert rig.get(pool).text == "hello"
    (tmp_path / "go").touch()
    rig.wait(running)
    assert {int(running.text)} == before
    rig.loop.until(lambda: "max_lifetime: it has served" in rig.log.text)


# --- more and fewer


def test_a_pool_is_resized_without_losing_anything(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=2)
    running = [rig.submit(pool, "/wait", tmp_path / "go", method="POST") for _ in range(2)]
    rig.loop.until(lambda: pool.load()[0] == 2)
    assert pool.resize(pool.workers + 2) == pool.workers == 4
    rig.loop.until(lambda: pool._crew.ready == 4)
    running += [rig.submit(pool, "/wait", tmp_path / "go", method="POST") for _ in range(2)]
    rig.loop.until(lambda: pool.load()[0] == 4)
    assert pool.resize(1) == 1
    assert pool.resize(0) == 1
    waiting = [rig.submit(pool, method="POST") for _ in range(20)]
    (tmp_path / "go").touch()
    rig.wait(*running, *waiting)
    assert all(exchange.answer for exchange in (*running, *waiting))
    rig.loop.until(lambda: len(list(pool._crew)) == 1)
    assert pool.resize(10_000) < 100


def test_a_pool_grows_while_requests_wait(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, workers_max=3)
    exchanges = [rig.submit(pool, "/wait", tmp_path / "go") for _ in range(3)]
    rig.loop.until(lambda: pool.load()[0] == 3)
    assert "2 workers from now on" in rig.log.text
    (tmp_path / "go").touch()
    rig.wait(*exchanges)
    assert len({exchange.text for exchange in exchanges}) == 3


# --- how a worker begins and ends


def test_an_app_is_told_of_each_workers_start_and_end(rig: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    hooks = {"post_fork": "jobs_site:on_start", "worker_exit": "jobs_site:on_exit", "env": {"JOBS_SITE": str(notes)}}
    pool = rig.start(workers=1, umask=0o27, **hooks)
    (worker,) = pids(pool)
    assert json.loads(rig.get(pool, "/started").text)[:2] == [[worker], 0o27]
    rig.stop(pool)
    assert notes.read_text() == f"{worker}\n"


def test_an_end_that_fails_is_logged(rig: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    pool = rig.start(workers=1, worker_exit="jobs_site:on_exit_badly", env={"JOBS_SITE": str(notes)})
    rig.stop(pool)
    assert notes.exists()
    assert "worker_exit = jobs_site:on_exit_badly failed:\nTraceback" in rig.log.text
    assert "LookupError: no end today" in rig.log.text


@pytest.mark.parametrize("preload", [True, False])
def test_a_start_that_fails_is_a_failed_start(rig: Any, preload: bool) -> None:
    pool = rig.start(wait=False, post_fork="jobs_site:on_start_badly", preload=preload)
    assert rig.get(pool).refusal[:2] == (503, "app-not-ready")
    assert "LookupError: no start today" in pool.trouble
    assert "Traceback (most recent call last)" in pool.status()["failure"]


def test_a_traceback_is_logged_once(rig: Any) -> None:
    pool = rig.start("broken_site:application", wait=False, workers=1)
    rig.loop.until(lambda: "cannot start, try 3" in rig.log.text)
    assert rig.log.text.count("Traceback (most recent call last)") == 1
    assert not pool.ready


def test_an_app_that_ends_the_process_at_import(rig: Any, tmp_path: Path) -> None:
    (tmp_path / "suicidal_site.py").write_text("import os; os._exit(5)")
    pool = rig.start("suicidal_site:application", wait=False, path=(str(tmp_path),))
    assert rig.get(pool).refusal[:2] == (503, "app-not-ready")
    rig.loop.until(lambda: "cannot start, try 2" in rig.log.text)
    assert len(rig.keeper.started) < 6  # ever more slowly


def test_a_virtual_environment_runs_the_app(rig: Any, tmp_path: Path) -> None:
    place = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    pool = rig.start(workers=1, virtualenv=str(place))
    _, _, prefix, variable, first = json.loads(rig.get(pool, "/started").text)
    assert (prefix, variable, first) == (str(place), str(place), f"{place}/bin")


# --- workers that stand still


def test_who_waits_for_a_lock_that_c_code_keeps_is_given_to_another_worker(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=2, threads=3, timeout=4.0)
    others = [rig.submit(pool, "/wait", tmp_path / "go") for _ in range(4)]  # at least one with each worker
    rig.loop.until(lambda: pool.load()[0] == 4)
    culprit = rig.submit(pool, "/native", 3600)
    rig.loop.until(lambda: any(exchange.retries for exchange in others) or culprit.finished)
    (tmp_path / "go").touch()
    rig.wait(*others)
    assert all(exchange.answer for exchange in others)
    assert not culprit.finished
    assert "stands still" in rig.log.text
    rig.wait(culprit)
    assert culprit.refusal[:2] == (504, "app-timeout")
    rig.loop.until(lambda: "in native" in rig.log.text, "its stack is not in the log")
    assert f"GET /native req={culprit.request_id}, for 4." in rig.log.text
    rig.loop.until(lambda: "one of its jobs had no answer in time" in rig.log.text)
    assert pool.status()["ends"] == {"timeout": 1}


def test_what_must_not_run_twice_shares_the_culprits_end(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, threads=2, timeout=1.0)
    waiting = rig.submit(pool, "/wait", tmp_path / "go", method="POST")
    rig.loop.until(lambda: pool.load()[0] == 1)
    culprit = rig.submit(pool, "/native", 3600)
    rig.wait(waiting, culprit)
    assert waiting.refusal[:2] == culprit.refusal[:2] == (504, "app-timeout")
    assert waiting.retries == 0


def test_a_worker_that_is_stopped_meets_the_deadline(rig: Any) -> None:
    pool = rig.start(workers=2, timeout=0.5)
    (pid, _) = sorted(pids(pool))
    os.kill(pid, signal.SIGSTOP)
    exchanges = [rig.submit(pool, "/pid", method="POST") for _ in range(20)]
    rig.wait(*exchanges)
    assert {exchange.text for exchange in exchanges} == {str(max(pids(pool)))} or len(pids(pool)) == 2
    os.kill(pid, signal.SIGCONT)
    assert rig.get(pool).text == "hello"


def test_a_worker_that_is_stopped_with_a_request(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, timeout=0.5)
    (pid,) = pids(pool)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    os.kill(pid, signal.SIGSTOP)
    waiting = [rig.submit(pool, method="POST") for _ in range(5)]
    rig.wait(running, *waiting)
    assert running.refusal[:2] == (504, "app-timeout")
    assert {exchange.text for exchange in waiting} == {"hello"}
    rig.loop.until(lambda: not os.path.exists(f"/proc/{pid}") and pool._crew.ready == 1)


def test_a_nursery_that_is_stopped_is_replaced(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nurse, "PING_EVERY", 0.1)
    monkeypatch.setattr(nurse, "SILENCE", 0.5)
    pool = rig.start(workers=2)
    before = pids(pool)
    rig.keeper.started[0].send_signal(signal.SIGSTOP)
    while len(rig.keeper.started) == 1:
        assert rig.get(pool).text == "hello"
    assert "its nursery does not answer, and is killed" in rig.log.text
    rig.loop.until(lambda: len(pids(pool)) == 2 and pids(pool).isdisjoint(before))
    assert rig.get(pool).text == "hello"


# --- death


def test_a_route_may_do_without_second_tries(rig: Any, tmp_path: Path) -> None:
    pool = rig.start()
    exchange = rig.exchange("/die-once", str(tmp_path / "died"))
    exchange.route.model = SimpleNamespace(settings={"retry": False})
    pool.submit(exchange, "")
    rig.wait(exchange)
    assert exchange.refusal[:2] == (502, "worker-died")
    assert "killed by SIGKILL" in exchange.refusal[2]


def test_who_exits_in_the_midst_of_a_request_has_died_whatever_its_status(rig: Any) -> None:
    pool = rig.start(workers=1)
    exchange = rig.get(pool, "/leave", "0", method="POST")
    assert exchange.refusal[:2] == (502, "worker-died")
    assert "it left in the midst of a request, exit status 0" in exchange.refusal[2]
    assert pool.status()["ends"] == {"died": 1}
    assert rig.log.levels[-1] == "error"


def test_who_gets_term_from_elsewhere_and_finishes_has_stopped(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    (worker,) = pool._crew
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    os.kill(worker.pid, signal.SIGTERM)
    (tmp_path / "go").touch()
    rig.wait(running)
    rig.loop.until(lambda: pool.status()["ends"])
    assert pool.status()["ends"] == {"stopped": 1}


def test_a_crash_of_c_code_tells_where_it_was(rig: Any) -> None:
    pool = rig.start(workers=1)
    exchange = rig.get(pool, "/segfault", method="POST")
    assert exchange.refusal[:2] == (502, "worker-died")
    assert "killed by SIGSEGV" in exchange.refusal[2]
    rig.loop.until(lambda: "in segfault" in rig.log.text)
    assert pool.status()["ends"] == {"died": 1}


# --- questions


def test_what_workers_are_doing(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=2, threads=2)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    busy: dict[str, Any] = {"stacks": ""}
    while "in wait" not in busy["stacks"]:  # the claim comes a moment before the app is called
        told: list[Any] = []
        assert pool.ask_stacks(told.append) == 2
        rig.loop.until(lambda told=told: len(told) == 2)
        (busy,) = [each for each in told if "/wait" in each["stacks"]]
    assert busy["stacks"].startswith(f"GET /wait req={running.request_id}, for ")
    assert 'jobs_site.py", line' in busy["stacks"]
    status = pool.status()
    assert [worker["state"] for worker in status["workers"]].count("busy") == 1
    ((request,),) = [worker["requests"] for worker in status["workers"] if worker["requests"]]
    assert (request["path"], request["id"]) == ("/wait", running.request_id)
    assert all(worker["rss"] > 1024**2 for worker in status["workers"])
    (tmp_path / "go").touch()
    rig.wait(running)
    assert sum(worker["served"] for worker in pool.status()["workers"]) == 1
    json.dumps(pool.status())


def test_a_worker_that_still_imports_can_be_asked(rig: Any, tmp_path: Path) -> None:
    (tmp_path / "slow_site.py").write_text("import time\ntime.sleep(600)")
    pool = rig.start("slow_site:application", wait=False, preload=False, workers=1, path=(str(tmp_path),))
    told: list[Any] = []

    def asked() -> bool:
        return any(worker.pid for worker in pool._crew) and pool.ask_stacks(told.append) > 0

    rig.loop.until(asked)
    rig.loop.until(lambda: told and asked() and any("slow_site.py" in each["stacks"] for each in told))
    assert told[-1]["state"] == "starting"


def test_what_threads_are_doing(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads(threads=2)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    told: list[Any] = []
    assert pool.ask_stacks(told.append) == 1
    assert "in wait" in told[0]["stacks"]
    (worker,) = pool.status()["workers"]
    assert (worker["state"], worker["requests"][0]["path"]) == ("busy", "/wait")
    assert pool.resize(5) == 1
    (tmp_path / "go").touch()
    rig.wait(running)
