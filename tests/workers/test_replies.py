"""A reply stream, with the test in the place of the worker: good, slow, and hostile."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import make_head
from tinfront.workers import frames, replies
from tinfront.workers.board import GONE
from tinfront.workers.frames import (
    BROKEN,
    CUT,
    DATA,
    DROPPED,
    END,
    FAIL,
    FILE,
    OFFSET,
    READY,
    START,
    WHOLE,
    encode_reply,
)
from tinfront.workers.jobs import Job, JobQueue
from tinfront.workers.replies import ReplyStream

HEAD = b"200 OK\0A\0b"


class Worker:
    """A ``WorkerProcess`` that records what it is told."""

    pid = 4711

    def __init__(self, queue: JobQueue, loop: Any) -> None:
        self.queue, self.loop = queue, loop
        self.told: list[str] = []
        self.served = self.requests_max = 0
        ours, self.socket = socket.socketpair()
        self.socket.setblocking(False)
        self.files, self.files_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.files.setblocking(False)
        self.stream = ReplyStream(ours, loop, queue, self)

    def on_ready(self, body: bytes = b"") -> None:
        self.told.append("ready")

    def on_enough(self) -> None:
        self.told.append("enough")

    def on_broken(self, text: str) -> None:
        self.told.append(f"broken: {text}")

    def on_violation(self, why: str) -> None:
        self.told.append(f"violation: {why}")

    def on_lost(self) -> None:
        self.told.append("lost")

    def say(self, kind: int, job_id: int = 0, head: bytes = b"", body: bytes = b"", length: int | None = None) -> None:
        """Send a frame, and let the front take it."""
        self.send(encode_reply(kind, job_id, monotonic(), length, head, body))

    def send(self, data: bytes) -> None:
        self.socket.setblocking(True)
        self.socket.sendall(data)
        self.socket.setblocking(False)
        for _ in range(3):
            self.loop.turn(0.0)

    @property
    def acknowledged(self) -> int:
        try:
            return len(self.socket.recv(100))
        except BlockingIOError:
            return 0

    def close(self) -> None:
        self.stream.close()
        for sock in (self.socket, self.files, self.files_end):
            sock.close()


@pytest.fixture
def queue(quiet_loop: Any) -> Iterator[JobQueue]:
    queue = JobQueue(4, 3, quiet_loop)
    queue.open()
    yield queue
    queue.close()


@pytest.fixture
def worker(queue: JobQueue, quiet_loop: Any) -> Iterator[Worker]:
    worker = Worker(queue, quiet_loop)
    yield worker
    worker.close()


@pytest.fixture
def add(queue: JobQueue, rig_exchange: Any) -> Any:
    def add(method: str = "GET") -> Job:
        job = Job()
        job.exchange = rig_exchange(make_head(method))
        job.script_name = ""
        job.queued = monotonic()
        job.deaths = 0
        job.answering = job.verdict = job.inlet = None
        job.unbuffered = False
        queue.waiting.append(job)
        queue.pump()
        return job

    return add


# --- answers


def test_a_whole_answer(worker: Worker, add: Any, queue: JobQueue) -> None:
    job = add()
    worker.say(WHOLE, 1, b"404 Not Here\0A\0b\0C\0d", b"hello", 5)
    head, body = job.exchange.answer
    assert (head.status, head.reason, head.fields, head.length, body) == (
        404,
        "Not Here",
        [("A", "b"), ("C", "d")],
        5,
        b"hello",
    )
    assert job.queued <= job.exchange.claimed <= monotonic()
    assert job.exchange.pid == 4711
    assert queue.pending == {}
    assert worker.told == []


def test_whole_answers_share_what_is_known_of_their_head(worker: Worker, add: Any) -> None:
    first, second = add(), add()
    worker.say(WHOLE, 1, HEAD, b"x", 1)
    worker.say(WHOLE, 2, HEAD, b"xy", 2)
    heads = [job.exchange.answer[0] for job in (first, second)]
    assert [head.block for head in heads] == [b"A: b\r\nContent-Length: 1\r\n", b"A: b\r\nContent-Length: 2\r\n"]
    assert heads[0].fields is heads[1].fields  # a head with a block is never edited; filters get a copy
    assert heads[0].copy().fields is not heads[0].fields


def test_answers_that_begin_have_a_head_of_their_own(worker: Worker, add: Any) -> None:
    for number in (1, 2):
        job = add()
        worker.say(START, number, HEAD)
        assert job.exchange.answer[0].fields == [("A", "b")]
        job.exchange.answer[0].fields.append(("Edited", "yes"))
        worker.say(END, number)


def test_heads_that_are_kept_have_a_bound(worker: Worker, add: Any) -> None:
    for number in range(1, 2200):
        add()
        worker.stream._worker = worker
        worker.socket.send(encode_reply(WHOLE, number, monotonic(), 0, HEAD + b"%d" % number, b""))
        worker.stream.readable()
        worker.queue.receiver.recv(frames.JOB_MAX)
    assert len(replies._heads) <= 1024


def test_an_answer_makes_room_for_the_next_job(worker: Worker, add: Any, queue: JobQueue) -> None:
    for _ in range(20):
        add()
    assert (len(queue.pending), queue.line.count) == (16, 4)
    worker.send(b"".join(encode_reply(WHOLE, number, monotonic(), 0, HEAD, b"") for number in range(1, 4)))
    assert (len(queue.pending), queue.line.count) == (16, 1)


def test_an_answer_nobody_waits_for_is_dropped(worker: Worker, add: Any) -> None:
    worker.say(WHOLE, 99, HEAD, b"x", 1)
    worker.say(FAIL, 99, b"", b"app-error\0x")
    worker.say(START, 99, HEAD)
    worker.say(DATA, 99, b"", b"x")
    worker.say(END, 99)
    assert worker.acknowledged == 1  # the thread must not wait for ever
    assert worker.told == []


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"304 Not Modified"), ("GET", b"204 No Content")]
)
def test_an_answer_without_body_may_announce_one(worker: Worker, add: Any, method: str, status: bytes) -> None:
    job = add(method)
    worker.say(WHOLE, 1, status, b"", 100)
    assert (job.exchange.answer[0].length, job.exchange.answer[1]) == (100, b"")
    job = add(method)
    worker.say(WHOLE, 2, status, b"", None)
    assert job.exchange.answer[0].length is None


def test_a_failure(worker: Worker, add: Any, queue: JobQueue) -> None:
    job = add()
    worker.say(FAIL, 1, b"", b"bad-header\0name and value")
    assert job.exchange.refusal[:3] == (500, "bad-header", "name and value")
    assert queue.pending == {}


def test_a_streamed_answer(worker: Worker, add: Any, queue: JobQueue) -> None:
    job = add()
    worker.say(START, 1, HEAD, b"", 11)
    worker.say(DATA, 1, b"", b"hello ")
    assert job.exchange.outbox.data == b"hello "
    assert queue.pending == {1: job}
    worker.say(DATA, 1, b"", b"world")
    assert worker.acknowledged == 0
    worker.say(END, 1)
    assert worker.acknowledged == 1
    assert (job.exchange.outbox.data, job.exchange.outbox.finished) == (b"hello world", True)
    assert queue.pending == {}


def test_a_streamed_answer_that_the_app_gives_up(worker: Worker, add: Any) -> None:
    job = add()
    worker.say(START, 1, HEAD)
    worker.say(CUT, 1, b"", b"app-error\0RuntimeError")
    assert job.exchange.outbox.failure == ("app-error", "RuntimeError")
    assert worker.acknowledged == 1


def test_the_end_ends_a_pause(worker: Worker, add: Any) -> None:
    job = add()
    other = add()
    worker.socket.setblocking(True)
    job.exchange.on_respond = lambda: job.exchange.answer[1].pause()  # noqa: PLW0108 - there is no answer yet
    worker.say(START, 1, HEAD)
    worker.say(DATA, 1, b"", b"late")
    worker.say(END, 1)
    assert job.exchange.outbox.pieces == []
    job.exchange.answer[1].resume()
    worker.say(WHOLE, 2, HEAD, b"x", 1)
    assert job.exchange.outbox.finished
    job.exchange.answer[1].pause()  # it has all, and drains; that is nothing to this stream
    third = add()
    worker.say(WHOLE, 3, HEAD, b"x", 1)
    assert other.exchange.answer
    assert third.exchange.answer


def test_a_client_that_leaves_a_stream(worker: Worker, add: Any, queue: JobQueue) -> None:
    job = add()
    worker.say(START, 1, HEAD)
    worker.say(DATA, 1, b"", b"some")
    job.exchange.answer[1].pause()
    job.exchange.answer[1].stop()
    assert queue.board.revoked[1] == 1 | GONE
    assert queue.pending == {}
    worker.say(DATA, 1, b"", b"more")  # it had not seen it yet
    worker.say(END, 1)
    assert job.exchange.outbox.data == b"some"
    assert not job.exchange.outbox.over
    assert worker.acknowledged == 1
    other = add()
    worker.say(WHOLE, 2, HEAD, b"x", 1)
    assert other.exchange.answer


def test_an_outbox_that_comes_late_misses_nothing(worker: Worker, add: Any) -> None:
    job = add()
    job.exchange.late = True
    pieces = [encode_reply(DATA, 1, 0.0, None, b"", b"%d" % number) for number in range(5)]
    worker.send(encode_reply(START, 1, 0.0, None, HEAD, b"") + b"".join(pieces[:3]))
    worker.send(b"".join(pieces[3:]) + encode_reply(END, 1, 0.0, None, b"", b""))
    job.exchange.answer[1].start(job.exchange.outbox)
    worker.loop.until(lambda: job.exchange.outbox.finished)
    assert job.exchange.outbox.data == b"01234"


def test_an_exchange_that_is_over_takes_no_stream(worker: Worker, add: Any, queue: JobQueue) -> None:
    job = add()
    job.exchange.respond = lambda head, body: job.exchange.abort("elsewhere")
    worker.say(START, 1, HEAD)
    worker.say(DATA, 1, b"", b"x")
    assert queue.pending == {}
    assert worker.told == []


def test_a_file(worker: Worker, add: Any, queue: JobQueue, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    job = add()
    with (tmp_path / "file").open("rb") as file:
        socket.send_fds(worker.files_end, [OFFSET.pack(1)], [file.fileno()])
    worker.say(FILE, 1, HEAD, OFFSET.pack(4), 6)
    head, body = job.exchange.answer
    assert (head.length, body.offset, body.length) == (6, 4, 6)
    assert os.pread(body.file.fd, body.length, body.offset) == b"456789"
    assert queue.pending == {}


def test_a_file_that_has_become_shorter(worker: Worker, add: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123")
    job = add()
    with (tmp_path / "file").open("rb") as file:
        socket.send_fds(worker.files_end, [OFFSET.pack(1)], [file.fileno()])
    worker.say(FILE, 1, HEAD, OFFSET.pack(4), 6)
    assert job.exchange.refusal[:2] == (500, "bad-length")


def test_a_file_nobody_waits_for_is_closed(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123")
    before = len(os.listdir("/proc/self/fd"))
    with (tmp_path / "file").open("rb") as file:
        socket.send_fds(worker.files_end, [OFFSET.pack(99)], [file.fileno()])
    worker.say(FILE, 99, HEAD, OFFSET.pack(0), 4)
    assert len(os.listdir("/proc/self/fd")) == before
    assert worker.told == []


def test_answers_are_counted(worker: Worker, add: Any) -> None:
    worker.requests_max = 3
    for _ in range(3):
        assert worker.told == []
        worker.say(WHOLE, add().id, head=b"200 OK", body=b"x", length=1)
    worker.say(FAIL, add().id, body=b"app-error\0no")
    worker.say(WHOLE, 4711, head=b"200 OK", body=b"x", length=1)  # nobody asked
    assert worker.served == 4
    assert worker.told == ["enough"]


def test_what_a_worker_says_of_itself(worker: Worker) -> None:
    worker.say(READY)
    worker.say(BROKEN, body=b"Traceback")
    worker.socket.close()
    worker.loop.turn(0.0)
    assert worker.told == ["ready", "broken: Traceback", "lost"]


def test_what_came_before_the_end_counts(worker: Worker, add: Any) -> None:
    job = add()
    worker.socket.sendall(encode_reply(WHOLE, 1, 0.0, 1, HEAD, b"x"))
    worker.socket.close()
    worker.stream.close()
    assert job.exchange.answer
    assert worker.told == ["lost"]


def test_a_time_that_cannot_be_is_the_time_of_the_queue(worker: Worker, add: Any) -> None:
    for number, claimed in enumerate((0.0, float("nan"), -float("inf")), 1):
        job = add()
        worker.send(encode_reply(WHOLE, number, claimed, 0, HEAD, b""))
        assert job.exchange.claimed == job.queued


# --- hostile


VIOLATIONS = [
    ("a broken head", [(WHOLE, b"200 OK\0A\0b\r\nEvil: 1", b"x", 1)]),
    ("a head that speaks of the connection", [(WHOLE, b"200 OK\0Transfer-Encoding\0chunked", b"x", 1)]),
    ("a head that is none", [(WHOLE, b"", b"x", 1)]),
    ("a body that is shorter than announced", [(WHOLE, HEAD, b"x", 2)]),
    ("a body that is longer than announced", [(WHOLE, HEAD, b"xyz", 2)]),
    ("no length for a whole answer", [(WHOLE, HEAD, b"xyz", None)]),
    ("a negative length", [(START, b"200 OK\nX", b"", 2)]),
    ("a file without a file", [(FILE, HEAD, OFFSET.pack(0), 5)]),
    ("a piece before the head", [(DATA, b"", b"x", None)]),
    ("an end before the head", [(END, b"", b"", None)]),
    ("a cut before the head", [(CUT, b"", b"", None)]),
    ("readiness for a job", [(READY, b"", b"", None)]),
    ("a drop of what was not revoked", [(DROPPED, b"", b"", None)]),
    ("a second head", [(START, HEAD, b"", None), (START, HEAD, b"", None)]),
    ("a whole answer within another", [(START, HEAD, b"", None), (WHOLE, HEAD, b"x", 1)]),
    ("more than was announced", [(START, HEAD, b"", 3), (DATA, b"", b"1234", None)]),
    ("a failure within an answer", [(START, HEAD, b"", None), (FAIL, b"", b"app-error\0", None)]),
]


@pytest.mark.parametrize(("name", "said"), VIOLATIONS, ids=[name for name, _ in VIOLATIONS])
def test_whoever_breaks_the_protocol_is_reported_and_not_heard_again(
    worker: Worker, add: Any, queue: JobQueue, name: str, said: Any
) -> None:
    job, other = add(), add()
    for kind, head, body, length in said:
        worker.say(kind, 1, head, body, length)
    assert [word.partition(":")[0] for word in worker.told] == ["violation"]
    if job.exchange.answer:
        assert job.exchange.outbox.failure[0] == "bad-reply"
        assert job.id not in queue.pending
    elif job.id not in queue.pending:
        assert job.exchange.refusal[:2] == (502, "bad-reply")
    with suppress(OSError):  # its end is closed
        worker.say(WHOLE, 2, HEAD, b"x", 1)
    assert other.exchange.answer is None
    assert queue.pending[2] is other  # the worker's death will tell what becomes of it


def test_an_answer_to_a_job_that_another_thread_is_answering(worker: Worker, add: Any, queue: JobQueue) -> None:
    second = Worker(queue, worker.loop)
    for kind in (WHOLE, START, FAIL):
        job = add()
        worker.say(START, job.id, HEAD)
        second.say(kind, job.id, HEAD, b"", 0)
        assert second.told == ["violation: a broken answer"]
        assert job.exchange.outbox.failure[0] == "bad-reply"
        assert job.id not in queue.pending
        assert worker.stream.current is None
        second.close()
        second = Worker(queue, worker.loop)
    second.close()
    assert worker.told == []


@given(said=st.lists(st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda kind, job_id, length, head, body: encode_reply(kind, job_id, 0.0, length, head, body),
        st.integers(0, 12), st.integers(0, 6), st.one_of(st.none(), st.integers(-5, 9)),
        st.sampled_from([b"", HEAD, b"200 OK\0A\0b\n", b"304 No"]),
        st.sampled_from([b"", b"x", b"\0" * 8, b"app-error\0y"]),
    ),
), max_size=12))  # fmt: skip
@settings(max_examples=300)
def test_no_garbage_escapes(said: list[bytes], rig_exchange: Any) -> None:
    class Loop:
        def add_reader(self, *_: Any) -> None: ...
        def remove_reader(self, *_: Any) -> None: ...
        def turn(self, _: float) -> None: ...

    queue = JobQueue(4, 3, None)
    queue.open()
    worker = Worker(queue, Loop())
    try:
        for _ in range(4):
            job = Job()
            job.exchange = rig_exchange(make_head())
            job.script_name, job.queued, job.deaths = "", 0.0, 0
            job.answering = job.verdict = job.inlet = None
            job.unbuffered = False
            queue.waiting.append(job)
        queue.pump()
        for data in said:
            worker.socket.sendall(data)
            if worker.stream._watched:
                worker.stream.readable()
            if any(word.startswith("violation") for word in worker.told):
                break
        assert len(queue.pending) <= 4
    finally:
        worker.close()
        queue.close()
