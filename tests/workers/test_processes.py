"""The pool of processes, with real nurseries and workers: what becomes of each exchange."""

from __future__ import annotations

import json
import os
import signal
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from tinfront.config.model import App
from tinfront.workers import order


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


# --- answers


def test_an_answer(rig: Any) -> None:
    pool = rig.start()
    exchange = rig.get(pool)
    head, body = exchange.answer
    assert (head.status, head.length, body) == (200, 5, b"hello")
    assert head.fields == [("Content-Type", "text/plain")]
    assert exchange.queued <= exchange.claimed
    assert exchange.pid in {worker.pid for worker in pool._crew}
    assert exchange.retries == 0


def test_many_at_once_are_all_answered_once(rig: Any) -> None:
    pool = rig.start()
    exchanges = [rig.submit(pool, "/pid") for _ in range(500)]
    rig.wait(*exchanges)
    assert {exchange.text for exchange in exchanges} <= {str(worker.pid) for worker in pool._crew}
    rig.loop.until(lambda: pool.load() == (0, 2, 0))


def test_the_budget_of_calls_in_the_front(rig: Any) -> None:
    """From submit to respond: each call in Python costs every request."""
    pool = rig.start(workers=1)
    rig.get(pool)
    called: list[str] = []

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and "/tinfront/" in frame.f_code.co_filename:
            called.append(frame.f_code.co_name)

    pool._call_soon = lambda call: call()
    pool._timer.cancel()
    exchange = rig.exchange()
    exchange.on_respond = lambda: sys.setprofile(None)
    sys.setprofile(profile)
    pool.submit(exchange, "")
    rig.loop.until(lambda: exchange.answer)
    assert len(called) <= 6, called
    pool._tick()


def test_threads_run_at_once(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, threads=4)
    go = tmp_path / "go"
    waiting = [rig.submit(pool, "/wait", go) for _ in range(4)]
    rig.loop.until(lambda: pool.load() == (4, 0, 0))
    further = rig.submit(pool)
    rig.loop.until(lambda: pool.load() == (4, 0, 1))
    go.touch()
    rig.wait(*waiting, further)
    assert further.text == "hello"


def test_the_environ_tells_of_threads_and_processes(rig: Any) -> None:
    pool = rig.start(workers=1, threads=2)
    environ = json.loads(rig.get(pool, "/show", "a=b").text)
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is False
    assert environ["QUERY_STRING"] == "a=b"


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 300_000])
def test_bodies_in_memory_and_by_descriptor(rig: Any, make_body: Any, size: int) -> None:
    pool = rig.start()
    data = os.urandom(size)
    for body in (make_body(data, "file"), make_body(data, "memfd"), *([make_body(data)] if size <= 16384 else [])):
        exchange = rig.get(pool, "/echo", method="POST", body=body)
        assert json.loads(exchange.text) == [size, zlib.crc32(data), str(size), True]


def test_a_second_attempt_reads_the_body_from_its_start(rig: Any, tmp_path: Path, make_body: Any) -> None:
    pool = rig.start()
    data = b"x" * 100_000
    exchange = rig.get(pool, "/die-once-reading", tmp_path / "died", method="PUT", body=make_body(data, "file"))
    assert exchange.text == "100000"
    assert exchange.retries == 1


def test_a_worker_cannot_change_a_body(rig: Any, make_body: Any) -> None:
    pool = rig.start()
    exchange = rig.get(pool, "/scribble", method="POST", body=make_body(b"x" * 20_000, "memfd"))
    assert exchange.text == "refused"


@pytest.mark.parametrize("size", [3, 4, 5, 64, 200])
def test_large_answers_have_a_length(rig: Any, size: int) -> None:
    pool = rig.start()
    exchange = rig.get(pool, "/large", size)
    assert exchange.answer[0].length == size * 16384 == len(exchange.text)


def test_a_streamed_answer(rig: Any) -> None:
    pool = rig.start()
    exchange = rig.get(pool, "/stream", 100)
    assert exchange.answer[0].length is None
    assert exchange.outbox.finished
    assert len(exchange.text) == 100 * 16384
    assert rig.get(pool).text == "hello"


