from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.transports import HIGH, Front, Later, Producer, replies, statuses
from tinfront.config.model import Limits
from tinfront.front.patience import LOOK, STARVED_MAX, WATCHED, Patience
from tinfront.front.spool import Budget
from tinfront.http.message import ResponseHead

GET = b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 100000\r\n\r\n"
OK = ResponseHead(200, [])


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def front(later: Later, monkeypatch: pytest.MonkeyPatch) -> Front:
    return Front(later).freeze(monkeypatch)


def reasons(front: Front) -> list[str]:
    return [exchange.reason for exchange in front.over]


def test_marks_are_remembered_from_sweep_to_sweep() -> None:
    patience = Patience(0.0)
    assert patience.idle_for(1, "a", 10.0) == 0.0
    patience.sweep()
    assert patience.idle_for(1, "a", 15.0) == 5.0
    assert patience.idle_for(2, "a", 15.0) == 0.0
    patience.sweep()
    assert patience.idle_for(1, "b", 20.0) == 0.0
    patience.sweep()  # 2 was not asked for
    assert patience.idle_for(2, "a", 30.0) == 0.0
    assert len(patience._before) <= 1


# --- before a request


def test_one_that_says_nothing_is_closed_without_a_word(front: Front) -> None:
    client = front.connect()
    front.pass_time(29)
    assert not client.closed
    front.pass_time(2)
    assert client.closed
    assert client.news() == b""
    assert not front.over


def test_a_head_must_be_whole_in_time_however_it_trickles(front: Front) -> None:
    client = front.connect()
    front.pass_time(20)
    for at in range(29):
        client.send(GET[at : at + 1])
        front.pass_time(1)
    assert not client.closed
    client.send(b"x")
    front.pass_time(2)
    [reply] = replies(client.news())
    assert (reply.status, reply.fields["connection"]) == (408, "close")
    assert client.closed
    assert reasons(front) == ["head-timeout"]
    front.pass_time(60)
    assert reasons(front) == ["head-timeout"]
    assert client.transport.lost


def test_a_408_after_a_head_request_has_its_page(front: Front, later: Later) -> None:
    client = front.connect()
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET[:20])
    later.answer()
    client.news()
    front.pass_time(32)
    [reply] = replies(client.news())
    assert reply.complete
    assert len(reply.body) > 100


def test_the_second_head_has_its_own_time(front: Front, later: Later) -> None:
    client = front.connect()
    client.send(GET)
    later.answer()
    front.pass_time(70)
    client.send(GET[:9])
    front.pass_time(28)
    client.send(GET[9:])
    later.answer()
    assert statuses(bytes(client.transport.out)) == [200, 200]
    front.pass_time(60)
    client.send(GET[:9])
    front.pass_time(32)
    assert statuses(bytes(client.transport.out)) == [200, 200, 408]


def test_empty_lines_buy_no_time(front: Front) -> None:
    client = front.connect()
    for _ in range(31):
        client.send(b"\r\n")
        front.pass_time(1)
    assert client.closed


# --- between requests


def test_keepalive(front: Front, later: Later) -> None:
    client = front.connect()
    for _ in range(3):
        front.pass_time(29 if not front.over else 74)
        client.send(GET)
        later.answer()
    front.pass_time(74)
    assert not client.closed
    front.pass_time(2)
    assert client.closed
    assert client.transport.out.count(b"HTTP/1.1 200") == 3
    assert client.transport.calls == ["close"]


def test_keepalive_does_not_cut_what_is_still_on_its_way(front: Front, later: Later) -> None:
    client = front.connect(room=0)
    client.send(GET)
    later.answer(body=b"x" * 1000)
    front.pass_time(70)
    for _ in range(60):
        front.pass_time(1)
        client.read(10)
    assert not client.transport.closing
    client.read()
    front.pass_time(74)
    assert not client.transport.closing
    front.pass_time(3)
    assert client.transport.lost
    [reply] = replies(bytes(client.transport.out))
    assert reply.complete


