from __future__ import annotations

import socket

from tests.transports import Front, Later, Producer, replies
from tinfront.errors import ProtocolError
from tinfront.front import closing
from tinfront.http.message import ResponseHead

GET = b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n"


def test_close_when_all_has_been_read() -> None:
    client = Front().connect()
    client.send(GET)
    for _ in range(2):
        closing.close(client.connection)
    assert client.transport.calls == ["close"]


def test_close_lingers_while_the_client_may_be_sending() -> None:
    client = Front().connect()
    client.send(GET[:10])
    for _ in range(2):
        closing.close(client.connection)
    assert client.transport.calls == ["write_eof"]
    assert client.lingering
    assert client.connection.deadline <= client.front.now
    assert client.send(b"more", GET) == b""
    client.end()
    assert client.transport.calls[-1] == "close"


def test_who_lingers_reads() -> None:
    front = Front()
    client = front.connect()
    client.send(GET[:10])
    client.connection.hold_reading(True)
    closing.close(client.connection)
    assert client.transport.reading


def test_no_lingering_for_one_who_has_ended() -> None:
    client = Front().connect()
    client.send(GET[:10])
    client.connection.ended = True
    closing.close(client.connection)
    assert client.transport.calls == ["close"]


def test_before_there_is_a_transport() -> None:
    client = Front().connect()
    client.connection.transport = None
    closing.close(client.connection)
    closing.abort(client.connection)
    assert client.transport.calls == []


def test_cut_closes_where_the_framing_tells() -> None:
    later = Later()
    client = Front(later).connect()
    client.send(GET)
    later.answer(body=Producer(b"abc"))
    closing.cut(client.connection, 1)
    assert client.transport.calls == ["close"]
    assert client.connection.codec.closing


def test_cut_resets_where_only_that_tells() -> None:
    later = Later()
    client = Front(later).connect()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    later.answer(body=Producer(b"abc"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client.transport.socket = ours
        closing.cut(client.connection, 1)
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\1\0\0\0\0\0\0\0"
    assert client.transport.calls == ["abort"]


def test_cut_on_tls_leaves_the_socket_alone() -> None:
    later = Later()
    client = Front(later).connect(secure=True)
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    later.answer(body=Producer(b"abc"))
    client.transport.socket = "not to be touched"
    closing.cut(client.connection, 1)
    assert client.transport.calls == ["abort"]  # without close_notify, TLS tells


def test_what_is_lost_is_not_cut() -> None:
    client = Front().connect()
    client.leave()
    closing.cut(client.connection, 1)
    assert client.transport.calls == []


def test_giving_up_leaves_all() -> None:
    later = Later()
    front = Front(later)
    client = front.connect()
    client.send(GET)
    closing.give_up(client.connection, ProtocolError(400, "bad-frame"))
    assert [exchange.reason for exchange in front.over] == ["client-gone"]
    assert client.transport.closing
    later.kept[0].respond(ResponseHead(200, []), b"late")
    assert client.news() == b""


def test_the_end_of_the_grace_refuses_what_is_unanswered() -> None:
    later, gone = Later(), []
    front = Front(later)
    client = front.connect()
    client.send(GET)
    later.kept[0].when_gone = gone.append
    client.connection.end("too long")
    [reply] = replies(client.news())
    assert (reply.status, reply.fields["connection"]) == (503, "close")
    assert [exchange.reason for exchange in front.over] == ["stopping"]
    assert gone == later.kept
    assert client.transport.calls == ["close"]


def test_the_end_of_the_grace_cuts_what_is_on_its_way() -> None:
    later = Later()
    front = Front(later)
    client = front.connect()
    client.send(GET)
    producer = Producer(b"abc")
    later.answer(body=producer, length=10)
    client.connection.end("too long")
    assert [exchange.reason for exchange in front.over] == ["stopping"]
    assert producer.told[-1] == "stop"
    assert client.transport.calls == ["close"]


def test_the_end_of_the_grace_closes_who_has_asked_nothing() -> None:
    client = Front().connect()
    client.connection.end("too long")
    assert client.transport.calls == ["close"]
