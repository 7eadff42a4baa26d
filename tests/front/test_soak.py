"""Good, slow, broken and vanishing clients by the hundred: each gets what it should, and nothing of them stays.

In memory, with the collector off: what is left then is in a circle, and would pile up under load.
"""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.transports import Client, Front, Producer, echo, replies
from tinfront.front.backlog import Backlog
from tinfront.front.connection import Connection
from tinfront.front.exchange import Exchange
from tinfront.front.flow import Flow
from tinfront.front.outbox import Outbox
from tinfront.front.spool import Budget, Spool, SpoolFile
from tinfront.http.message import ResponseHead

KINDS = (Connection, Exchange, Outbox, Backlog, Spool, SpoolFile, Flow)
BROKEN = (
    b"BROKEN\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"GET / HTTP/1.1\n\n",
    b"GET / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX",
    b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 99999999\r\n\r\n",
    b"GET /" + b"x" * 40_000,
    b"GET / HTTP/1.1\r\nHost: demo.test\r\nA:" + b"b" * 9000 + b"\r\n\r\n",
)


@pytest.fixture
def collected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living() -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in KINDS)


def answer(exchange: Any) -> None:
    """``/large`` in a list, ``/streamed`` by a producer, the rest as an echo."""
    path = exchange.head.path
    if path == "/large":
        exchange.respond(ResponseHead(200, []), [b"a" * 300_000, b"b" * 300_000])
    elif path == "/streamed":
        exchange.respond(ResponseHead(200, []), Producer(*[b"c" * 50_000] * 6, finish=True))
    else:
        echo(exchange)


def good(client: Client, dice: random.Random) -> None:
    for _ in range(dice.randrange(1, 6)):
        body = dice.randbytes(dice.choice((0, 10, 5000, 200_000)))
        data = b"POST /x HTTP/1.1\r\nHost: demo.test\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        cut = dice.randrange(len(data))
        [reply] = replies(client.send(data[:cut], data[cut:]))
        assert reply.status == 200
        assert reply.body.endswith(body)
    client.end()


def slow(client: Client, dice: random.Random) -> None:
    client.transport.room = 0
    path, size = dice.choice((("large", 600_000), ("streamed", 300_000)))
    client.send(*(bytes((byte,)) for byte in f"GET /{path} HTTP/1.1\r\nHost: demo.test\r\n\r\n".encode()))
    while not (found := replies(bytes(client.transport.out))) or not found[0].complete:
        client.read(20_000)
    assert len(found[0].body) == size
    client.leave()


def broken(client: Client, dice: random.Random) -> None:
    [reply] = replies(client.send(dice.choice(BROKEN)))
    assert reply.status >= 400
    client.leave()


def vanishing(client: Client, dice: random.Random) -> None:
    client.transport.room = 0
    client.send(
        dice.choice(
            (
                b"GET / HT",
                b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 900000\r\n\r\n" + b"x" * 100_000,
                b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 9000\r\n\r\n" + b"x" * 1000,
                b"GET /large HTTP/1.1\r\nHost: demo.test\r\n\r\n",
                b"GET /streamed HTTP/1.1\r\nHost: demo.test\r\n\r\n" * 3,
                b"POST /x HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
            )
        )
    )
    client.leave()


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("memory", [1 << 28, 30_000])
def test_nothing_stays(memory: int) -> None:
    budget = Budget(1 << 30, memory=memory)
    front = Front(answer, budget=budget)
    front.route.body_limit = 1 << 20
    dice = random.Random(1)
    before = living()
    for _ in range(300):
        client = front.connect()
        dice.choice((good, slow, broken, vanishing))(client, dice)
        assert budget.held <= max(memory, 600_000 + 64 * 1024)
        client.leave()
        client.transport.connection = client.connection = None  # type: ignore[assignment]
        front.clients.clear()
        front.over.clear()
        front.opened.clear()
        front.soon.clear()
    del client
    assert living() - before == Counter()
    assert (budget.held, budget.used, budget.full, budget.cut) == (0, 0, 0, 0)
    assert (budget.spilled > 0) is (memory < 1 << 28)