def test_one_that_never_takes_its_answer_is_aborted(front: Front, later: Later) -> None:
    client = front.connect(room=0)
    client.send(GET + GET[:10])
    later.answer(body=b"x" * 65_000 + b"y" * 536)
    assert not client.connection.exchanges
    assert not client.connection.writable
    front.pass_time(front.limits.send_timeout + 3)
    assert client.transport.calls[-1] == "abort"
    assert reasons(front) == [""]  # no 408 for a head that was not even looked at


def test_a_connection_grows_old(front: Front, later: Later) -> None:
    client = front.connect()
    for _ in range(62):
        client.send(GET)
        later.answer()
        front.pass_time(60)
    client.send(GET)
    later.answer()
    found = replies(client.news())
    assert found[-1].fields["connection"] == "close"
    assert client.closed


# --- bodies


def test_a_body_that_stops(front: Front) -> None:
    client = front.connect()
    client.send(POST + b"x" * 60_000)  # fast enough for two minutes
    front.pass_time(59)
    assert not front.over
    front.pass_time(3)
    assert statuses(client.news()) == [408]
    assert reasons(front) == ["body-timeout"]
    assert client.lingering


def test_a_body_that_is_too_slow(front: Front) -> None:
    client = front.connect()
    client.send(POST)
    for _ in range(29):
        client.send(b"x" * 100)
        front.pass_time(1)
    assert not front.over
    client.send(b"x" * 100)
    front.pass_time(2)
    assert statuses(client.news()) == [408]
    assert reasons(front) == ["body-too-slow"]


def test_a_body_that_is_fast_enough(front: Front, later: Later) -> None:
    client = front.connect()
    client.send(POST)
    for _ in range(166):
        client.send(b"x" * 600)
        front.pass_time(1)
    client.send(b"x" * 400)
    later.answer()
    assert statuses(client.news()) == [200]


