"""A worker's life, led in the test's own process: claim, run, answer, stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from tests.fakes import make_head
from tinfront.errors import ClientGone
from tinfront.workers import frames
from tinfront.workers.board import SEAT_BITS, Board
from tinfront.workers.child import STOP, Outfit, Reply, Worker
from tinfront.workers.headers import check_headers
from tinfront.workers.jobs import Job, JobQueue

FIELDS = check_headers("200 OK", [("A", "b")])


def app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("A", "b")])
    return [environ["PATH_INFO"].encode() + environ["wsgi.input"].read()]


class Front:
    """The other side: a queue to send jobs, and the ends of the worker's streams."""

    def __init__(self, loop: Any, exchange: Any, threads: int) -> None:
        self.make = exchange
        self.queue = JobQueue(threads, 10, loop)
        self.queue.open()
        self.board = Board(self.queue.board_fd)
        self.streams: list[socket.socket] = []
        theirs = []
        for _ in range(threads):
            ours, other = socket.socketpair()
            ours.settimeout(20)
            self.streams.append(ours)
            theirs.append(other)
        self.files, files = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.outfit = Outfit(0, self.queue.receiver, self.board, files, theirs, "9.9", False)
        self.decoder = frames.Decoder()

    def send(self, path: str = "/a", **named: Any) -> Job:
        job = Job()
        job.exchange = self.make(make_head("GET", path), **named)
        job.script_name, job.queued, job.deaths = "", monotonic(), 0
        job.answering = job.verdict = job.inlet = None
        job.unbuffered = False
        self.queue.waiting.append(job)
        self.queue.pump()
        return job

    def run(self, app: Any = app) -> list[frames.Frame]:
        """Have a worker do what was sent, until the queue ends; returns what it said."""
        self.queue._sender.close()
        worker = Worker(self.outfit, app)
        worker._receive(worker._slots[0], None)
        return self.hear()

    def hear(self) -> list[frames.Frame]:
        return self.decoder.feed(self.streams[0].recv(1 << 20))

    def close(self) -> None:
        self.queue.close()
        self.board.close()
        for sock in (*self.streams, *self.outfit.streams, self.files, self.outfit.files):
            sock.close()


