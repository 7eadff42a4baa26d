from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface.verify import verifyObject

from tests.transports import Front, Later, Producer, read, replies, statuses
from tinfront.front import exchange as module
from tinfront.front.spool import Budget
from tinfront.http.message import ResponseHead
from tinfront.interfaces import IExchange

GET = b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n"
OK = ResponseHead(200, [])


def post(body: bytes, length: int | None = None) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: %d\r\n\r\n%b" % (length or len(body), body)


def chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n" % (len(body), body) + end


def kept() -> tuple[Front, Any, Later]:
    """A front, its client and the handler that keeps the one exchange."""
    later = Later()
    front = Front(later)
    client = front.connect()
    client.send(GET)
    return front, client, later


def test_what_a_plugin_may_touch() -> None:
    front, _, later = kept()
    [exchange] = later.kept
    verifyObject(IExchange, exchange)
    assert exchange.peer == ("192.0.2.7", 50123)
    assert exchange.local == ("127.0.0.1", 80)
    assert not exchange.secure
    assert exchange.site is front.site
    assert exchange.route is front.route
    assert exchange.body is None
    assert exchange.request_id.endswith(f"-{exchange.number:x}")
    assert not exchange.finished
    later.answer()
    assert exchange.finished
    assert exchange.started <= exchange.answered <= exchange.ended


def test_numbers_tell_exchanges_apart() -> None:
    front = Front()
    front.exchange(GET * 3)
    numbers = [exchange.number for exchange in front.over]
    assert numbers == sorted(set(numbers))
    assert len({exchange.request_id for exchange in front.over}) == 3


# --- answers


def test_answering_twice_is_answering_once() -> None:
    front, client, later = kept()
    exchange = later.answer(body=b"first")
    second = Producer(b"second")
    exchange.respond(OK, b"second")
    exchange.respond(OK, second)
    exchange.refuse(500, "second")
    exchange.abort("second")
    exchange.leave()
    [reply] = replies(client.news())
    assert reply.body == b"first"
    assert second.told == ["stop"]
    assert len(front.over) == 1
    assert front.over[0].reason == ""
    assert statuses(client.send(GET)) == []  # the next one is due, and open
    later.answer()
    assert statuses(client.news()) == [200]


def test_a_handler_that_answers_twice_at_once() -> None:
    def twice(exchange: Any) -> None:
        exchange.respond(OK, b"first")
        exchange.respond(OK, b"second")
        raise RuntimeError("and fails")

    front = Front(twice)
    assert [reply.body for reply in replies(front.exchange(GET + GET))] == [b"first"] * 2
    assert len(front.over) == 2


def test_the_length_is_that_of_the_body() -> None:
    for length in (None, 0, 3, 99):
        front = Front(lambda exchange, length=length: exchange.respond(ResponseHead(200, [], length), b"abc"))
        assert [reply.body for reply in replies(front.exchange(GET + GET))] == [b"abc"] * 2
        front = Front(lambda exchange, length=length: exchange.respond(ResponseHead(200, [], length), b""))
        assert [reply.body for reply in replies(front.exchange(GET + GET))] == [b""] * 2


def test_a_shared_head_stays_as_it_is() -> None:
    head = ResponseHead(200, [("X", "y")], 3).freeze()
    front = Front(lambda exchange: exchange.respond(head, b"abcd"))
    assert [reply.body for reply in replies(front.exchange(GET))] == [b"abcd"]
    assert head.length == 3


@pytest.mark.parametrize("body", [b"abc", b""])
@pytest.mark.parametrize("length", [None, 3])
def test_what_head_may_say_of_a_length(body: bytes, length: int | None) -> None:
    front = Front(lambda exchange: exchange.respond(ResponseHead(200, [], length), body))
    [reply] = replies(front.exchange(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), "HEAD")
    assert reply.fields.get("content-length") == ("3" if length or body else None)
    assert front.over[0].sent == 0


def test_a_head_that_cannot_be_sent_is_a_500() -> None:
    for body in (b"abc", [b"abc"], Producer(b"abc")):
        front = Front(lambda exchange, body=body: exchange.respond(ResponseHead(200, [("X", "\u20ac")]), body))
        assert statuses(front.exchange(GET + GET)) == [500, 500]
        assert [exchange.reason for exchange in front.over] == ["internal-error"] * 2
        if isinstance(body, Producer):
            assert body.told == ["stop", "stop"]