def test_the_time_that_a_filter_took_is_not_the_clients(front: Front, later: Later) -> None:
    waiting: Deferred[Any] = Deferred()
    front.route.request_filters = (lambda exchange: waiting,)
    client = front.connect()
    client.send(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    front.pass_time(58)
    waiting.callback(None)
    assert client.news().startswith(b"HTTP/1.1 100")
    front.pass_time(5)
    assert not front.over
    client.send(b"x" * 100_000)
    later.answer()
    assert statuses(client.news()) == [200]


@pytest.mark.parametrize("request_", [GET, POST, POST + b"x" * 50_000, POST + b"x" * 100_000])
def test_filters_do_not(front: Front, later: Later, request_: bytes) -> None:
    waiting: Deferred[Any] = Deferred()
    front.route.request_filters = (lambda exchange: waiting,)
    client = front.connect()
    client.send(request_)
    front.pass_time(59)
    assert client.news() == b""
    front.pass_time(2)
    assert statuses(client.news())[:1] == [504]
    assert reasons(front)[:1] == ["filter-timeout"]
    waiting.callback(None)  # nobody waits for it any more
    assert not later.kept
    assert reasons(front)[:1] == ["filter-timeout"]


def test_a_filter_that_fails_too_late_harms_nobody(front: Front) -> None:
    waiting: list[Deferred[Any]] = []

    def ask(exchange: Any) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[-1]

    front.route.request_filters = (ask,)
    client = front.connect()
    client.send(GET)
    front.pass_time(61)
    assert statuses(client.news()) == [504]
    assert not client.closed
    client.send(GET)
    waiting[0].errback(RuntimeError("too late"))
    waiting[1].callback((OK, b"in time"))
    assert statuses(client.news()) == [200]
    assert reasons(front) == ["filter-timeout", ""]


def test_handlers_have_all_the_time_they_need(front: Front, later: Later) -> None:
    client = front.connect()
    client.send(GET)
    front.pass_time(3600)
    assert front.now <= client.connection.deadline <= front.now + LOOK
    later.answer()
    assert statuses(client.news()) == [200]


# --- answers


def test_an_answer_that_the_client_does_not_take(front: Front, later: Later) -> None:
    client = front.connect(room=0)
    client.send(GET)
    later.answer(body=[b"x" * (HIGH + 1)] * 2)
    front.pass_time(59)
    assert not front.over
    client.read(1)
    front.pass_time(59)
    assert not front.over
    front.pass_time(3)
    assert reasons(front) == ["send-timeout"]
    front.pass_time(63)
    assert client.transport.calls[-1] == "abort"


def test_a_slow_producer_is_not_the_clients_fault(front: Front) -> None:
    producer = Producer(b"a")
    front.route.handle = lambda exchange: exchange.respond(OK, producer)
    client = front.connect()
    client.send(GET)
    front.pass_time(3600)
    producer.outbox.finish()
    [reply] = replies(bytes(client.transport.out))
    assert reply.complete


# --- the spool is full


def starved(front: Front, *pieces: bytes) -> tuple[Producer, Any]:
    """An answer that waits because neither the spool nor the client takes it."""
    producer = Producer(b"x" * (HIGH + 1), *pieces)
    front.route.handle = lambda exchange: exchange.respond(OK, producer)
    client = front.connect(room=0)
    client.send(GET)
    assert producer.told == ["start", "pause"]
    return producer, client


def test_who_waits_for_room_in_the_spool_does_not_hold_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(5000)
    front = Front(budget=budget, memory_max=1000).freeze(monkeypatch)
    producer, client = starved(front, b"y" * 5000, b"z" * 1001)
    assert (budget.used, budget.held) == (5000, 1001)
    front.pass_time(STARVED_MAX)
    assert producer.told == ["start", "pause"]
    for _ in range(3):
        front.pass_time(1)
        client.read(1000)  # slow, but not idle
    assert producer.told == ["start", "pause", "stop"]
    assert reasons(front) == ["spool-full"]
    assert (budget.used, budget.held, budget.cut) == (0, 0, 1)
    client.read()
    [reply] = replies(bytes(client.transport.out))
    assert not reply.complete


def test_its_own_bound_may_hold_it_for_as_long_as_the_client_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front(memory_max=1000, file_max=5000).freeze(monkeypatch)
    producer, client = starved(front, b"y" * 5000)
    for _ in range(60):
        front.pass_time(1)
        client.read(500)
    assert producer.told == ["start", "pause"]
    assert not front.over


def test_room_that_is_there_again_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(5000)
    front = Front(budget=budget, memory_max=1000).freeze(monkeypatch)
    producer, client = starved(front, b"y" * 5000, b"z" * 1001)
    front.pass_time(STARVED_MAX - 2)
    budget.limit = 1 << 20
    front.pass_time(2)
    assert producer.told == ["start", "pause", "resume"]
    assert budget.held == 0
    front.pass_time(STARVED_MAX * 2)
    producer.outbox.write(b"!")
    producer.outbox.finish()
    client.read()
    [reply] = replies(bytes(client.transport.out))
    assert reply.body == b"x" * (HIGH + 1) + b"y" * 5000 + b"z" * 1001 + b"!"
    assert budget.full == 1


def test_one_that_is_whole_in_memory_is_cut_only_if_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for size, expected in ((60_000, []), (1 << 20, ["spool-full"])):
        budget = Budget(10)
        front = Front(budget=budget, memory_max=1000).freeze(monkeypatch)
        body = b"x" * size
        front.route.handle = lambda exchange, body=body: exchange.respond(OK, [b"x" * (HIGH + 1), body])
        client = front.connect(room=0)
        client.send(GET)
        assert budget.held == size
        front.pass_time(STARVED_MAX + 3)
        assert reasons(front) == expected
        client.read()
        assert budget.held == 0


# --- lingering


def test_lingering_waits_for_the_answer_to_leave_first(front: Front, later: Later) -> None:
    client = front.connect(room=0)
    client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET)
    later.answer(body=b"x" * 60_000)
    assert client.lingering
    for _ in range(59):
        front.pass_time(1)
        client.read(1000)
    assert not client.transport.lost  # long past linger_timeout and linger_time
    client.read()
    front.pass_time(4)
    assert not client.transport.lost
    front.pass_time(4)
    assert client.transport.calls[-1] == "abort"
    [reply] = replies(bytes(client.transport.out))
    assert reply.complete


