"""The producer of an answer in pieces, by itself; ``test_replies.py`` has it at work."""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange
from tinfront.interfaces import IBodyProducer
from tinfront.workers.frames import CUT, END
from tinfront.workers.streamed import Streamed


class Stream:
    def __init__(self) -> None:
        self.current: Any = None
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.calls.append(name)


class Job:
    def __init__(self) -> None:
        self.exchange = FakeExchange()


class Outbox:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def finish(self) -> None:
        self.calls.append("finish")

    def fail(self, reason: str, detail: str = "") -> None:
        self.calls.append((reason, detail))


def make(length: int | None = None) -> tuple[Any, Any, Any]:
    stream: Any = Stream()
    job: Any = Job()
    streamed = stream.current = Streamed(stream, job, length)
    outbox = Outbox()
    streamed.start(outbox)
    return streamed, stream, outbox


def test_it_is_a_producer() -> None:
    streamed, stream, _ = make()
    assert verifyObject(IBodyProducer, streamed)
    streamed.pause()
    streamed.resume()
    streamed.stop()
    assert stream.calls == ["release", "unwatch", "watch", "abandon"]


def test_once_it_is_over_the_stream_is_none_of_its_business() -> None:
    streamed, stream, _ = make()
    stream.current = None
    streamed.pause()
    streamed.resume()
    assert stream.calls == ["release"]


def test_the_announced_length_is_kept() -> None:
    streamed, _, outbox = make(5)
    assert streamed.take(b"123")
    assert streamed.take(b"45")
    streamed.end(END, b"")
    assert outbox.calls == [b"123", b"45", "finish"]


def test_more_than_announced_is_not_taken() -> None:
    streamed, _, outbox = make(5)
    assert not streamed.take(b"123456")
    assert outbox.calls == []


def test_less_than_announced_fails() -> None:
    streamed, _, outbox = make(5)
    streamed.take(b"123")
    streamed.end(END, b"")
    assert outbox.calls[1][0] == "bad-length"


def test_a_cut_fails_with_its_reason() -> None:
    streamed, _, outbox = make()
    streamed.end(CUT, b"app-error\0ValueError")
    assert outbox.calls == [("app-error", "ValueError")]


def test_without_an_outbox_the_exchange_is_refused() -> None:
    job: Any = Job()
    streamed = Streamed(Stream(), job, None)  # type: ignore[arg-type]
    streamed.fail(502, "worker-died", "signal 9")
    assert job.exchange.refusal[:3] == (502, "worker-died", "signal 9")
