"""Answers that cross from a thread to the front; the test is both."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange
from tinfront.errors import ClientGone
from tinfront.http.message import FileSlice
from tinfront.interfaces import IBodyProducer, IReply
from tinfront.workers.headers import check_headers
from tinfront.workers.thread_replies import HIGH_MARK, LOW_MARK, Task, ThreadProducer, ThreadReply

FIELDS = check_headers("200 OK", [("A", "b")])


class Front:
    """Posted calls, made when the test says so."""

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self.answers: list[Any] = []

    def post(self, call: Any, arguments: Any) -> None:
        self.posted.append((call, arguments))

    def done(self, *answer: Any) -> None:
        self.answers.append(answer)

    def collect(self) -> None:
        while self.posted:
            call, arguments = self.posted.pop(0)
            call(*arguments)


class Outbox:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def finish(self) -> None:
        self.calls.append("finish")

    def fail(self, reason: str, detail: str = "") -> None:
        self.calls.append((reason, detail))


def make() -> tuple[Task, Front, ThreadReply]:
    task, front = Task(FakeExchange(), "", 0.0), Front()
    return task, front, ThreadReply(task, front.post, front.done)


def test_it_is_a_reply_and_its_stream_a_producer() -> None:
    task, front, reply = make()
    assert verifyObject(IReply, reply)
    assert verifyObject(IBodyProducer, ThreadProducer(task, front.post))


def test_only_one_claims_a_task() -> None:
    task, _, _ = make()
    assert task.claim()
    assert not task.claim()
    won: list[bool] = []
    for _ in range(50):
        task = Task(FakeExchange(), "", 0.0)
        threads = [threading.Thread(target=lambda task=task: won.append(task.claim())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert won.count(True) == 50


def test_a_task_that_is_forgotten_before_it_begins_closes_its_body(make_body: Any) -> None:
    task, _, _ = make()
    task.exchange.body = make_body(b"x" * 1000, "file")
    task.take_body(None, task.forget)
    assert (task.length, task.data) == (1000, None)
    fd = task.fd
    assert task.forget()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
    assert task.gone


def test_a_task_that_has_begun_cannot_be_taken_back() -> None:
    task, _, _ = make()
    task.claim()
    assert not task.forget()
    assert task.gone


def test_a_whole_answer() -> None:
    task, front, reply = make()
    reply.send("404 Not Found", check_headers("404 Not Found", [("A", "b")]), b"body", 4)
    reply.send("404 Nowhere", check_headers("404 Nowhere", [("A", "b")]), b"body", 4)
    reply.send("299", check_headers("299", [("A", "b")]), b"", None)
    front.collect()
    heads = [answer[1] for answer in front.answers]
    assert [(head.status, head.reason, head.length) for head in heads] == [
        (404, None, 4),
        (404, "Nowhere", 4),
        (299, None, None),
    ]
    assert heads[0].fields == [("A", "b")]
    assert heads[0].fields is not FIELDS
    assert front.answers[0][0] is task
    assert front.answers[0][2] == b"body"


def test_a_failure() -> None:
    task, front, reply = make()
    reply.fail("bad-header", "told")
    front.collect()
    assert front.answers == [(task, None, (500, "bad-header", "told"))]


def test_a_file_outlives_the_apps_descriptor(tmp_path: Any) -> None:
    _, front, reply = make()
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as file:
        reply.send_file("200 OK", FIELDS, file.fileno(), 3, 7)
    front.collect()
    body = front.answers[0][2]
    assert isinstance(body, FileSlice)
    assert os.pread(body.file.fd, body.length, body.offset) == b"3456789"


def test_a_stream() -> None:
    task, front, reply = make()
    reply.start("200 OK", FIELDS, b"one", None)
    reply.write(b"two")
    front.collect()
    outbox = Outbox()
    producer = front.answers[0][2]
    assert producer is task.producer
    producer.start(outbox)
    assert outbox.calls == [b"one", b"two"]
    producer.pause()
    reply.write(b"three")
    reply.finish(b"four")
    front.collect()
    assert outbox.calls == [b"one", b"two"]
    producer.resume()
    front.collect()
    assert outbox.calls[2:] == [b"three", b"four", "finish"]


def test_a_stream_that_fails() -> None:
    _, front, reply = make()
    reply.start("200 OK", FIELDS, b"one", None)
    reply.fail("app-error", "told")
    front.collect()
    outbox = Outbox()
    front.answers[0][2].start(outbox)
    assert outbox.calls == [b"one", ("app-error", "told")]


def test_one_wake_up_for_many_pieces() -> None:
    _, front, reply = make()
    reply.start("200 OK", FIELDS, b"1", None)
    for _ in range(10):
        reply.write(b"x")
    assert len(front.posted) == 2  # the head, and the pieces


def test_a_thread_waits_while_too_much_is_on_its_way() -> None:
    _, front, reply = make()
    reply.start("200 OK", FIELDS, b"x", None)
    front.collect()
    producer, outbox = front.answers[0][2], Outbox()
    producer.start(outbox)
    producer.pause()
    going_on = threading.Event()
    thread = threading.Thread(target=lambda: (reply.write(b"x" * (HIGH_MARK + 1)), going_on.set()))
    thread.start()
    assert not going_on.wait(0.05)
    producer.resume()
    front.collect()
    assert going_on.wait(20)
    thread.join()
    assert LOW_MARK < HIGH_MARK


@pytest.mark.parametrize("how", ["stop", "give_up", "forget"])
def test_a_thread_that_waits_learns_that_nobody_does(how: str) -> None:
    task, front, reply = make()
    task.claim()
    reply.start("200 OK", FIELDS, b"x", None)
    front.collect()
    producer, outbox = front.answers[0][2], Outbox()
    producer.start(outbox)
    producer.pause()
    gone = threading.Event()

    def write() -> None:
        try:
            reply.write(b"x" * (HIGH_MARK + 1))
        except ClientGone:
            gone.set()

    thread = threading.Thread(target=write)
    thread.start()
    if how == "forget":
        task.forget()
    else:
        assert getattr(producer, how)() is (outbox if how == "give_up" else None)
    thread.join(20)
    assert gone.is_set()
    front.collect()
    assert outbox.calls == [b"x"]
    with pytest.raises(ClientGone):
        reply.write(b"more")


def test_what_nobody_wants_does_not_begin() -> None:
    task, _, reply = make()
    task.gone = True
    with pytest.raises(ClientGone):
        reply.start("200 OK", FIELDS, b"x", None)