@pytest.fixture
def front(quiet_loop: Any, rig_exchange: Any) -> Iterator[Front]:
    front = Front(quiet_loop, rig_exchange, 1)
    yield front
    front.close()


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (STOP, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# --- jobs


def test_a_job_is_run_and_answered(front: Front, make_body: Any) -> None:
    front.send("/a")
    front.send("/b", body=make_body(b"small"))
    front.send("/c", body=make_body(b"large" * 10_000, "file"))
    first, second, third = front.run()
    assert (first[0], first[1], first[3:]) == (frames.WHOLE, 1, (2, b"200 OK\0A\0b", b"/a"))
    assert second[5] == b"/bsmall"
    assert third[5] == b"/c" + b"large" * 10_000
    assert first[2] <= monotonic()


def test_the_claim_stands_before_the_revocation_is_read(front: Front) -> None:
    seen: list[Any] = []
    board: Any = front.board

    class Revoked:
        def __getitem__(self, at: int) -> int:
            seen.append((at, front.board.claims()))
            return 0

    revoked, board.revoked = board.revoked, Revoked()
    front.send()
    worker = Worker(front.outfit, app)
    front.queue._sender.close()
    worker._receive(worker._slots[0], None)
    board.revoked = revoked
    (at, claims), *_ = seen
    assert at == 1
    assert list(claims) == [1]
    assert 0 < claims[1][1] <= monotonic()


def test_the_claim_is_kept_until_the_app_is_closed(front: Front) -> None:
    claims: list[Any] = []

    class Body(list[bytes]):
        def close(self) -> None:
            claims.append(front.board.claims())

    def watching(environ: Any, start_response: Any) -> Any:
        claims.append(front.board.claims())
        start_response("200 OK", [])
        return Body([b"x"])

    front.send()
    front.run(watching)
    assert [list(found) for found in claims] == [[1], [1]]
    assert front.board.claims() == {}


def test_the_note_stands_before_the_claim_is_given_up(front: Front) -> None:
    written: list[Any] = []
    board: Any = front.board

    class Finished:
        def __setitem__(self, at: int, note: int) -> None:
            written.append((at, note, list(front.board.claims())))

    finished, board.finished = board.finished, Finished()
    front.outfit = front.outfit._replace(seat=1)
    front.send()
    front.send()
    front.run()
    board.finished = finished
    assert written == [(1, 1 << SEAT_BITS | 1, [1]), (2, 2 << SEAT_BITS | 1, [2])]
    assert front.board.claims() == {}


def test_nothing_is_noted_of_a_job_that_was_not_run_or_is_still_claimed(front: Front) -> None:
    front.send()
    front.queue.board.revoke(1)
    front.send()
    front.run()
    assert [front.board.finisher(job_id) for job_id in (1, 2)] == [-1, 0]


def test_a_job_whose_answer_cannot_be_sent_stays_claimed(front: Front) -> None:
    front.send()
    front.streams[0].close()
    front.queue._sender.close()
    worker = Worker(front.outfit, app)
    worker._receive(worker._slots[0], None)
    assert list(front.board.claims()) == [1]
    assert front.board.finisher(1) == -1


def test_a_revoked_job_is_left_alone(front: Front, make_body: Any) -> None:
    ran: list[Any] = []
    before = len(os.listdir("/proc/self/fd"))
    front.send(body=make_body(b"x" * 50_000, "file"))
    front.send()
    front.send()
    front.queue.board.revoke(1)
    front.queue.board.abandon(2)
    assert [frame[:2] for frame in front.run(lambda *_: ran.append(_))] == [
        (frames.DROPPED, 1),
        (frames.FAIL, 3),  # of the second nobody wants to hear
    ]
    assert len(ran) == 1
    assert front.board.claims() == {}
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the body's own


def test_a_job_that_was_cut_is_not_run(front: Front) -> None:
    front.queue._sender.send(frames.JOB.pack(7, 10, -1, 0) + b"x" * (frames.JOB_MAX + 10))
    front.queue._sender.send(frames.JOB.pack(8, 10, 5000, frames.PASSED) + b"x" * 10)
    assert [(frame[:2], frame[5][:7]) for frame in front.run()] == [
        ((frames.FAIL, 7), b"bad-job"),
        ((frames.FAIL, 8), b"bad-job"),
    ]


def test_the_budget_of_calls(front: Front) -> None:
    """From recv to send: each call in Python costs every request."""
    for _ in range(3):
        front.send()
    called: list[str] = []

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and "tinfront" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
            called.append(frame.f_code.co_name)

    front.queue._sender.close()
    worker = Worker(front.outfit, app)
    sys.setprofile(profile)
    worker._receive(worker._slots[0], None)
    sys.setprofile(None)
    last = called[len(called) - called[::-1].index("perform") - 1 :]
    assert len(last) <= 8, last


# --- replies


def reply(front: Front) -> Reply:
    reply = Reply(front.outfit.streams[0], front.outfit.files, front.board)
    reply.job_id, reply.claimed = 5, 1.5
    return reply


def test_pieces_and_their_end_wait_for_the_front(front: Front) -> None:
    out = reply(front)
    thread = threading.Thread(target=lambda: (out.start("200 OK", FIELDS, b"a", 3), out.finish(b"bc")))
    thread.start()
    heard: list[frames.Frame] = []
    while not heard or heard[-1][0] != frames.END:
        heard += front.hear()
    assert thread.is_alive()
    front.streams[0].send(b"\x06")
    thread.join(20)
    assert [(frame[0], frame[3], frame[5]) for frame in heard] == [
        (frames.START, 3, b""),
        (frames.DATA, -1, b"a"),
        (frames.DATA, -1, b"bc"),
        (frames.END, -1, b""),
    ]
    assert not out.lost


def test_a_large_body_goes_in_pieces(front: Front) -> None:
    body = os.urandom(frames.WHOLE_MAX + 1)
    out = reply(front)
    thread = threading.Thread(target=out.send, args=("200 OK", FIELDS, body, len(body)))
    thread.start()
    heard: list[frames.Frame] = []
    while not heard or heard[-1][0] != frames.END:
        heard += front.hear()
    front.streams[0].send(b"\x06")
    thread.join(20)
    assert heard[0][3] == len(body)
    assert b"".join(frame[5] for frame in heard) == body
    assert max(len(frame[5]) for frame in heard) == frames.PIECE_MAX


def test_what_nobody_wants_ends(front: Front) -> None:
    out = reply(front)
    out.start("200 OK", FIELDS, b"", None)
    front.board.revoke(5)
    out.write(b"still wanted: it only must not be run twice")
    front.board.abandon(5)
    with pytest.raises(ClientGone):
        out.write(b"more")
    with pytest.raises(ClientGone):
        out.finish(b"")
    assert not out.lost


def test_a_front_that_is_gone_is_noticed(front: Front) -> None:
    out = reply(front)
    front.streams[0].close()
    out.send("200 OK", FIELDS, b"x", 1)
    assert out.lost
    with pytest.raises(ClientGone):
        out.start("200 OK", FIELDS, b"x", 1)
    out.started = True
    with pytest.raises(ClientGone):
        out.finish(b"x")


def test_a_failure_is_short(front: Front) -> None:
    reply(front).fail("app-error", "x" * 100_000)
    ((kind, *_, body),) = front.hear()
    assert kind == frames.FAIL
    assert len(body) < 5000


def test_a_descriptor_that_cannot_be_passed_is_a_failure(front: Front) -> None:
    out = reply(front)
    front.files.close()
    out.send_file("200 OK", FIELDS, 0, 0, 5)
    assert front.hear()[0][0] == frames.FAIL


# --- the end


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("number", [STOP, signal.SIGTERM])
def test_a_signal_ends_an_idle_worker(
    quiet_loop: Any, rig_exchange: Any, handlers: None, threads: int, number: int
) -> None:
    front = Front(quiet_loop, rig_exchange, threads)

    over = threading.Event()

    def stop() -> None:
        assert front.hear()[0][0] == frames.READY
        os.kill(os.getpid(), number)
        while not over.wait(1.0):  # again, as the front does: the first may have come just before it fell asleep
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=stop)
    thread.start()
    Worker(front.outfit, app).serve()
    over.set()
    thread.join()
    front.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_busy_worker_finishes_first(quiet_loop: Any, rig_exchange: Any, handlers: None, threads: int) -> None:
    front = Front(quiet_loop, rig_exchange, threads)
    go = threading.Event()

    def slow(environ: Any, start_response: Any) -> Any:
        os.kill(os.getpid(), STOP)
        go.wait(0.2)
        os.kill(os.getpid(), STOP)  # again, as the front does: the first may have come just before it fell asleep
        start_response("200 OK", [])
        return [b"finished"]

    front.send()
    worker = Worker(front.outfit, slow)
    worker.serve()
    front.send()  # not taken any more
    heard = front.hear()
    assert heard[0][0] == frames.READY
    assert [frame[5] for frame in heard if frame[0] == frames.WHOLE] == [b"finished"]
    assert front.queue.backlog() > 0
    front.close()


def test_a_second_term_unwinds_the_app(front: Front, handlers: None) -> None:
    unwound: list[bool] = []

    def stuck(environ: Any, start_response: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(20)
        finally:
            unwound.append(True)

    front.send()
    Worker(front.outfit, stuck).serve()
    assert unwound
    assert [frame[0] for frame in front.hear()] == [frames.READY, frames.FAIL]


def test_threads_of_a_worker_work_at_once(quiet_loop: Any, rig_exchange: Any, handlers: None) -> None:
    front = Front(quiet_loop, rig_exchange, 3)
    meeting = threading.Barrier(3, timeout=20)

    def meet(environ: Any, start_response: Any) -> Any:
        meeting.wait()
        start_response("200 OK", [])
        return [threading.current_thread().name.encode()]

    for _ in range(6):
        front.send()
    front.queue._sender.close()
    Worker(front.outfit, meet).serve()
    names = []
    for stream in front.streams:
        names += [frame[5] for frame in frames.Decoder().feed(stream.recv(1 << 20)) if frame[0] == frames.WHOLE]
    assert len(names) == 6
    assert set(names) == {b"worker-0", b"worker-1", b"worker-2"}
    front.close()