def test_such_a_head_given_later_is_a_500_too() -> None:
    front, client, later = kept()
    later.kept[0].respond(ResponseHead(200, [("X", "\u20ac")]), b"abc")
    assert statuses(client.news()) == [500]
    assert len(front.over) == 1


# --- refusing, aborting, leaving


def test_refuse_makes_a_page_and_a_line() -> None:
    front = Front(lambda exchange: exchange.refuse(503, "queue-full", "the detail", [("Retry-After", "1")]))
    [reply] = replies(front.exchange(GET))
    assert (reply.status, reply.fields["retry-after"]) == (503, "1")
    assert b"queue-full" in reply.body
    assert front.over[0].request_id.encode() in reply.body
    assert [(exchange.status, exchange.reason) for exchange in front.over] == [(503, "queue-full")]


@pytest.mark.parametrize("given", ["", "Retry-After", "retry-after"])
@pytest.mark.parametrize("reason", ["spool-full", "stopping"])
def test_each_503_says_once_when_to_come_again(reason: str, given: str) -> None:
    front = Front(lambda exchange: exchange.refuse(503, reason, fields=((name, "7") for name in (given,) if name)))
    out = front.exchange(GET)
    [reply] = replies(out)
    assert (reply.status, reply.fields["retry-after"]) == (503, "7" if given else "1")
    assert out.lower().count(b"retry-after") == 1


def test_what_cannot_be_tried_again_does_not_say_so() -> None:
    front = Front(lambda exchange: exchange.refuse(500, "internal-error"))
    [reply] = replies(front.exchange(GET))
    assert "retry-after" not in reply.fields


def test_refuse_after_the_head_cuts() -> None:
    producer = Producer(b"abc")
    front = Front(lambda exchange: exchange.respond(OK, producer))
    client = front.connect()
    client.send(GET)
    front.opened[0].refuse(504, "app-timeout")
    [reply] = replies(bytes(client.transport.out))
    assert not reply.complete
    assert producer.told == ["start", "stop"]
    assert [(exchange.status, exchange.reason) for exchange in front.over] == [(200, "app-timeout")]


def test_abort_before_an_answer() -> None:
    front, client, later = kept()
    later.kept[0].abort("worker-lost")
    assert client.news() == b""
    assert client.closed
    assert [(exchange.status, exchange.reason) for exchange in front.over] == [(499, "worker-lost")]


@pytest.mark.parametrize("state", ["head", "body", "handling", "sending", "done"])
@pytest.mark.parametrize("how", ["abort", "leave", "refuse"])
def test_an_end_in_each_state_is_one_line_in_the_log(state: str, how: str) -> None:
    waiting: Deferred[Any] = Deferred()
    later, producer = Later(), Producer(b"abc")
    front = Front(later)
    if state == "head":
        front.route.request_filters = (lambda exchange: waiting,)
    client = front.connect()
    client.send(post(b"hel", 5) if state == "body" else post(b"hello") if state == "head" else GET)
    [exchange] = client.connection.exchanges.values()
    if state == "sending":
        exchange.respond(OK, producer)
    elif state == "done":
        exchange.respond(OK, b"done")
    for _ in range(2):
        {"abort": exchange.abort, "leave": lambda _: client.leave(), "refuse": lambda why: exchange.refuse(500, why)}[
            how
        ]("test")
    assert len(front.over) == 1
    assert exchange.finished
    assert exchange.status in (200, 499, 500)
    if state == "head":
        waiting.callback(None)  # too late
        assert not front.opened
    if state == "sending":
        assert producer.told == ["start", "stop"]
    client.leave()
    assert len(front.over) == 1
    assert not client.connection.exchanges


def test_when_gone_is_called_if_the_client_leaves_before_its_answer() -> None:
    gone: list[Any] = []
    _, client, later = kept()
    later.kept[0].when_gone = gone.append
    client.leave()
    assert gone == later.kept


