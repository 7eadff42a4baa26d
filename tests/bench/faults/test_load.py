from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from bench.faults.load import Asker, Load, Tally, reason_of

Answer = Callable[[str, int], bytes]
"""Gets the request's id and its number on its connection; an empty answer closes the connection."""


def good(name: str, status: str = "200 OK", fields: str = "") -> bytes:
    body = f"{name} 7 1"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n{body}".encode()


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, int]]:
    """A server in a thread, for one connection after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    door, _ = listening.accept()
                except OSError:
                    return
                with door, door.makefile("rb") as stream:
                    for number in itertools.count():
                        line = stream.readline().decode()
                        if not line:
                            break
                        while stream.readline() not in {b"\r\n", b""}:
                            pass
                        said = answer(line.split()[1].partition("?")[2], number)
                        if not said:
                            break
                        door.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def load(answer: Answer, enough: int = 20) -> Tally:
    """The tally of a load that ended after some requests."""
    done = threading.Event()
    count = itertools.count(1)

    def counting(name: str, number: int) -> bytes:
        if next(count) >= enough:
            done.set()
        return answer(name, number)

    with answering(counting) as address, Load(address, 1) as running:
        assert done.wait(20)
    return running.tally


def test_every_good_answer_is_counted() -> None:
    tally = load(lambda name, number: good(name))
    assert tally.answered >= 20
    assert tally.errors == 0
    assert (dict(tally.pids), dict(tally.versions)) == ({7: tally.answered}, {1: tally.answered})


def test_the_answer_of_another_request_is_wrong() -> None:
    tally = load(lambda name, number: good("id-0"))
    assert (tally.answered, len(tally.wrong)) == (1, tally.errors)
    assert tally.wrong[0] == "id-1"


def test_a_connection_that_closes_without_an_answer_is_a_reset() -> None:
    tally = load(lambda name, number: good(name) if number < 2 else b"")
    assert 5 <= len(tally.reset) == tally.errors
    assert tally.answered >= 10


@pytest.mark.parametrize(("shut", "error"), [(False, TimeoutError), (True, ConnectionResetError)])
def test_an_answer_that_is_not_whole(shut: bool, error: type[OSError]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, closing(Asker(listening.getsockname(), 0.2)) as asker:

        def cut() -> None:
            door, _ = listening.accept()
            with door:
                door.recv(1000)
                door.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nid")
                if not shut:
                    door.recv(1)  # until the asker leaves

        thread = threading.Thread(target=cut)
        thread.start()
        with pytest.raises(error):
            asker.ask("/", "id")
        thread.join()


def test_a_close_that_was_announced_costs_nothing() -> None:
    tally = load(lambda name, number: good(name, fields="Connection: close\r\n") if number == 0 else b"")
    assert tally.answered >= 19
    assert tally.errors == 0


def test_refusals_are_counted_by_reason() -> None:
    body = b'{"reason": "worker-died"}'
    said = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    tally = load(lambda name, number: said)
    assert list(tally.refused) == ["502 worker-died"]
    assert tally.refusals == tally.errors >= 20


def test_nobody_there_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    with pytest.raises(ConnectionRefusedError):
        Asker(address).ask("/", "id")


def test_tallies_add_up_and_speak() -> None:
    tally = Tally(answered=2, wrong=["a"])
    tally.add(Tally(answered=1, lost=["b"], reset=["c", "d"], refused={"503": ["e"]}, worst=2.0))
    assert (tally.unanswered, tally.refusals, tally.errors, tally.worst) == (3, 1, 5, 2.0)
    assert tally.said() == "3 answered, 1 wrong, 1 lost, 2 reset, 1 \N{MULTIPLICATION SIGN} 503"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
def test_a_page_without_a_reason_is_its_status(body: bytes) -> None:
    assert reason_of(502, body) == "502"