def test_a_file_is_passed_and_the_worker_is_free(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 10_000)
    for _ in range(3):
        head, body = rig.get(pool, "/file", path).answer
        assert (head.length, body.offset, body.length) == (99_998, 2, 99_998)
        assert os.pread(body.file.fd, 4, body.offset) == b"2345"
    assert rig.get(pool).text == "hello"


def test_head_requests_have_the_length_of_the_body(rig: Any, tmp_path: Path) -> None:
    pool = rig.start()
    (tmp_path / "file").write_bytes(b"0123456789")
    for path, query, length in (("/hello", "", 5), ("/file", tmp_path / "file", 8), ("/stream", 3, None)):
        head, body = rig.get(pool, path, query, method="HEAD").answer
        assert (head.length, body) == (length, b"")


# --- apps that fail


def test_an_app_that_raises(rig: Any) -> None:
    pool = rig.start(workers=1)
    exchange = rig.get(pool, "/fail")
    assert exchange.refusal[:3] == (500, "app-error", "RuntimeError: on purpose")
    rig.loop.until(lambda: "RuntimeError: on purpose" in rig.log.text)
    assert f"req={exchange.request_id} GET /fail failed:\nTraceback (most recent call last):\n" in rig.log.text
    assert rig.get(pool).text == "hello"


def test_an_app_that_raises_late_is_cut(rig: Any) -> None:
    pool = rig.start(workers=1)
    exchange = rig.get(pool, "/fail-late")
    assert exchange.text == "some"
    assert exchange.outbox.failure == ("app-error", "RuntimeError: on purpose, late")
    assert rig.get(pool).text == "hello"


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt"])
def test_an_app_cannot_end_its_worker_by_an_exception(rig: Any, name: str) -> None:
    pool = rig.start(workers=1)
    (worker,) = pool._crew
    assert rig.get(pool, "/leave-by-exception", name).refusal[:2] == (500, "app-error")
    assert rig.get(pool, "/pid").text == str(worker.pid)


def test_what_the_app_says_reaches_the_log(rig: Any) -> None:
    pool = rig.start(workers=1)
    (worker,) = pool._crew
    exchange = rig.get(pool, "/say")
    expected = [
        ("info", f"[site] pid={worker.pid} req={exchange.request_id} to stdout"),
        ("error", f"[site] pid={worker.pid} req={exchange.request_id} to stderr"),
        ("error", f"[site] pid={worker.pid} req={exchange.request_id} to errors"),
        ("error", f"[site] pid={worker.pid} req={exchange.request_id} unfinished"),
        ("warn", f"[site] pid={worker.pid} req=- to descriptor 1"),
        ("warn", f"[site] pid={worker.pid} req=- to descriptor 2"),
    ]
    rig.loop.until(lambda: len(rig.log.lines) >= len(expected))
    assert set(expected) <= set(zip(rig.log.levels, rig.log.lines, strict=True))


# --- workers that die


def test_a_get_whose_worker_dies_is_tried_once_more(rig: Any, tmp_path: Path) -> None:
    pool = rig.start()
    exchange = rig.get(pool, "/die-once", tmp_path / "died")
    assert (exchange.text, exchange.retries) == ("survived", 1)


def test_what_kills_two_workers_is_poison(rig: Any, tmp_path: Path) -> None:
    pool = rig.start()
    exchange = rig.get(pool, "/die", tmp_path / "notes")
    assert exchange.refusal[:2] == (502, "poison")
    assert "killed by SIGKILL" in exchange.refusal[2]
    assert len(lines(tmp_path / "notes")) == 2
    assert rig.get(pool).text == "hello"


def test_a_post_whose_worker_dies_is_not_tried_again(rig: Any, tmp_path: Path) -> None:
    pool = rig.start()
    exchange = rig.get(pool, "/die", tmp_path / "notes", method="POST")
    assert exchange.refusal[:2] == (502, "worker-died")
    assert len(lines(tmp_path / "notes")) == 1


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("page", ["/babble", "/mumble"])
def test_what_was_run_is_not_sent_again_because_its_answer_is_lost(
    rig: Any, tmp_path: Path, page: str, threads: int
) -> None:
    pool = rig.start(threads=threads)
    exchange = rig.get(pool, page, tmp_path / "posted", method="POST")
    assert exchange.refusal[:2] == (502, "worker-died")
    assert "it sent " in exchange.refusal[2]
    assert len(lines(tmp_path / "posted")) == 1
    exchange = rig.get(pool, page, tmp_path / "got")
    assert exchange.refusal[:2] == (502, "poison")
    assert len(set(lines(tmp_path / "got"))) == len(lines(tmp_path / "got")) == 2
    rig.loop.until(lambda: rig.get(pool).text == "hello")


