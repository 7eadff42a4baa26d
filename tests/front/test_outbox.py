from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from tests.transports import FAR, HIGH, Client, Front, Later, Producer, SocketTransport, replies
from tinfront.front.outbox import READ_SIZE, TURN_MAX, Outbox
from tinfront.front.patience import _stuck
from tinfront.front.spool import Budget
from tinfront.http.message import FileSlice, OpenFile, ResponseHead
from tinfront.interfaces import IBodyProducer, IOutbox

GET = b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: demo.test\r\n\r\n"
BIG = bytes(range(256)) * 1600  # 400 KiB


def front_for(body: Any, length: int | None = None, **terms: Any) -> Front:
    return Front(lambda exchange: exchange.respond(ResponseHead(200, [], length), body), **terms)


def one(data: bytes) -> Any:
    [reply] = replies(data)
    return reply


@pytest.fixture
def file(tmp_path: Path) -> FileSlice:
    path = tmp_path / "file"
    path.write_bytes(BIG)
    return FileSlice(OpenFile(os.open(path, os.O_RDONLY)), 0, len(BIG))


def started(producer: Producer, room: int = FAR, length: int | None = None, **terms: Any) -> tuple[Front, Client]:
    """A client whose answer has begun to come from ``producer``."""
    front = front_for(producer, length, **terms)
    client = front.connect(room)
    client.send(GET)
    return front, client


def test_the_interfaces() -> None:
    producer = Producer()
    started(producer)
    verifyObject(IOutbox, producer.outbox)
    verifyObject(IBodyProducer, producer)


# --- bodies that are all there


@pytest.mark.parametrize("body", [BIG, [BIG], [b"", BIG[:7], b"", BIG[7:]], [BIG[:200_000], BIG[200_000:]]])
def test_large_bodies(body: Any) -> None:
    front = front_for(body)
    client = front.connect()
    first, second = replies(client.send(GET + GET))
    assert first.body == BIG
    assert int(first.fields["content-length"]) == len(BIG)
    assert second == first
    assert [exchange.sent for exchange in front.over] == [len(BIG)] * 2


def test_nothing_at_all() -> None:
    for body in ([], [b""], FileSlice(OpenFile(os.dup(0)), 0, 0), Producer(finish=True)):
        reply = one(front_for(body).exchange(GET))
        assert (reply.body, reply.complete) == (b"", True)


def test_the_head_leaves_with_the_first_of_the_body() -> None:
    client = front_for([b"a", b"b"]).connect()
    client.send(GET)
    assert client.transport.writes == 2
    client = front_for(Producer(b"a", finish=True)).connect()
    client.send(GET)
    assert client.transport.writes == 2  # head and chunk, last chunk


def test_a_slow_client_gets_it_all() -> None:
    client = front_for([BIG[:150_000], BIG[150_000:]]).connect(room=0)
    client.send(GET)
    assert client.transport.get_write_buffer_size() < 151_000
    for _ in range(200):
        client.read(5000)
    assert one(bytes(client.transport.out)).body == BIG


@pytest.mark.parametrize("length", [3, 10])
def test_a_wrong_length_is_cut(length: int) -> None:
    front = front_for([b"abc", b"def"], length)
    client = front.connect()
    data = client.send(GET + GET)
    assert client.closed
    assert [exchange.reason for exchange in front.over] == ["bad-length"]
    assert not one(data).complete or length == 3
    assert len(one(data).body) <= length


# --- files


def test_a_file_by_way_of_memory(file: FileSlice) -> None:
    for secure in (True, False):  # a transport without a socket, and one that must not be bypassed
        front = front_for([b"<", file, b">", FileSlice(file.file, 5, 3)])
        client = front.connect(secure=secure)
        assert one(client.send(GET)).body == b"<" + BIG + b">" + BIG[5:8]
    assert (file.offset, file.length) == (0, len(BIG))


def test_a_file_in_chunks(file: FileSlice) -> None:
    producer = Producer()
    _, client = started(producer)
    producer.outbox.write(b"<")
    producer.outbox.write_file(file)
    producer.outbox.write(b">")
    producer.outbox.finish()
    client.news()
    assert one(bytes(client.transport.out)).body == b"<" + BIG + b">"


def on_socket(front: Front) -> SocketTransport:
    client = front.connect()
    client.transport = transport = SocketTransport(front)
    transport.connection = client.connection
    client.connection.connection_made(transport)
    client.send(GET)
    return transport


