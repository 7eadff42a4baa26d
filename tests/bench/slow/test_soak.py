from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading

import pytest
import trustme

from bench.slow import soak
from bench.slow.soak import judge


def samples(mb: list[float], descriptors: int = 60) -> list[tuple[float, float, int]]:
    return [(at * 6.0, value, descriptors) for at, value in enumerate(mb)]


def test_growth_in_the_first_minute_is_warm_up() -> None:
    assert judge(samples([50.0 + at for at in range(10)] + [60.0] * 90), 600)["flat"]


def test_growth_after_it_is_a_leak() -> None:
    assert not judge(samples([50.0 + at / 10 for at in range(100)]), 600)["flat"]


def test_descriptors_that_pile_up_are_a_leak_too() -> None:
    growing = [(at * 6.0, 50.0, 60 + at) for at in range(100)]
    assert not judge(growing, 600)["flat"]


def test_a_peer_that_says_no_goodbye_leaves_no_transport_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "GOODBYE", 0.05)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    left = threading.Event()

    def mute(listener: socket.socket) -> None:
        raw, _ = listener.accept()
        with context.wrap_socket(raw, server_side=True):
            left.wait(10)

    async def visit(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
        await soak._close(writer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = threading.Thread(target=mute, args=(listener,))
        peer.start()
        try:
            asyncio.run(visit(listener.getsockname()[1]))
            gc.collect()  # a transport left open would warn now
        finally:
            left.set()
            peer.join()