def test_who_owes_an_answer_is_ended_and_nothing_is_sent_again_meanwhile(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    (worker,) = pool._crew
    signals: list[int] = []
    worker.signal = signals.append  # as if it took its time to die
    exchange = rig.submit(pool, "/mumble", tmp_path / "notes", method="POST")
    rig.loop.until(lambda: signals)
    (job,) = pool._pending.values()
    pool._queue.doubt(job)
    rig.loop.until(lambda: not pool._queue._doubted)
    assert set(signals) == {signal.SIGKILL}
    assert list(pool._pending.values()) == [job]
    assert exchange.retries == 0
    del worker.signal
    rig.wait(exchange)
    assert exchange.refusal[:2] == (502, "worker-died")
    assert len(lines(tmp_path / "notes")) == 1


def test_a_lost_answer_of_a_seat_that_is_empty(rig: Any) -> None:
    pool = rig.start(workers=1)
    os.kill(next(iter(pool._crew)).pid, signal.SIGSTOP)
    for seat in (len(pool._crew.seats) - 1, 60_000):
        exchange = rig.submit(pool, method="POST")
        pool._pump()
        job = next(job for job in pool._pending.values() if job.exchange is exchange)
        pool._queue.on_unanswered(job, seat)
        assert exchange.refusal[:2] == (502, "worker-died")
        assert job not in pool._pending.values()


def test_an_answer_that_has_begun_is_cut_when_the_worker_dies(rig: Any) -> None:
    pool = rig.start()
    exchange = rig.get(pool, "/die-late")
    assert exchange.text == "some"
    assert exchange.outbox.failure[0] == "worker-died"


def test_an_exit_tells_its_status(rig: Any) -> None:
    pool = rig.start()
    assert "exit status 7" in rig.get(pool, "/leave", method="POST").refusal[2]


def test_what_was_sent_and_not_claimed_goes_to_another_worker(
    rig: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped worker may hold a job that it has not claimed; killed, it must not take it along, not even a POST."""
    monkeypatch.setattr(order.Pace, "briefly", lambda *_: 3)
    pool = rig.start(workers=1)
    rig.loop.until(lambda: pool._queue.limit == 4)
    (worker,) = pool._crew
    os.kill(worker.pid, signal.SIGSTOP)
    notes = tmp_path / "notes"
    exchanges = [rig.submit(pool, "/note", notes, method="POST") for _ in range(10)]
    assert len(pool._pending) == 4
    os.kill(worker.pid, signal.SIGKILL)
    rig.wait(*exchanges)
    assert {exchange.text for exchange in exchanges} == {"noted"}
    assert sorted(lines(notes)) == sorted(exchange.request_id for exchange in exchanges)


def test_kills_under_load_lose_nothing_and_double_nothing(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=2)
    notes = tmp_path / "notes"
    posts: list[Any] = []
    gets: list[Any] = []
    killed: set[int] = set()

    def caught_up() -> bool:
        return sum(not one.finished for one in (*posts, *gets)) < 12

    for turn in range(60):
        posts.extend(rig.submit(pool, "/note", notes, method="POST") for _ in range(8))
        gets.extend(rig.submit(pool, "/pid") for _ in range(8))
        if turn % 2:
            # In the middle of their work: whether they have received, claimed or answered is left to chance.
            for worker in list(pool._crew)[: 1 + turn % 3]:
                if worker.ready and worker.pid not in killed:
                    killed.add(worker.pid)
                    os.kill(worker.pid, signal.SIGKILL)
        rig.loop.until(caught_up)
    rig.wait(*posts, *gets)
    assert len(killed) > 20
    assert {one.refusal[1] for one in posts if one.refusal} <= {"worker-died"}
    assert {one.refusal[1] for one in gets if one.refusal} <= {"poison"}
    written = lines(notes)
    assert len(written) == len(set(written)), "a POST ran twice"
    unwritten = [(one.request_id, one.answer, one.retries) for one in posts if one.answer]
    assert [told for told in unwritten if told[0] not in written] == [], "a POST was answered and never ran"


def test_a_full_socket_only_delays(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    pool._queue._sender.setsockopt(1, 7, 4608)  # SOL_SOCKET, SO_SNDBUF: the least there is
    exchanges = [rig.submit(pool, "/echo", method="POST", body=rig.body(b"x" * 3000)) for _ in range(20)]
    rig.wait(*exchanges)
    assert {json.loads(exchange.text)[0] for exchange in exchanges} == {3000}


# --- the nursery


def test_a_dead_nursery_is_replaced_and_its_workers_serve_until_then(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=2)
    before = {worker.pid for worker in pool._crew}
    running = [rig.submit(pool, "/wait", tmp_path / "go") for _ in range(2)]
    rig.loop.until(lambda: pool.load()[0] == 2)
    waiting = [rig.submit(pool) for _ in range(20)]
    rig.keeper.started[0].kill()
    rig.loop.until(lambda: len(rig.keeper.started) == 2)
    (tmp_path / "go").touch()
    rig.wait(*running, *waiting)
    assert {int(exchange.text) for exchange in running} == before
    rig.loop.until(lambda: pool._crew.ready == 2 and not before & {worker.pid for worker in pool._crew})
    assert rig.get(pool).text == "hello"


def test_the_death_of_all_processes_costs_a_get_nothing(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=2)
    exchanges = [rig.submit(pool, "/wait", tmp_path / "go") for _ in range(10)]
    rig.loop.until(lambda: pool.load()[0] == 2)
    rig.keeper.started[0].kill()
    for worker in pool._crew:
        os.kill(worker.pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    rig.wait(*exchanges)
    assert all(exchange.answer for exchange in exchanges)


def test_an_app_that_cannot_be_imported_is_reported_and_tried_again(rig: Any, tmp_path: Path) -> None:
    (tmp_path / "mended_site.py").write_text("raise LookupError('not yet')")
    pool = rig.start("mended_site:application", wait=False, path=(str(tmp_path),))
    ready: list[bool] = []
    pool.when_ready().addCallback(ready.append)
    early = rig.submit(pool)
    rig.wait(early)
    assert early.refusal[:2] == (503, "app-not-ready")
    assert "LookupError: not yet" in early.refusal[2]
    assert int(early.fields["retry-after"]) >= 1
    assert "Traceback (most recent call last):" in rig.log.text
    assert (ready, pool.ready, pool.trouble) == ([False], False, "LookupError: not yet")
    (tmp_path / "mended_site.py").write_text(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'mended']\n"
    )
    rig.loop.until(lambda: pool.ready)
    assert rig.get(pool).text == "mended"
    assert pool.trouble == ""


def test_an_app_that_takes_too_long_to_start(rig: Any, tmp_path: Path) -> None:
    (tmp_path / "slow_site.py").write_text("import time; time.sleep(600)")
    pool = rig.start("slow_site:application", wait=False, path=(str(tmp_path),), startup_timeout=0.3)
    assert rig.get(pool).refusal[:2] == (503, "app-not-ready")
    assert "not imported within 0.3 s" in rig.log.text


@pytest.mark.parametrize(
    "wsgi", ["broken_site:application", "jobs_site:missing", "jobs_site:BLOCK", "no_such_site:app"]
)
@pytest.mark.parametrize("preload", [True, False])
def test_ways_not_to_be_an_app(rig: Any, wsgi: str, preload: bool) -> None:
    pool = rig.start(wsgi, wait=False, preload=preload)
    assert rig.get(pool).refusal[:2] == (503, "app-not-ready")


def test_a_nursery_that_cannot_be_started(rig: Any) -> None:
    rig.keeper.failure = OSError(2, "No such interpreter")
    pool = rig.start(wait=False)
    assert rig.get(pool).refusal[:2] == (503, "app-not-ready")
    rig.keeper.failure = None
    rig.loop.until(lambda: pool.ready)


def test_threads_at_import_make_each_worker_import_by_itself(rig: Any) -> None:
    pool = rig.start("threaded_site:application")
    assert {rig.get(pool).text for _ in range(10)} == {"unlocked"}
    assert "starts threads when it is imported" in rig.log.text
    assert len(rig.keeper.started) == 2


def test_workers_that_import_by_themselves(rig: Any) -> None:
    pool = rig.start(preload=False)
    assert rig.get(pool).text == "hello"


# --- bounds


def test_a_full_queue(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, queue_max=2)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    waiting = [rig.submit(pool) for _ in range(2)]
    refused = rig.submit(pool)
    assert refused.refusal[:2] == (503, "queue-full")
    assert int(refused.fields["retry-after"]) >= 1
    (tmp_path / "go").touch()
    rig.wait(running, *waiting)
    assert rig.get(pool).text == "hello"


def test_what_waits_too_long_is_refused_and_never_runs(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, queue_timeout=0.3)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    notes = tmp_path / "notes"
    waiting = [rig.submit(pool, "/note", notes) for _ in range(8)]
    rig.wait(*waiting)
    assert {exchange.refusal[:2] for exchange in waiting} == {(503, "queue-timeout")}
    (tmp_path / "go").touch()
    rig.wait(running)
    assert rig.get(pool).text == "hello"
    assert lines(notes) == []


def test_a_job_over_the_bound_is_refused(rig: Any) -> None:
    pool = rig.start()
    exchange = rig.get(pool, fields={"cookie": "x" * 200_000})
    assert exchange.refusal[:2] == (431, "head-too-large")


def test_text_that_would_be_read_as_something_else_is_refused(rig: Any) -> None:
    pool = rig.start()
    assert rig.get(pool, "/a\0REMOTE_ADDR\0evil").refusal[:2] == (400, "bad-request")
    assert rig.get(pool, "/\u20ac").refusal[:2] == (400, "bad-request")
    assert rig.get(pool).text == "hello"


def test_a_pool_that_was_not_started_refuses(rig: Any) -> None:
    from tinfront.workers.processes import ProcessPool

    pool = ProcessPool(rig.app(), rig.loop, rig.keeper, rig.loop, rig.log.logger)
    assert rig.submit(pool).refusal[:2] == (503, "app-not-ready")
    rig.stop(pool)


# --- clients that leave


def test_a_job_nobody_wants_any_more_never_runs(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    notes = tmp_path / "notes"
    leaving = [rig.submit(pool, "/note", notes, method="POST") for _ in range(10)]
    staying = rig.submit(pool, "/note", notes, method="POST")
    for exchange in leaving:
        exchange.abort("client-gone")
        pool.cancel(exchange)
    assert pool.load() == (1, 0, 1)
    (tmp_path / "go").touch()
    rig.wait(running, staying)
    assert lines(notes) == [staying.request_id]


def test_a_running_job_nobody_wants_any_more_is_forgotten(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    leaving = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    leaving.abort("client-gone")
    pool.cancel(leaving)
    (tmp_path / "go").touch()
    assert rig.get(pool).text == "hello"
    assert leaving.answer is None


def test_a_stream_nobody_wants_any_more_is_closed(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    exchange = rig.submit(pool, "/events", tmp_path / "closed")
    rig.loop.until(lambda: exchange.outbox.pieces)
    exchange.answer[1].stop()
    rig.loop.until((tmp_path / "closed").exists)
    assert rig.get(pool).text == "hello"
    assert not exchange.outbox.over


def test_a_paused_stream_stops_its_worker_thread_and_no_other(rig: Any) -> None:
    pool = rig.start(workers=1, threads=2)
    exchange = rig.submit(pool, "/stream", 2000)
    rig.loop.until(lambda: exchange.outbox.pieces)
    exchange.answer[1].pause()
    taken = len(exchange.outbox.data)
    assert [rig.get(pool).text for _ in range(20)] == ["hello"] * 20
    assert len(exchange.outbox.data) == taken
    rig.loop.until(lambda: pool.load()[0] == 1)
    exchange.answer[1].resume()
    rig.wait(exchange)
    assert len(exchange.outbox.data) == 2000 * 16384


def test_the_end_of_a_paused_stream_keeps_nobody_waiting(rig: Any) -> None:
    """What is left fits into the socket: the thread has sent it all, but must not put another answer behind it."""
    pool = rig.start(workers=1, threads=2)
    exchange = rig.exchange("/stream", "10")
    exchange.on_respond = lambda: exchange.answer[1].pause()  # noqa: PLW0108 - there is no answer yet
    pool.submit(exchange, "")
    rig.loop.until(lambda: exchange.answer)
    assert [rig.get(pool).text for _ in range(20)] == ["hello"] * 20
    exchange.answer[1].resume()
    rig.wait(exchange)
    assert len(exchange.outbox.data) == 10 * 16384


def test_an_outbox_may_come_late(rig: Any) -> None:
    pool = rig.start(workers=1)
    exchange = rig.exchange("/stream", "30")
    exchange.late = True
    pool.submit(exchange, "")
    rig.loop.until(lambda: exchange.answer)
    for _ in range(10):
        rig.loop.turn(0.0)
    outbox = exchange.outbox
    exchange.answer[1].start(outbox)
    rig.loop.until(lambda: outbox.finished)
    assert len(outbox.data) == 30 * 16384
    assert rig.get(pool).text == "hello"


# --- deadlines


def test_an_answer_that_does_not_come_in_time(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, timeout=0.3)
    (before,) = pool._crew
    exchange = rig.get(pool, "/wait", tmp_path / "never")
    assert exchange.refusal[:2] == (504, "app-timeout")
    assert exchange.pid == before.pid
    assert rig.get(pool, "/pid").text != str(before.pid)
    assert f"GET /wait req={exchange.request_id}, worker {before.pid}" in rig.log.text
    rig.loop.until(lambda: "jobs_site.py" in rig.log.text and "in wait" in rig.log.text)  # the stack


def test_the_other_jobs_of_a_late_worker_are_saved(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, threads=2, timeout=0.5)
    late = rig.submit(pool, "/wait", tmp_path / "never", method="POST")
    rig.loop.until(lambda: pool.load()[0] == 1)
    for _ in range(8):
        rig.loop.turn(0.05)
    other = rig.submit(pool, "/wait", tmp_path / "go", method="POST")
    rig.wait(late)
    assert late.refusal[:2] == (504, "app-timeout")
    assert other.refusal is None
    (tmp_path / "go").touch()
    rig.wait(other)
    assert other.answer
    rig.loop.until(lambda: "one of its jobs had no answer in time" in rig.log.text, f"it said:\n{rig.log.text}")


def test_a_stream_that_has_begun_has_no_deadline(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, timeout=0.2)
    exchange = rig.submit(pool, "/events", tmp_path / "closed")
    rig.loop.until(lambda: len(exchange.outbox.data) > 4000)
    assert not exchange.outbox.over
    exchange.answer[1].stop()


def test_an_app_that_does_not_come_to_an_end_after_its_answer(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, timeout=0.3)
    (before,) = pool._crew
    assert rig.get(pool, "/wait-closing", tmp_path / "never").text == "early"
    assert rig.get(pool, "/pid").text != str(before.pid)
    rig.loop.until(lambda: "busy for 0.3 s after its answer was over" in rig.log.text)


# --- the end


def test_a_stop_lets_everything_finish(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    running = rig.submit(pool, "/wait", tmp_path / "go")
    waiting = [rig.submit(pool) for _ in range(20)]
    stopped: list[Any] = []
    pool.stopService().addBoth(stopped.append)
    assert rig.submit(pool).refusal[:2] == (503, "stopping")
    (tmp_path / "go").touch()
    rig.loop.until(lambda: stopped)
    assert all(exchange.answer for exchange in (running, *waiting))
    assert rig.submit(pool).refusal[:2] == (503, "stopping")


def test_a_stop_does_not_wait_for_ever(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1, threads=2)
    running = rig.submit(pool, "/wait", tmp_path / "never")
    stream = rig.submit(pool, "/events", tmp_path / "closed")
    rig.loop.until(lambda: stream.outbox.pieces)
    rig.stop(pool, 0.2)
    assert running.refusal[:2] == (503, "stopping")
    assert stream.outbox.failure[0] == "stopping"


def test_a_worker_that_is_told_twice_unwinds_its_app(rig: Any, tmp_path: Path) -> None:
    """TERM after the grace raises SystemExit in the app, so that it can clean up."""
    pool = rig.start(workers=1)
    rig.submit(pool, "/clean-up", tmp_path / "clean")
    rig.loop.until(lambda: pool.load()[0] == 1)
    rig.stop(pool, 0.1)
    assert (tmp_path / "clean").exists()


def test_a_worker_that_gets_term_from_elsewhere_is_replaced(rig: Any, tmp_path: Path) -> None:
    """As from an init that sends TERM to all processes of a service: what runs is finished, what waits is served."""
    pool = rig.start(workers=1)
    (before,) = pool._crew
    running = rig.submit(pool, "/wait", tmp_path / "go")
    rig.loop.until(lambda: pool.load()[0] == 1)
    waiting = [rig.submit(pool, "/pid", method="POST") for _ in range(10)]
    os.kill(before.pid, signal.SIGTERM)
    rig.keeper.started[0].terminate()
    (tmp_path / "go").touch()
    rig.wait(running, *waiting)
    assert running.text == str(before.pid)
    assert len(rig.keeper.started) == 1


def test_when_ready(rig: Any) -> None:
    pool = rig.start(wait=False)
    told: list[bool] = []
    pool.when_ready().addCallback(told.append)
    assert not told
    rig.loop.until(lambda: told)
    pool.when_ready().addCallback(told.append)
    assert told == [True, True]
    assert pool.ready


# --- what a worker is


def test_a_worker_has_only_the_standard_library_and_its_own_rooms(rig: Any) -> None:
    pool = rig.start()
    names = {
        name
        for name in json.loads(rig.get(pool, "/modules").text)
        if name.partition(".")[0] not in sys.stdlib_module_names
    }
    ours = ["applog", "bare", "board", "child", "environ", "forks", "frames", "gateway", "headers", "live", "loader"]
    ours += ["nursery", "passing", "sources"]
    expected = {"tinfront.errors", "tinfront.workers", *(f"tinfront.workers.{name}" for name in ours)}
    optional = {"setproctitle", "setproctitle._setproctitle", "setproctitle.version"}
    strange = {name for name in names - expected - optional if not name.startswith("_")}
    assert strange == {"jobs_site"}
    assert expected <= names


def test_a_worker_has_none_of_the_fronts_descriptors(rig: Any, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        pool = rig.start()
        found = json.loads(rig.get(pool, "/descriptors").text)
    assert str(tmp_path / "secret") not in found.values()
    assert found["0"] == "/dev/null"
    sockets = [path for path in found.values() if path.startswith("socket:")]
    assert len(sockets) == 3  # the queue, one reply stream, the files


def test_a_worker_is_its_own_process_group_in_its_directory(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(chdir=str(tmp_path), env={"JOBS_SITE": "yes"})
    told = json.loads(rig.get(pool, "/process").text)
    assert told["group"] == rig.keeper.started[0].pid != os.getpgid(0)
    assert told["parent"] == rig.keeper.started[0].pid
    assert told["cwd"] == str(tmp_path)
    assert told["path"][0].endswith("sites")
    assert "" not in told["path"]
    assert (told["argv"], told["threads"], told["variable"]) == (["jobs_site:application"], 1, "yes")


def test_a_worker_that_breaks_its_protocol_is_ended(rig: Any) -> None:
    pool = rig.start(workers=1)
    (before,) = pool._crew
    exchange = rig.get(pool, "/garbage", method="POST")
    assert exchange.refusal[0] == 502
    assert rig.get(pool, "/pid").text != str(before.pid)
    assert "it sent a frame with a broken header" in rig.log.text


def test_when_the_front_dies_all_exit(tmp_path: Path) -> None:
    import subprocess

    from tests.workers.conftest import SITES

    script = f"""
import os, subprocess, sys
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
from tests.workers.conftest import *
rig = PoolRig(SelectLoop())
pool = rig.start()
exchange = rig.submit(pool, "/wait", {str(tmp_path / "go")!r})
rig.loop.until(lambda: pool.load()[0] == 1)
print(rig.keeper.started[0].pid, *(worker.pid for worker in pool._crew), flush=True)
os.kill(os.getpid(), 9)
"""
    assert SITES.exists()
    front = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    pids = [int(word) for word in front.stdout.split()]
    assert len(pids) == 3
    (tmp_path / "go").touch()
    import time

    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "somebody has outlived the front"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_pool_is_what_the_interface_says(rig: Any) -> None:
    from twisted.application.service import IService
    from zope.interface.verify import verifyObject

    from tinfront.interfaces import IWorkerPool

    pool = rig.start(wait=False)
    assert verifyObject(IWorkerPool, pool)
    assert verifyObject(IService, pool)
    assert isinstance(rig.app(), App)