@pytest.mark.parametrize("extra", [False, True])
def test_a_file_by_sendfile(file: FileSlice, extra: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def unused(*args: Any) -> bytes:
        raise AssertionError("read into memory")

    if not extra:
        monkeypatch.setattr(os, "pread", unused)
    front = front_for([b"<", file, b">"] if extra else file)
    transport = on_socket(front)
    reply = one(transport.read_all())
    assert reply.body == (b"<" + BIG + b">" if extra else BIG)
    assert [exchange.sent for exchange in front.over] == [len(reply.body)]
    transport.connection.connection_lost(None)
    transport.done()


def test_sendfile_lets_the_transport_close(file: FileSlice) -> None:
    front = front_for(file)
    transport = on_socket(front)
    transport.connection.drain()
    transport.read_all()
    assert transport.theirs.recv(1) == b""  # no duplicate keeps it open
    assert not front.descriptors.writers
    transport.done()


def test_a_client_that_leaves_in_the_middle_of_a_file(file: FileSlice) -> None:
    front = front_for(file)
    transport = on_socket(front)
    assert front.descriptors.writers
    transport.theirs.close()
    front.descriptors.turn()
    front.turn()
    assert not front.descriptors.writers
    assert [exchange.reason for exchange in front.over] == ["client-gone"]
    transport.done()


@pytest.mark.parametrize("by_socket", [True, False])
def test_a_file_that_shrinks_is_cut(tmp_path: Path, by_socket: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(BIG)
    file = FileSlice(OpenFile(os.open(path, os.O_RDONLY)), 0, len(BIG) + 1)
    front = front_for(file)
    if by_socket:
        transport = on_socket(front)
        data = transport.read_all()
        transport.done()
    else:
        data = front.exchange(GET)
    reply = one(data)
    assert (reply.body, reply.complete) == (BIG, False)
    assert [exchange.reason for exchange in front.over] == ["file-shrank"]


def test_a_file_that_cannot_be_read_is_cut(tmp_path: Path) -> None:
    front = front_for(FileSlice(OpenFile(os.open(tmp_path, os.O_RDONLY)), 0, 10))
    client = front.connect()
    assert client.send(GET) == b""
    assert client.closed
    assert [exchange.reason for exchange in front.over] == ["file-error"]


def test_a_large_file_takes_turns(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (3 * TURN_MAX))
    front = front_for(FileSlice(OpenFile(os.open(path, os.O_RDONLY)), 0, 3 * TURN_MAX))
    client = front.connect()
    client.connection.data_received(GET)
    assert TURN_MAX <= len(client.transport.out) < 2 * TURN_MAX
    assert len(one(client.news()).body) == 3 * TURN_MAX


# --- producers


def test_pieces_leave_as_they_come() -> None:
    producer = Producer()
    _, client = started(producer)
    assert client.transport.out.endswith(b"Transfer-Encoding: chunked\r\n\r\n")  # the head does not wait
    for piece in (b"a", b"", b"bc"):
        producer.outbox.write(piece)
    producer.outbox.finish()
    assert one(bytes(client.transport.out)).body == b"abc"
    assert producer.told == ["start"]


def test_one_that_has_finished_when_it_starts() -> None:
    front, client = started(Producer(b"abc", b"def", finish=True), length=6)
    assert one(bytes(client.transport.out)).body == b"abcdef"
    assert len(front.over) == 1


def test_one_that_fails_before_its_first_byte() -> None:
    class Failing(Producer):
        def start(self, outbox: Any) -> None:
            super().start(outbox)
            outbox.fail("app-failed", "at once")

    producer = Failing()
    front, client = started(producer)
    assert client.closed
    assert producer.told == ["start"]  # who fails need not be stopped
    assert [(exchange.status, exchange.reason) for exchange in front.over] == [(200, "app-failed")]


def test_one_that_raises_when_it_starts() -> None:
    class Raising(Producer):
        def start(self, outbox: Any) -> None:
            super().start(outbox)
            raise RuntimeError("a producer's")

    producer = Raising()
    front, client = started(producer)
    assert client.closed
    assert producer.told == ["start", "stop"]
    assert [exchange.reason for exchange in front.over] == ["internal-error"]


def test_after_the_end_nothing_is_taken() -> None:
    producer = Producer()
    front, client = started(producer)
    producer.outbox.write(b"a")
    producer.outbox.finish()
    before = bytes(client.transport.out)
    producer.outbox.write(b"b")
    producer.outbox.write_file(FileSlice(OpenFile(os.dup(0)), 0, 5))
    producer.outbox.finish()
    producer.outbox.fail("late")
    assert client.transport.out == before
    assert len(front.over) == 1
    assert not client.closed


def test_after_finish_nothing_is_added_to_what_waits() -> None:
    producer = Producer(b"x" * (HIGH + 1))
    _, client = started(producer, room=0)
    producer.outbox.write(b"a")
    producer.outbox.finish()
    producer.outbox.write(b"b")
    client.read()
    assert one(bytes(client.transport.out)).body == b"x" * (HIGH + 1) + b"a"


def test_a_client_that_leaves_stops_it() -> None:
    producer = Producer(b"a")
    front, client = started(producer)
    client.leave()
    assert producer.told == ["start", "stop"]
    producer.outbox.write(b"b")
    producer.outbox.finish()
    assert len(front.over) == 1
    assert front.over[0].status == 200


def test_one_that_fails_to_stop_is_still_over() -> None:
    class Stubborn(Producer):
        def stop(self) -> None:
            raise RuntimeError("a producer's")

    front, client = started(Stubborn(b"a"))
    client.leave()
    assert len(front.over) == 1


# --- the slow client


def test_memory_then_disk_then_the_producer_waits() -> None:
    budget = Budget(1 << 30)
    producer = Producer(b"x" * (HIGH + 1))
    front, client = started(producer, room=0, memory_max=10_000, file_max=50_000, budget=budget)
    outbox = producer.outbox
    for number in range(100):
        outbox.write(b"%02d" % number * 50)
    assert budget.used == 0  # 100 pieces of 100 bytes fill the memory
    outbox.write(b"y")
    assert budget.used == 1
    for _ in range(49):
        outbox.write(b"z" * 1000)
    assert producer.told == ["start"]
    outbox.write(b"z" * 999)
    assert producer.told == ["start", "pause"]
    outbox.write(b"!")  # it was on its way
    client.read(10_000)
    assert producer.told == ["start", "pause"]
    client.read()
    assert producer.told == ["start", "pause", "resume"]
    assert budget.used == 0
    outbox.finish()
    body = one(bytes(client.transport.out)).body
    middle = b"".join(b"%02d" % number * 50 for number in range(100))
    assert body == b"x" * (HIGH + 1) + middle + b"y" + b"z" * 49_999 + b"!"
    assert len(front.over) == 1


def test_small_pieces_that_wait_become_few() -> None:
    producer = Producer(b"x" * (HIGH + 1))
    _, client = started(producer, room=0)
    for _ in range(60_000):
        producer.outbox.write(b"y")
    assert len(producer.outbox._backlog.queue) == 1
    writes = client.transport.writes
    client.read()
    assert client.transport.writes <= writes + 2
    producer.outbox.finish()
    assert one(bytes(client.transport.out)).body.endswith(b"y" * 60_000)


def test_the_budget_at_its_bound_makes_the_producer_wait() -> None:
    budget = Budget(5000)
    producer = Producer(b"x" * (HIGH + 1))
    _, client = started(producer, room=0, memory_max=1000, budget=budget)
    for _ in range(6):
        producer.outbox.write(b"y" * 1000)
    assert budget.used == 5000
    assert producer.told == ["start"]
    producer.outbox.write(b"z" * 1000)
    assert producer.told == ["start", "pause"]
    client.read()
    assert producer.told == ["start", "pause", "resume"]
    assert budget.used == 0
    producer.outbox.finish()
    assert one(bytes(client.transport.out)).body.endswith(b"y" * 6000 + b"z" * 1000)


def test_no_temporary_file_makes_the_producer_wait(tmp_path: Path) -> None:
    budget = Budget(1 << 30, str(tmp_path / "missing"))
    producer = Producer(b"x" * (HIGH + 1))
    _, client = started(producer, room=0, memory_max=1000, budget=budget)
    producer.outbox.write(b"y" * 1001)
    assert producer.told == ["start", "pause"]
    client.read()
    producer.outbox.finish()
    assert one(bytes(client.transport.out)).complete


def test_the_space_comes_back_however_it_ends() -> None:
    budget = Budget(1 << 30)
    for end in ("leave", "fail", "read"):
        producer = Producer(b"x" * (HIGH + 1))
        _, client = started(producer, room=0, memory_max=10, budget=budget)
        producer.outbox.write(b"y" * 1000)
        assert budget.used == 1000
        if end == "leave":
            client.leave()
        elif end == "fail":
            producer.outbox.fail("app-failed")
        else:
            client.read()
            producer.outbox.finish()
        assert budget.used == 0, end


def test_finished_while_all_waits() -> None:
    producer = Producer(b"x" * (HIGH + 1), b"y" * 200_000, finish=True)
    front, client = started(producer, room=0, memory_max=1000)
    assert not front.over
    for _ in range(100):
        client.read(10_000)
    assert one(bytes(client.transport.out)).body == b"x" * (HIGH + 1) + b"y" * 200_000
    assert len(front.over) == 1


# --- filters


class Upper:
    """Upper-cases; what it holds back comes out at the end."""

    def __init__(self, tail: bytes = b"!") -> None:
        self.held = b""
        self.tail = tail
        self.finished = 0

    def feed(self, data: bytes) -> bytes:
        assert not self.finished
        data = self.held + data.upper()
        self.held = data[-1:]
        return data[:-1]

    def finish(self) -> bytes:
        self.finished += 1
        return self.held + self.tail


def filtered(body: Any, transforms: list[Any], request: bytes = GET, room: int = FAR) -> tuple[Front, Client]:
    front = front_for(body)
    front.route.response_filters = tuple(
        lambda exchange, head, transform=transform: transform for transform in transforms
    )
    client = front.connect(room)
    client.send(request)
    return front, client


@pytest.mark.parametrize("room", [FAR, 0])
@pytest.mark.parametrize("form", ["bytes", "large", "file", "list", "producer", "mixed", "empty", "nothing"])
def test_every_form_of_body_goes_through_the_filters(tmp_path: Path, form: str, room: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"file" * 50_000)
    file = FileSlice(OpenFile(os.open(path, os.O_RDONLY)), 0, 200_000)
    expected = {
        "bytes": b"abc",
        "large": b"abc" * 100_000,
        "file": b"file" * 50_000,
        "list": b"<" + b"file" * 50_000 + b"li",
        "producer": b"abcdef",
        "mixed": b"ab" + b"file" * 50_000 + b"cd",
        "empty": b"",
        "nothing": b"",
    }[form]
    body: Any = {
        "bytes": b"abc",
        "large": b"abc" * 100_000,
        "file": file,
        "list": [b"<", file, b"", b"li"],
        "producer": Producer(b"abc", b"", b"def", finish=True),
        "mixed": Producer(),
        "empty": [],
        "nothing": b"",
    }[form]
    one_filter, other = Upper(), Upper(b"?")
    front, client = filtered(body, [one_filter, other], room=room)
    if form == "mixed":
        body.outbox.write(b"ab")
        body.outbox.write_file(file)
        body.outbox.write(b"cd")
        body.outbox.finish()
    for _ in range(50):
        client.read(20_000)
    reply = one(bytes(client.transport.out))
    assert reply.complete
    assert reply.body == expected.upper() + b"!?"
    assert (one_filter.finished, other.finished) == (1, 1)
    assert ("content-length" in reply.fields) is (type(body) is bytes)
    assert [exchange.sent for exchange in front.over] == [len(reply.body)]


def test_no_body_no_filtering() -> None:
    for body in (b"", [b"abc"], Producer(b"abc")):
        transform = Upper()
        _, client = filtered(body, [transform], HEAD)
        [reply] = replies(bytes(client.transport.out), "HEAD")
        assert "content-length" not in reply.fields  # nobody knows what it would be
        assert transform.finished == 0


@pytest.mark.parametrize("when", ["feed", "finish"])
@pytest.mark.parametrize("form", ["bytes", "list", "producer"])
def test_a_filter_that_fails_on_the_body(when: str, form: str) -> None:
    class Failing(Upper):
        def feed(self, data: bytes) -> bytes:
            if when == "feed":
                raise RuntimeError("a filter's")
            return super().feed(data)

        def finish(self) -> bytes:
            raise RuntimeError("a filter's")

    body: Any = {"bytes": b"abc", "list": [b"abc"], "producer": Producer(b"abc", finish=True)}[form]
    front, client = filtered(body, [Failing()])
    assert len(front.over) == 1
    assert front.over[0].reason == "internal-error"
    if form == "bytes":  # known before anything is sent
        assert one(bytes(client.transport.out)).status == 500
    else:
        assert client.closed
        assert not client.transport.out or not one(bytes(client.transport.out)).complete
    if form == "producer":
        body.outbox.write(b"more")


# --- what the sweep sees


def test_waiting_is_for_the_client_only() -> None:
    producer = Producer()
    _, client = started(producer)
    outbox: Outbox = producer.outbox
    assert not outbox.waiting
    assert not _stuck(client.connection)
    client.transport.room = 0
    outbox.write(b"x" * (HIGH + 1))
    assert _stuck(client.connection)
    outbox.write(b"y")
    assert outbox.waiting


def test_the_reading_of_files_is_bounded() -> None:
    assert READ_SIZE <= HIGH
    later = Later()
    front = Front(later)
    front.connect().send(GET)
    later.answer(body=[b"x"])
    assert len(front.over) == 1


def test_an_unbuffered_producer_waits_as_soon_as_memory_is_full() -> None:
    producer = Producer()
    producer.unbuffered = True
    budget = Budget(1 << 20)
    _, client = started(producer, room=0, memory_max=4000, file_max=1 << 20, budget=budget)
    for _ in range(100):
        if "pause" in producer.told:
            break
        producer.outbox.write(b"x" * 1000)
    assert producer.told[-1] == "pause"
    assert budget.used == 0
    client.transport.take(FAR)
    assert producer.told[-1] == "resume"
