"""The pool of threads: real threads, a loop turned by the test."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workers.conftest import SITES
from tinfront.http.message import ResponseHead
from tinfront.workers import order, threads


@pytest.fixture(autouse=True)
def restore(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Apps are imported into this process."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    interval = sys.getswitchinterval()
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.endswith("_site"):
            del sys.modules[name]
    assert sys.getswitchinterval() == pytest.approx(interval)
    os.environ.pop("JOBS_SITE", None)


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


# --- answers


def test_an_answer(rig: Any) -> None:
    pool = rig.start_threads()
    exchange = rig.get(pool, "/hello")
    head, body = exchange.answer
    assert (head.status, head.reason, head.length, body, head.fields) == (
        200,
        None,
        5,
        b"hello",
        [("Content-Type", "text/plain")],
    )
    assert exchange.queued <= exchange.claimed
    assert exchange.pid == os.getpid()


def test_many_at_once_are_all_answered(rig: Any) -> None:
    pool = rig.start_threads(threads=4)
    exchanges = [rig.submit(pool) for _ in range(500)]
    rig.wait(*exchanges)
    assert {exchange.text for exchange in exchanges} == {"hello"}
    rig.loop.until(lambda: pool.load() == (0, 4, 0))


def test_the_environ(rig: Any) -> None:
    pool = rig.start_threads(threads=2)
    exchange = rig.get(pool, "/show", "a=b", fields={"x-a": "1", "proxy": "evil"}, secure=True)
    environ = json.loads(exchange.text)
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is False
    assert (environ["HTTP_X_A"], environ["QUERY_STRING"], environ["wsgi.url_scheme"]) == ("1", "a=b", "https")
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"], environ["SERVER_PORT"]) == ("127.0.0.1", "50000", "443")
    assert environ["tinfront.request_id"] == exchange.request_id
    assert "HTTP_PROXY" not in environ


@pytest.mark.parametrize(("size", "where"), [(0, "memory"), (50_000, "memory"), (300_000, "file"), (300_000, "memfd")])
def test_bodies(rig: Any, make_body: Any, size: int, where: str) -> None:
    pool = rig.start_threads()
    body = make_body(b"x" * size, where)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        found = json.loads(rig.get(pool, "/echo", method="POST", body=body).text)
        assert (found[0], found[2], found[3]) == (size, str(size), True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_stream_has_back_pressure(rig: Any) -> None:
    pool = rig.start_threads(threads=1)
    exchange = rig.exchange("/stream", "100")
    exchange.on_respond = lambda: exchange.answer[1].pause()  # noqa: PLW0108 - there is no answer yet
    pool.submit(exchange, "")
    rig.loop.until(lambda: exchange.answer)
    taken = len(exchange.outbox.data)
    for _ in range(20):
        rig.loop.turn(0.001)
    assert len(exchange.outbox.data) == taken < 100 * 16384
    assert pool.load()[0] == 1  # its thread waits
    exchange.answer[1].resume()
    rig.wait(exchange)
    assert len(exchange.outbox.data) == 100 * 16384
    assert exchange.outbox.finished


def test_a_stream_that_fails_is_cut(rig: Any) -> None:
    exchange = rig.get(rig.start_threads(), "/fail-late")
    assert exchange.text == "some"
    assert exchange.outbox.failure == ("app-error", "RuntimeError: on purpose, late")


def test_a_stream_nobody_wants_any_more_is_closed(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads(threads=1)
    exchange = rig.submit(pool, "/events", tmp_path / "closed")
    rig.loop.until(lambda: exchange.outbox.pieces)
    exchange.answer[1].stop()
    rig.loop.until((tmp_path / "closed").exists)
    assert rig.get(pool).text == "hello"
    assert not exchange.outbox.over


def test_a_stream_whose_thread_waits_is_closed_too(rig: Any) -> None:
    pool = rig.start_threads(threads=1)
    exchange = rig.exchange("/stream", "1000")
    exchange.on_respond = lambda: exchange.answer[1].pause()  # noqa: PLW0108
    pool.submit(exchange, "")
    rig.loop.until(lambda: exchange.answer)
    exchange.answer[1].stop()
    assert rig.get(pool).text == "hello"


def test_a_file(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads()
    (tmp_path / "file").write_bytes(b"0123456789")
    head, body = rig.get(pool, "/file", tmp_path / "file").answer
    assert (head.length, body.offset, body.length) == (8, 2, 8)
    assert os.pread(body.file.fd, 10, body.offset) == b"23456789"


def test_an_app_that_raises(rig: Any) -> None:
    pool = rig.start_threads(threads=1)
    for path, query in (
        ("/fail", ""),
        ("/leave-by-exception", "SystemExit"),
        ("/leave-by-exception", "KeyboardInterrupt"),
    ):
        exchange = rig.get(pool, path, query)
        assert exchange.refusal[:2] == (500, "app-error")
        said = f"req={exchange.request_id} GET {path}"
        rig.loop.until(lambda said=said: said in rig.log.text)
    assert "Traceback (most recent call last):" in rig.log.text
    assert rig.get(pool).text == "hello"


def test_what_the_app_says(rig: Any, capfd: pytest.CaptureFixture[str]) -> None:
    pool = rig.start_threads(threads=1)
    exchange = rig.get(pool, "/say")
    where = f"[site] pid={os.getpid()} req={exchange.request_id}"
    rig.loop.until(lambda: f"{where} unfinished" in rig.log.lines)
    assert f"{where} to errors" in rig.log.lines
    assert "to descriptor 1" in capfd.readouterr().out  # the process's own streams are left alone


def test_a_noisy_app_does_not_fill_the_memory(rig: Any, tmp_path: Path) -> None:
    (tmp_path / "noisy_site.py").write_text(
        "def application(environ, start_response):\n"
        "    for number in range(5000): environ['wsgi.errors'].write(f'{number}\\n')\n"
        "    start_response('200 OK', [])\n    return [b'']\n"
    )
    pool = rig.start_threads("noisy_site:application", path=(str(tmp_path),), threads=1)
    exchange = rig.submit(pool)
    while not pool._relay._dropped:  # the front does not turn meanwhile
        pool._pump()
    rig.wait(exchange)
    rig.loop.until(lambda: "log records were dropped" in rig.log.text)


# --- start


def test_an_app_that_cannot_be_imported_is_tried_again(rig: Any, tmp_path: Path) -> None:
    (tmp_path / "mended_site.py").write_text("raise LookupError('not yet')")
    pool = rig.start_threads("mended_site:application", path=(str(tmp_path),), wait=False)
    ready: list[bool] = []
    pool.when_ready().addCallback(ready.append)
    early = rig.submit(pool)
    rig.wait(early)
    assert early.refusal[:2] == (503, "app-not-ready")
    assert (ready, pool.ready, pool.trouble) == ([False], False, "LookupError: not yet")
    (tmp_path / "mended_site.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [b'mended']\n\n\n\n"
    )
    rig.loop.until(lambda: pool.ready)
    assert rig.get(pool).text == "mended"
    assert "Traceback (most recent call last):" in rig.log.text


def test_an_import_does_not_block_the_front(rig: Any, tmp_path: Path) -> None:
    (tmp_path / "slow_site.py").write_text(
        f"import os, time\nwhile not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.005)\n"
        "def application(e, s):\n    s('200 OK', [])\n    return [b'slow']\n"
    )
    pool = rig.start_threads("slow_site:application", path=(str(tmp_path),), wait=False, env={"JOBS_SITE": "yes"})
    exchange = rig.submit(pool)
    for _ in range(5):
        rig.loop.turn()
    assert (pool.ready, exchange.finished, pool.load()) == (False, False, (0, 0, 1))
    (tmp_path / "go").touch()
    rig.wait(exchange)
    assert exchange.text == "slow"
    assert os.environ["JOBS_SITE"] == "yes"


def test_the_switch_interval(rig: Any) -> None:
    rig.start_threads()
    assert sys.getswitchinterval() == pytest.approx(threads.SWITCH_INTERVAL)


def test_a_directory_is_not_entered(rig: Any, tmp_path: Path) -> None:
    before = os.getcwd()
    rig.start_threads(chdir=str(tmp_path))
    assert os.getcwd() == before
    assert "chdir" in rig.log.text


# --- bounds and deadlines


def test_a_full_queue(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads(threads=1, queue_max=2)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    waiting = [rig.submit(pool) for _ in range(2)]
    assert rig.submit(pool).refusal[:2] == (503, "queue-full")
    (tmp_path / "go").touch()
    rig.wait(running, *waiting)


def test_what_waits_too_long_is_refused_and_never_runs(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads(threads=1, queue_timeout=0.3)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    waiting = [rig.submit(pool, "/note", tmp_path / "notes") for _ in range(5)]
    rig.wait(*waiting)
    assert {exchange.refusal[:2] for exchange in waiting} == {(503, "queue-timeout")}
    (tmp_path / "go").touch()
    rig.wait(running)
    assert rig.get(pool).text == "hello"
    assert lines(tmp_path / "notes") == []


def test_one_that_a_thread_has_begun_just_now_is_answered(
    rig: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order.Pace, "briefly", lambda *_: 1)
    pool = rig.start_threads(threads=1, queue_timeout=0.3)
    rig.loop.until(lambda: pool._sent_max == 2)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    late = rig.submit(pool)
    rig.loop.until(lambda: len(pool.sent) == 2)
    [task] = [task for task in pool.sent if task.exchange is late]
    assert task.claim()  # as a thread does, which has not come to say so
    pool._sweep(time.monotonic() + 1)
    assert not late.refusal
    pool.on_answer(task, ResponseHead(200, [], 2), b"ok")
    assert late.answer
    (tmp_path / "go").touch()
    rig.wait(running)


def test_a_job_nobody_wants_any_more_never_runs(rig: Any, tmp_path: Path, make_body: Any) -> None:
    pool = rig.start_threads(threads=1)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    body = make_body(b"x" * 100_000, "file")
    before = len(os.listdir("/proc/self/fd"))
    leaving = [rig.submit(pool, "/note", tmp_path / "notes", method="POST", body=body) for _ in range(5)]
    staying = rig.submit(pool, "/note", tmp_path / "notes")
    rig.loop.turn()
    for exchange in leaving:
        exchange.abort("client-gone")
        pool.cancel(exchange)
    assert pool.load() == (1, 0, 1)
    (tmp_path / "go").touch()
    rig.wait(running, staying)
    assert lines(tmp_path / "notes") == [staying.request_id]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_running_job_nobody_wants_any_more(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads(threads=1)
    leaving = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    leaving.abort("client-gone")
    pool.cancel(leaving)
    (tmp_path / "go").touch()
    assert rig.get(pool).text == "hello"
    assert leaving.answer is None


def test_a_stuck_thread_is_given_up_and_replaced(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads(threads=1, timeout=0.3)
    exchange = rig.get(pool, "/wait", tmp_path / "go")
    assert exchange.refusal[:2] == (504, "app-timeout")
    assert f"GET /wait req={exchange.request_id}" in rig.log.text
    assert "in wait" in rig.log.text  # its stack
    assert rig.get(pool).text == "hello"
    assert len(pool._crew) == 2
    (tmp_path / "go").touch()
    rig.loop.until(lambda: len(pool._crew) == 1)
    assert pool.load() == (0, 1, 0)
    assert exchange.answer is None


def test_stuck_threads_have_a_bound(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads(threads=1, timeout=0.1, queue_timeout=0.5)
    for _ in range(5):
        assert rig.get(pool, "/wait", tmp_path / "go").refusal[:2] == (504, "app-timeout")
    assert len(pool._crew) == 5
    assert not pool.ready
    assert rig.get(pool).refusal[:2] == (503, "queue-timeout")
    (tmp_path / "go").touch()
    rig.loop.until(lambda: pool.ready)
    assert rig.get(pool).text == "hello"


# --- the end


def test_a_stop_lets_everything_finish(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads(threads=1)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    waiting = [rig.submit(pool) for _ in range(10)]
    stopped: list[Any] = []
    pool.stopService().addBoth(stopped.append)
    assert rig.submit(pool).refusal[:2] == (503, "stopping")
    (tmp_path / "go").touch()
    rig.loop.until(lambda: stopped)
    assert all(exchange.answer for exchange in (running, *waiting))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tinfront-site")]


def test_a_stop_does_not_wait_for_ever(rig: Any, tmp_path: Path) -> None:
    pool = rig.start_threads(threads=2)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    stream = rig.submit(pool, "/events", tmp_path / "closed")
    waiting = rig.submit(pool)
    rig.loop.until(lambda: stream.outbox.pieces)
    rig.stop(pool, 0.1)
    assert running.refusal[:2] == (503, "stopping")
    assert waiting.refusal[:2] == (503, "stopping")
    assert stream.outbox.failure[0] == "stopping"
    assert "left behind" in rig.log.text
    (tmp_path / "go").touch()  # what they do now, nobody hears
    rig.loop.until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("tinfront-site")])


def test_a_pool_that_was_not_started(rig: Any) -> None:
    pool = threads.ThreadPool(rig.app(), rig.loop, rig.loop.call_soon_threadsafe, rig.loop, rig.log.logger)
    assert rig.submit(pool).refusal[:2] == (503, "app-not-ready")
    assert not pool.ready
    rig.stop(pool)


def test_the_pool_is_what_the_interface_says(rig: Any) -> None:
    from twisted.application.service import IService
    from zope.interface.verify import verifyObject

    from tinfront.interfaces import IWorkerPool

    pool = rig.start_threads()
    assert verifyObject(IWorkerPool, pool)
    assert verifyObject(IService, pool)
    assert str(SITES) in sys.path