def test_when_gone_is_not_called_otherwise() -> None:
    gone: list[Any] = []
    for end in ("answer", "begin", "abort", "refuse"):
        front, client, later = kept()
        exchange = later.kept[0]
        exchange.when_gone = gone.append
        if end == "answer":
            exchange.respond(OK, b"x")
        elif end == "begin":
            exchange.respond(OK, Producer(b"x"))
        elif end == "abort":
            exchange.abort("test")
        else:
            exchange.refuse(500, "test")
        client.leave()
        assert gone == [], end
        assert len(front.over) == 1


def test_one_that_fails_to_hear_of_it_costs_nothing() -> None:
    front, client, later = kept()

    def failing(exchange: Any) -> None:
        raise RuntimeError("a handler's")

    later.kept[0].when_gone = failing
    client.leave()
    assert len(front.over) == 1


# --- bodies


@pytest.mark.parametrize("size", [1, 1000, 64 * 1024, 64 * 1024 + 1, 300_000])
def test_bodies_reach_the_handler_whole(size: int) -> None:
    bodies: list[bytes] = []

    def handle(exchange: Any) -> None:
        assert exchange.body.length == size
        bodies.append(read(exchange.body))
        exchange.respond(OK, b"")

    front = Front(handle)
    body = bytes(range(256)) * (size // 256 + 1)
    client = front.connect()
    client.send(post(body[:size]), *[chunked(body[:size])[at : at + 7000] for at in range(0, size + 200, 7000)])
    assert bodies == [body[:size]] * 2
    front.over.clear()
    front.opened.clear()
    assert front.terms.budget.used == 0


def test_a_body_over_the_limit_is_413_and_names_the_limit() -> None:
    for data in (post(b"x", 1 << 20 | 1), chunked(b"x" * (1 << 20 | 1))):
        front = Front()
        [reply] = replies(front.exchange(data))
        assert reply.status == 413
        assert not front.opened
    assert statuses(Front().exchange(post(b"x" * (1 << 20)))) == [200]


def test_no_body_at_all_may_be_allowed() -> None:
    front = Front()
    front.route.body_limit = 0
    assert statuses(front.exchange(GET)) == [200]
    assert statuses(front.exchange(post(b"x"))) == [413]
    assert statuses(front.exchange(chunked(b"x"))) == [413]


def test_a_full_spool_is_503() -> None:
    front = Front(budget=Budget(1000), memory_max=100)
    client = front.connect()
    assert statuses(client.send(post(b"x" * 2000))) == [503]
    assert [exchange.reason for exchange in front.over] == ["spool-full"]
    assert front.terms.budget.used == 0


def test_a_full_disk_is_503_for_that_request_and_harms_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front(memory_max=100)
    client, other = front.connect(), front.connect()
    other.send(post(b"x" * 1000, 1500))
    used = front.terms.budget.used

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        assert statuses(client.send(post(b"x" * 2000))) == [503]
        assert statuses(front.exchange(post(b"x" * 100))) == [200]  # it fits into the memory
    assert front.terms.budget.used == used
    assert statuses(other.send(b"y" * 500)) == [200]
    assert statuses(front.exchange(post(b"x" * 2000))) == [200]
    assert [exchange.reason for exchange in front.over] == ["spool-full", "", "", ""]
    assert (front.terms.budget.used, front.terms.budget.full) == (0, 1)


def test_the_body_is_given_back_when_it_is_over() -> None:
    later = Later()
    front = Front(later, memory_max=10)
    client = front.connect()
    client.send(post(b"x" * 1000))
    assert front.terms.budget.used == 1000
    later.answer()
    assert front.terms.budget.used == 0
    client.send(post(b"x" * 1000, 2000))
    assert front.terms.budget.used == 1000
    client.leave()
    assert front.terms.budget.used == 0


# --- request filters


def test_filters_are_asked_in_turn_until_one_answers() -> None:
    asked: list[int] = []

    def ask(number: int, answer: Any) -> Any:
        def on_request(exchange: Any) -> Any:
            asked.append(number)
            return answer

        return on_request

    front = Front()
    front.route.request_filters = (ask(1, None), ask(2, succeed(None)), ask(3, (OK, b"no")), ask(4, None))
    [reply] = replies(front.exchange(GET))
    assert reply.body == b"no"
    assert asked == [1, 2, 3]
    assert not front.opened


def test_many_filters_that_wait_do_not_recurse_without_end() -> None:
    front = Front()
    front.route.request_filters = (lambda exchange: succeed(None),) * 50
    assert statuses(front.exchange(GET)) == [200]


def test_a_filter_may_answer_by_itself() -> None:
    front = Front()
    front.route.request_filters = (lambda exchange: exchange.refuse(401, "who"), lambda exchange: 1 / 0)
    assert statuses(front.exchange(GET + GET)) == [401, 401]
    assert not front.opened


@pytest.mark.parametrize("how", ["raise", "deferred", "nonsense"])
def test_a_filter_that_fails_is_a_500(how: str) -> None:
    def on_request(exchange: Any) -> Any:
        if how == "raise":
            raise RuntimeError("a filter's")
        return fail(RuntimeError("a filter's")) if how == "deferred" else "nonsense"

    front = Front()
    front.route.request_filters = (on_request,)
    assert statuses(front.exchange(GET + GET)) == [500, 500]
    assert not front.opened


@pytest.mark.parametrize("outcome", [None, (OK, b"late"), RuntimeError("late")])
def test_a_filter_that_decides_after_the_client_left(outcome: Any) -> None:
    waiting: Deferred[Any] = Deferred()
    front = Front()
    front.route.request_filters = (lambda exchange: waiting,)
    client = front.connect()
    client.send(post(b"hello"))
    client.leave()
    waiting.errback(outcome) if isinstance(outcome, Exception) else waiting.callback(outcome)
    assert not front.opened
    assert len(front.over) == 1


def test_what_comes_while_a_filter_waits_is_kept_and_no_more_is_read() -> None:
    waiting: Deferred[Any] = Deferred()
    front = Front()
    front.route.request_filters = (lambda exchange: waiting,)
    client = front.connect()
    client.send(post(b"hel", 10), b"never read before the filter decides")
    assert not client.transport.reading
    waiting.callback(None)
    assert client.transport.reading
    client.transport.waiting.clear()
    [reply] = replies(client.send(b"lo worl"))
    assert reply.body == b"POST /? 10\nhello worl"


def test_a_body_over_the_limit_that_came_while_a_filter_waited() -> None:
    waiting: Deferred[Any] = Deferred()
    front = Front()
    front.route.request_filters = (lambda exchange: waiting,)
    front.route.body_limit = 3
    client = front.connect()
    client.send(chunked(b"hello") + GET)
    waiting.callback(None)
    assert statuses(client.news()) == [413]  # as if it had come in pieces
    assert client.transport.reading
    assert len(front.over) == 1


# --- response filters


def test_response_filters_see_every_answer_even_error_pages() -> None:
    def mark(exchange: Any, head: ResponseHead) -> None:
        head.set("X-Mark", str(head.status))

    front = Front(lambda exchange: exchange.respond(ResponseHead(200, []).freeze(), b"abc"))
    front.route.response_filters = (mark,)
    assert [reply.fields["x-mark"] for reply in replies(front.exchange(GET + GET))] == ["200", "200"]
    assert replies(front.exchange(post(b"", 5_000_000)))[0].fields["x-mark"] == "413"


def test_a_response_filter_that_fails_is_a_500_without_filters() -> None:
    asked: list[int] = []

    def failing(exchange: Any, head: ResponseHead) -> None:
        asked.append(head.status)
        raise RuntimeError("a filter's")

    for body in (b"abc", [b"abc"], Producer(b"abc")):
        asked.clear()
        front = Front(lambda exchange, body=body: exchange.respond(OK, body))
        front.route.response_filters = (failing,)
        assert statuses(front.exchange(GET + GET)) == [500, 500]
        assert asked == [200, 200]
        assert [exchange.route for exchange in front.over] == [front.route] * 2
        if isinstance(body, Producer):
            assert body.told == ["stop", "stop"]


# --- routes


def test_no_route() -> None:
    front = Front()
    front.site._prefixes.clear()
    assert statuses(front.exchange(GET + GET)) == [404, 404]
    assert [(exchange.reason, exchange.route) for exchange in front.over] == [("no-route", None)] * 2


def test_states_are_those_the_sweep_knows() -> None:
    from tinfront.front import patience

    assert module.SENDING == patience._SENDING
    assert module.HEAD < module.BODY < module.HANDLING < module.SENDING < module.DONE < module.ABORTED
