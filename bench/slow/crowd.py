"""Thousands of slow clients in one process, by epoll. ``hold`` starts it as a process of its own and talks to it.

``python -m bench.slow.crowd`` takes one line of JSON (an ``Order``) from its standard input, opens all clients, and
says ``{"ready": …}``; at the line ``end`` a few of them end their business in haste, and it says ``{"done": …}``.

The counts: ``answered`` right and whole; ``wrong``; ``refused``, by the kernel or with another status than 200;
``broken``, closed while the client was in the middle of something; ``left``, closed while it was idle (it comes back);
``unserved``, still without what it was due at the end.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.slow.clients import BEAT, KINDS, Client

SLOTS = 500
"""Parts of a beat: the crowd does not move in step."""
OPENING = 256
"""Connections that are being opened at a time, or wait for their first answer: slow clients are no burst."""
STALLED = 5.0
"""Seconds without any client getting further, after which the rest is not waited for."""
HURRIED = 50
HASTE = 15.0
"""Clients that end their business at the end, and the seconds they have for it."""
AGAIN = 3
"""How often a client that was lost is opened again."""
_ADDRESSES = 8
_IP_BIND_ADDRESS_NO_PORT = 24
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


@dataclass(frozen=True, slots=True)
class Order:
    """What a crowd is to do.

    :ivar kind: of ``clients.KINDS``.
    :ivar checksum: CRC-32 of a right answer's body.
    :ivar opening: connections that are opened at a time.
    """

    kind: str
    count: int
    port: int
    path: str
    checksum: int
    tls: bool = False
    opening: int = OPENING


class Crowd:
    """The clients of one order."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.checksum = order.checksum
        self.counts: Counter[str] = Counter()
        self._kind = KINDS[order.kind]
        self._epoll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._opening: dict[int, Client] = {}
        self._to_open = deque((number, 0) for number in range(order.count))
        self._tries: dict[int, int] = {}
        self._slots: list[dict[int, Client]] = [{} for _ in range(SLOTS)]
        self._context = _context() if order.tls else None
        self._moved = time.monotonic()

    # --- for the clients

    def count(self, word: str) -> None:
        """Something has happened to one of them."""
        self.counts[word] += 1
        self._moved = time.monotonic()

    def lost(self, client: Client, word: str) -> None:
        """A client's connection is of no use any more."""
        if client.sock is None:
            return
        self.count(word)
        self._forget(client)
        if client.number >= 0 and self._tries.get(client.number, 0) < AGAIN:
            self._tries[client.number] = self._tries.get(client.number, 0) + 1
            self._to_open.append((client.number, 1))

    def listen(self, client: Client, yes: bool) -> None:
        """Whether it is told from now on that something has come."""
        if client.sock is not None:
            self._epoll.modify(client.sock.fileno(), _IN if yes else 0)

    # --- connecting

    def _open(self) -> None:
        while self._to_open and len(self._opening) + self._due() < self.order.opening:
            number, _ = self._to_open.popleft()
            client = self._kind(self, number, self.order.path)
            sock = socket.socket()
            sock.setblocking(False)
            if self._kind.receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._kind.receive_buffer)
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((f"127.0.1.{1 + number % _ADDRESSES}", 0))
            code = sock.connect_ex(("127.0.0.1", self.order.port))
            client.sock = sock
            self._opening[sock.fileno()] = client
            self._epoll.register(sock.fileno(), _OUT)
            if code not in {0, errno.EINPROGRESS}:
                self._failed(client)

    def _due(self) -> int:
        """First answers that are due."""
        if self._kind is not KINDS["idle"]:
            return 0
        counts = self.counts
        return max(0, counts["opened"] - counts["answered"] - counts["refused"] - counts["broken"])

    def _failed(self, client: Client) -> None:
        self.lost(client, "refused")

    def _forget(self, client: Client) -> None:
        fd = client.sock.fileno()
        self._opening.pop(fd, None)
        self._clients.pop(fd, None)
        self._slots[client.number % SLOTS].pop(client.number, None)
        client.close()

    def _get_on(self, client: Client) -> None:
        """One step further with a connection that is being opened."""
        sock = client.sock
        if not isinstance(sock, ssl.SSLSocket):
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._failed(client)
                return
            if self._context is not None:
                client.sock = sock = self._context.wrap_socket(sock, do_handshake_on_connect=False)
        if isinstance(sock, ssl.SSLSocket):
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                self._epoll.modify(sock.fileno(), _IN)
                return
            except ssl.SSLWantWriteError:
                return
            except OSError:
                self._failed(client)
                return
        fd = sock.fileno()
        del self._opening[fd]
        self._clients[fd] = client
        self._slots[client.number % SLOTS][client.number] = client
        self._epoll.modify(fd, _IN)
        self.count("opened")
        client.begin()

    # --- the loop

    def run(self, ends: Any) -> None:
        """Hold them until a line comes from ``ends``, a stream."""
        self._epoll.register(ends.fileno(), _IN)
        ready, slot, due = False, 0, time.monotonic()
        while True:
            self._open()
            now = time.monotonic()
            for fd, event in self._epoll.poll(max(0.0, min(due - now, 0.1))):
                if fd == ends.fileno():
                    self._epoll.unregister(fd)
                    self._end()
                    return
                self._event(fd, event)
            now = time.monotonic()
            if now >= due:
                due = max(due + BEAT / SLOTS, now)
                slot = (slot + 1) % SLOTS
                for client in tuple(self._slots[slot].values()):
                    client.push()
                    if client.sock is not None:
                        client.beat()
            if not ready and (self._complete() or now - self._moved > STALLED):
                ready = True
                _say(ready=self._report())

    def _event(self, fd: int, event: int) -> None:
        client = self._opening.get(fd)
        if client is not None:
            self._get_on(client)
            return
        client = self._clients.get(fd)
        if client is None:
            return
        if event & (_IN | _OUT):
            client.push()
            client.readable()
        else:
            client.ended()  # reset under one that does not look now
        if client.sock is not None and (client.out or event & _OUT):
            self._epoll.modify(fd, _IN | _OUT if client.out else _IN)

    def _complete(self) -> bool:
        if self._to_open or self._opening:
            return False
        return not any(client.due for client in self._clients.values())

    # --- the end

    def _end(self) -> None:
        held = len(self._clients)
        unserved = len(self._to_open) + len(self._opening)
        chosen = tuple(self._clients.values())[:: max(1, held // HURRIED)]
        answered = self.counts["answered"]
        for client in tuple(self._clients.values()):
            if client not in chosen:
                unserved += client.due
                client.number = -1
                with contextlib.suppress(FileNotFoundError, ValueError):
                    self._epoll.unregister(client.sock.fileno())
        self._to_open.clear()
        for client in chosen:
            client.number = -1
            client.hurry()
            if client.out and client.sock is not None:
                self._epoll.modify(client.sock.fileno(), _IN | _OUT)
        deadline = time.monotonic() + HASTE
        while time.monotonic() < deadline and any(client.waiting for client in chosen if client.sock is not None):
            for fd, event in self._epoll.poll(0.2):
                if fd not in self._opening:
                    self._event(fd, event)
        late = sum(client.waiting for client in chosen if client.sock is not None)
        for client in (*self._clients.values(), *self._opening.values()):
            client.close()
        self.counts["unserved"] += unserved + late
        self.counts["hurried"] = len(chosen)
        self.counts["finished"] = self.counts["answered"] - answered
        self.counts["held"] = held
        _say(done=self._report())

    def _report(self) -> dict[str, Any]:
        return {"held": len(self._clients), **self.counts}


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


class Held:
    """A crowd in a process of its own.

    :ivar ready: its counts when it stood.
    """

    def __init__(self, order: Order) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.slow.crowd"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._write(json.dumps(asdict(order)))
        self.ready: dict[str, int] = self._read()["ready"]

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, dict[str, int]]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the crowd ended with status {self._process.wait()}")
        told: dict[str, dict[str, int]] = json.loads(line)
        return told

    def give_way(self) -> None:
        """From now on whoever else wants the processor gets it first: a fast client is not kept waiting by the slow."""
        os.setpriority(os.PRIO_PROCESS, self._process.pid, 19)

    def cpu(self) -> float:
        """Seconds of processor time it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> dict[str, int]:
        """Let some end their business, and all go. Returns the counts."""
        self._write("end")
        return self._read()["done"]

    def close(self) -> None:
        """Whatever happens, no process is left."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


@contextlib.contextmanager
def hold(order: Order) -> Iterator[Held]:
    """Open a crowd; it is gone at the end of the ``with`` block."""
    held = Held(order)
    try:
        yield held
    finally:
        held.close()


def raise_limit() -> int:
    """Allow this process and its children as many descriptors as may be. Returns how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main() -> None:
    """The process of a crowd."""
    raise_limit()
    order = Order(**json.loads(sys.stdin.buffer.raw.readline()))  # type: ignore[attr-defined]
    Crowd(order).run(sys.stdin.buffer.raw)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
