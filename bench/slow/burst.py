"""Thousands of connections at once, each with a request, and one visitor who comes in the midst of them."""

from __future__ import annotations

import http.client
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from bench import app
from bench.peers import Peer
from bench.slow.beside import HELLO
from bench.slow.crowd import Order, hold
from bench.stage import Stage

PROBE_EVERY = 0.02
GIVE_UP = 10.0
SMALL = "/static/small.bin"


class Visitor(threading.Thread):
    """Asks again and again, each time on a new connection.

    :ivar worst: seconds that the slowest answer took, from connecting on.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._over = threading.Event()
        self.worst = 0.0
        self.served = self.failed = 0

    def run(self) -> None:
        """Until ``end``."""
        while not self._over.wait(PROBE_EVERY):
            began = time.monotonic()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=GIVE_UP)
                connection.request("GET", "/hello/1")
                right = connection.getresponse().read() == app.HELLO
                connection.close()
            except (OSError, http.client.HTTPException):
                right = False
            self.worst = max(self.worst, time.monotonic() - began)
            self.served += right
            self.failed += not right

    def end(self) -> None:
        """Wait for the last answer."""
        self._over.set()
        self.join()


def measure(stage: Stage, servers: tuple[Peer, ...], size: int, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Send a burst at each server. Yields an entry for each.

    The crowd asks for a small file where the server has files, so that it is the connections that are many, and not
    the application that is slow; elsewhere for the short answer of the application.
    """
    (stage.www / SMALL[1:]).write_bytes(app.HELLO)
    for peer in servers:
        with stage.started([peer], HELLO) as [running]:
            if running.why:
                say(f"burst: {peer.name}: {running.why}")
                continue
            path = SMALL if "static" in peer.kinds else "/hello/1"
            port = running.place.http
            visitor = Visitor(port)
            visitor.start()
            began = time.monotonic()
            order = Order("idle", size, port, path, zlib.crc32(app.HELLO), opening=size)
            with hold(order) as held:
                took = time.monotonic() - began
                visitor.end()
                counts = held.ready
        entry = {
            "name": peer.name,
            "label": peer.label,
            "clients": size,
            "asked": path,
            "answered": counts.get("answered", 0),
            "refused": counts.get("refused", 0) + counts.get("broken", 0) + counts.get("wrong", 0),
            "unserved": max(0, size - counts.get("answered", 0)),
            "seconds": round(took, 2),
            "worst": round(visitor.worst, 3),
            "failed": visitor.failed,
            "served": visitor.served,
        }
        say(f"burst of {size} {peer.name}: {entry['answered']} answered, worst of the visitor {visitor.worst:.3f} s")
        yield entry