def test_lingering_does_not_wait_for_ever_for_the_answer_to_leave(front: Front, later: Later) -> None:
    client = front.connect(room=0)
    client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET)
    later.answer(body=b"x" * 60_000)
    for _ in range(int(front.limits.send_timeout) + 3):
        client.send(b"x")
        front.pass_time(1)
    assert not client.transport.lost  # it does something
    front.pass_time(front.limits.send_timeout + 3)
    assert client.transport.lost


# --- watched deadlines


def test_what_is_watched_stays_watched(front: Front, later: Later) -> None:
    client = front.connect()
    for _ in range(5):
        client.send(GET)
        assert client.connection.deadline == WATCHED
        front.pass_time(10)
        assert front.now <= client.connection.deadline <= front.now + LOOK
        later.answer()
        assert client.connection.deadline == front.now + Limits().keepalive_timeout


@pytest.mark.parametrize(("send_timeout", "pause"), [(600, LOOK), (60, 7.5), (8, 1.0), (0.8, 0.1)])
def test_how_soon_the_next_look_comes(front: Front, later: Later, send_timeout: float, pause: float) -> None:
    """Thousands of slow clients cost little: a look a second at each of them would be 5 µs times their number."""
    client = front.connect(room=0)
    client.connection.terms.limits = replace(client.connection.terms.limits, send_timeout=send_timeout)
    client.send(GET)
    later.answer(body=[b"x" * (HIGH + 1)] * 2)
    client.connection.expire(front.now)
    assert client.connection.deadline == pytest.approx(front.now + pause)


def test_a_slow_upload_is_looked_at_no_more_often_than_its_deadlines_need(front: Front, later: Later) -> None:
    client = front.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
    assert client.connection.deadline == WATCHED
    client.connection.expire(front.now)
    look = client.connection.deadline
    assert look == pytest.approx(front.now + 7.5)
    client.send(b"x" * 99)
    assert client.connection.deadline == look
    client.send(b"x")  # now it is a worker that takes its time
    assert client.connection.deadline == WATCHED


def test_an_answer_that_may_yet_starve_is_looked_at_in_every_sweep(front: Front, later: Later) -> None:
    client = front.connect(room=0)
    client.send(GET)
    client.connection.expire(front.now)
    assert client.connection.deadline == front.now
    producer = Producer()
    later.answer(body=producer)
    producer.outbox.write(b"x" * (HIGH + 1))
    client.connection.expire(front.now)
    assert client.connection.deadline == front.now


@pytest.mark.parametrize(("rate", "limit"), [(0, 60), (200, 40)])
def test_the_last_look_is_in_time(front: Front, later: Later, rate: int, limit: float) -> None:
    client = front.connect()
    client.connection.terms.limits = replace(client.connection.terms.limits, body_timeout=60, body_rate=rate)
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + b"x" * 8000)
    client.connection.expire(front.now)
    front.now += limit - 0.5
    client.connection.expire(front.now)
    assert client.connection.deadline == pytest.approx(front.now + 0.5)


def test_pipelined_behind_a_late_answer(front: Front, later: Later) -> None:
    client = front.connect()
    client.send(GET + GET + GET[:5])
    front.pass_time(5)
    later.answer()
    assert client.connection.deadline == WATCHED
    later.answer()
    assert client.connection.deadline == front.now + Limits().head_timeout


def test_an_event_stream_with_nothing_to_say_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer()
    front = Front(lambda exchange: exchange.respond(ResponseHead(200, []), producer)).freeze(monkeypatch)
    client = front.connect()
    client.send(GET)
    producer.outbox.write(b"data: first\n\n")
    front.pass_time(3 * 3600, sweep=60.0)
    assert not client.closed
    producer.outbox.write(b"data: second\n\n")
    assert b"second" in client.news()
    assert not front.over
