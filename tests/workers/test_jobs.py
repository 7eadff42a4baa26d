"""The queue, with the test in the place of the workers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from tests.fakes import FakeExchange, make_head
from tinfront.workers import frames
from tinfront.workers.board import GONE, RING, SEAT_BITS
from tinfront.workers.jobs import LOOK_AHEAD_MAX, UNCLAIMED, Job, JobQueue


@pytest.fixture
def queue(quiet_loop: Any) -> Iterator[JobQueue]:
    queue = JobQueue(1, 3, quiet_loop)
    queue.open()
    queue.receiver.setblocking(False)
    yield queue
    queue.close()
    queue.close()


def add(queue: JobQueue, method: str = "GET", **named: Any) -> Job:
    job = Job()
    job.exchange = FakeExchange(make_head(method, **named))
    job.script_name = ""
    job.queued = monotonic()
    job.deaths = 0
    job.answering = job.verdict = job.inlet = None
    job.unbuffered = False
    queue.waiting.append(job)
    queue.pump()
    return job


def take(queue: JobQueue) -> int:
    """As a worker: the next job's id; 0 for none."""
    try:
        return frames.JOB.unpack_from(queue.receiver.recv(frames.JOB_MAX))[0]  # type: ignore[no-any-return]
    except BlockingIOError:
        return 0


def claim(queue: JobQueue, job_id: int) -> None:
    queue.board.times[1] = monotonic()
    queue.board.ids[0] = job_id


def settle(loop: Any, queue: JobQueue) -> None:
    loop.until(lambda: not queue._doubted)


def test_only_the_look_ahead_is_sent(queue: JobQueue) -> None:
    jobs = [add(queue) for _ in range(10)]
    assert list(queue.pending.values()) == jobs[:4]
    assert list(queue.line) == jobs[4:]
    assert [take(queue) for _ in range(5)] == [1, 2, 3, 4, 0]
    del queue.pending[1]
    queue.pump()
    assert take(queue) == 5


def test_a_job_that_nobody_claims_is_sent_again_under_a_new_id(queue: JobQueue, quiet_loop: Any) -> None:
    job = add(queue, "POST")
    assert take(queue) == job.id == 1
    queue.doubt(job)
    assert queue.board.revoked[1] == 1
    assert queue.pending == {1: job}
    settle(quiet_loop, queue)
    assert take(queue) == job.id == 2
    assert queue.pending == {2: job}
    assert job.exchange.retries == 1
    assert queue.board.revoked[2] == 0


def test_a_job_that_was_claimed_meanwhile_stays_where_it_is(queue: JobQueue, quiet_loop: Any) -> None:
    job = add(queue)
    take(queue)
    queue.doubt(job)
    claim(queue, 1)
    settle(quiet_loop, queue)
    assert queue.pending == {1: job}
    # The worker had looked at the revocations before, and answers; or after, and says so.
    assert queue.dropped(1)
    assert queue.pending == {}
    assert list(queue.line) == [job]


def test_a_job_dropped_before_it_is_settled_is_sent_once(queue: JobQueue, quiet_loop: Any) -> None:
    job = add(queue)
    queue.doubt(job)
    assert take(queue) == 1
    assert queue.dropped(1)
    queue.pump()
    assert (take(queue), job.id) == (2, 2)
    settle(quiet_loop, queue)
    assert take(queue) == 0
    assert queue.pending == {2: job}


def test_replies_are_taken_before_the_doubted_are_judged(queue: JobQueue, quiet_loop: Any) -> None:
    job = add(queue)
    take(queue)
    queue.doubt(job)
    queue.before_settling = queue.pending.clear
    settle(quiet_loop, queue)
    assert take(queue) == 0
    assert not queue.unsent


def test_what_a_worker_has_run_is_not_sent_again(queue: JobQueue, quiet_loop: Any) -> None:
    unanswered: list[Any] = []
    queue.on_unanswered = lambda job, seat: unanswered.append((job, seat))
    run, other = add(queue, "POST"), add(queue, "POST")
    claim(queue, 1)
    for job in (run, other):
        queue.doubt(job)
    settle(quiet_loop, queue)
    assert (run.id, other.id, unanswered) == (1, 3, [])
    queue.board.finished[1] = 1 << SEAT_BITS | 7
    queue.board.clear(0)
    queue.doubt(run)  # once more, as it was claimed when it was judged
    settle(quiet_loop, queue)
    assert unanswered == [(run, 7)]
    assert queue.pending[1] is run


def test_a_job_that_was_dropped_without_a_word_is_judged_anew(queue: JobQueue, quiet_loop: Any) -> None:
    """Its worker said that it left it alone, and that was lost with all that was in its stream."""
    job = add(queue, "POST")
    claim(queue, 1)
    queue.doubt(job)
    settle(quiet_loop, queue)
    queue.board.clear(0)
    queue.doubt(job)
    settle(quiet_loop, queue)
    assert job.id == 2


def test_a_verdict_refuses_instead(queue: JobQueue, quiet_loop: Any) -> None:
    job = add(queue)
    queue.doubt(job, (503, "queue-timeout", "too long"))
    settle(quiet_loop, queue)
    assert job.exchange.refusal == (503, "queue-timeout", "too long", [("Retry-After", "1")])
    assert queue.pending == {}


def test_a_worker_may_drop_only_what_was_revoked(queue: JobQueue) -> None:
    add(queue)
    assert not queue.dropped(1)
    assert queue.dropped(999)  # long forgotten
    assert 1 in queue.pending


