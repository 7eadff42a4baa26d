from __future__ import annotations

from tinfront.wire.codec import Preamble, Reply


def test_the_same_bytes_for_every_response_of_one_second() -> None:
    preamble = Preamble("tinfront", "Sun, 22 Nov 2026 14:28:03 GMT")
    first = preamble[200]
    assert first == b"HTTP/1.1 200 OK\r\nServer: tinfront\r\nDate: Sun, 22 Nov 2026 14:28:03 GMT\r\n"
    assert preamble[200] is first


def test_a_tick_makes_them_anew() -> None:
    preamble = Preamble(None, "then")
    assert preamble[404] == b"HTTP/1.1 404 Not Found\r\nDate: then\r\n"
    preamble.tick("now")
    assert preamble[404] == b"HTTP/1.1 404 Not Found\r\nDate: now\r\n"


def test_interim_responses_have_neither_server_nor_date() -> None:
    assert Preamble("tinfront", "now")[100] == b"HTTP/1.1 100 Continue\r\n"


def test_an_unknown_status_has_an_empty_phrase() -> None:
    assert Preamble(None, "now")[299] == b"HTTP/1.1 299 \r\nDate: now\r\n"


def test_a_phrase_of_ones_own_is_not_kept() -> None:
    preamble = Preamble(None, "now")
    assert preamble.line(200, "Fine") == b"HTTP/1.1 200 Fine\r\nDate: now\r\n"
    assert preamble[200] == b"HTTP/1.1 200 OK\r\nDate: now\r\n"
    for number in range(100):
        preamble.line(200, f"phrase {number}")
    assert len(preamble) == 1


def test_a_reply_is_bytes_but_no_body() -> None:
    assert Reply(b"x") == b"x"
    assert type(Reply(b"x")) is not bytes


def test_another_name():
    preamble = Preamble("one", "now")
    assert b"Server: one\r\n" in preamble[200]
    preamble.name("two")
    assert b"Server: two\r\n" in preamble[200]
    preamble.name(None)
    assert b"Server" not in preamble[200]