def test_doubting_twice_is_doubting_once(queue: JobQueue, quiet_loop: Any) -> None:
    job = add(queue)
    take(queue)
    queue.doubt(job)
    queue.doubt(job, (503, "app-not-ready", ""))
    settle(quiet_loop, queue)
    assert job.exchange.refusal[1] == "app-not-ready"
    assert take(queue) == 0


def test_several_go_back_in_their_order(queue: JobQueue, quiet_loop: Any) -> None:
    jobs = [add(queue) for _ in range(6)]
    for job in jobs[:4]:
        take(queue)
        queue.doubt(job)
    settle(quiet_loop, queue)
    assert list(queue.pending.values()) == jobs[:4]
    assert list(queue.line) == jobs[4:]


def test_what_is_in_the_socket_is_not_in_doubt(queue: JobQueue) -> None:
    jobs = [add(queue) for _ in range(3)]
    later = monotonic() + 2 * UNCLAIMED
    queue.doubt_unclaimed(later)
    assert queue.backlog() > 0
    assert not any(job.revoked for job in jobs)


def test_what_left_the_empty_socket_and_is_on_no_board_is_in_doubt(queue: JobQueue) -> None:
    lost, running = add(queue), add(queue)
    take(queue)
    claim(queue, take(queue))
    assert queue.backlog() == 0
    queue.doubt_unclaimed(monotonic())  # it may be about to be claimed
    assert not lost.revoked
    queue.doubt_unclaimed(monotonic() + 2 * UNCLAIMED)
    assert lost.revoked
    assert not running.revoked


def test_what_was_overtaken_is_in_doubt(queue: JobQueue) -> None:
    lost, running, queued = add(queue), add(queue), add(queue)
    take(queue)
    claim(queue, take(queue))
    queue.doubt_unclaimed(monotonic() + 2 * UNCLAIMED)
    assert (bool(lost.revoked), bool(running.revoked), bool(queued.revoked)) == (True, False, False)


def test_who_leaves_is_forgotten_wherever_he_is(queue: JobQueue) -> None:
    jobs = [add(queue) for _ in range(6)]
    for job in (jobs[5], jobs[0]):
        job.exchange.abort("client-gone")
        queue.cancel(job.exchange)
    assert queue.board.revoked[1 % RING] == 1 | GONE
    assert list(queue.pending.values()) == jobs[1:5]
    assert not queue.unsent
    queue.cancel(jobs[0].exchange)  # again


def test_a_finished_exchange_is_not_sent_again(queue: JobQueue, quiet_loop: Any) -> None:
    job = add(queue)
    job.exchange.abort("elsewhere")
    queue.doubt(job)
    settle(quiet_loop, queue)
    assert not queue.unsent
    assert queue.pending == {}


def test_a_full_socket_keeps_jobs_waiting(queue: JobQueue) -> None:
    queue._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    queue.limit = 1000
    jobs = [add(queue) for _ in range(100)]
    sent = len(queue.pending)
    assert 0 < sent < 100
    assert list(queue.line) == jobs[sent:]
    while take(queue):
        pass
    queue.pump()
    assert sent < len(queue.pending)


def test_a_body_is_opened_anew_and_read_only(queue: JobQueue, make_body: Any) -> None:
    data = b"x" * 50_000
    for where in ("file", "memfd"):
        job = add(queue, "POST")
        take(queue)
        queue.pending.clear()
        job.exchange.body = make_body(data, where)
        queue.waiting.append(job)
        queue.pump()
        message, fds, flags, _ = socket.recv_fds(queue.receiver, frames.JOB_MAX, 1)
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        assert frames.JOB.unpack_from(message)[2:] == (50_000, frames.PASSED)
        assert os.read(fds[0], 60_000) == data
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fds[0], b"y")
        os.close(fds[0])


def test_no_descriptors_left_is_only_for_now(queue: JobQueue, make_body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(24, "Too many open files")

    job = add(queue)
    queue.pending.clear()
    job.exchange.body = make_body(b"x" * 50_000, "file")
    with monkeypatch.context() as patch:
        patch.setattr("tinfront.workers.descriptors.reopen", fail)
        queue.waiting.append(job)
        queue.pump()
        assert list(queue.line) == [job]
    queue.pump()
    assert not queue.unsent


def test_a_body_that_cannot_be_read_is_refused(queue: JobQueue) -> None:
    class Gone:
        live = False
        length = 50_000

        def data(self) -> None:
            return None

        def fileno(self) -> int:
            raise OSError(5, "Input/output error")

    job = add(queue)
    queue.pending.clear()
    job.exchange.body = Gone()
    queue.waiting.append(job)
    queue.pump()
    assert job.exchange.refusal[:2] == (500, "job-unsent")


def test_a_queue_that_is_not_open_has_no_claims(quiet_loop: Any) -> None:
    queue = JobQueue(1, 3, quiet_loop)
    assert queue.claims() == {}
    queue.close()


def test_short_jobs_are_sent_further_ahead(quiet_loop: Any) -> None:
    queue = JobQueue(2, 3, quiet_loop)
    queue.adapt(100.0)
    assert queue.limit == 8
    queue._last_id += 5000
    queue.adapt(100.25)
    assert queue.limit == 2 * (1 + LOOK_AHEAD_MAX)
    queue._last_id += 50
    queue.adapt(100.5)
    assert queue.limit == 2 * (1 + 5)  # 200 a second are 10 in a moment
    queue.adapt(100.75)
    assert queue.limit == 8
