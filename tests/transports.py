"""A front without sockets: connections on in-memory transports, a clock that stands still, a loop turned by hand.

``Front`` is what a listener's connections share. ``Front.connect`` gives a ``Client`` that sends bytes and has the
bytes that came back. What the kernel would take, and when, is the test's to say.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from zope.interface import implementer

import tinfront.front.exchange
from tinfront.config.model import Limits, Route
from tinfront.front.connection import Connection
from tinfront.front.pages import Pages
from tinfront.front.spool import Budget
from tinfront.front.terms import Terms
from tinfront.http.message import ResponseHead
from tinfront.interfaces import IBodyProducer
from tinfront.routing.table import BoundRoute, SiteTable, Table
from tinfront.wire.codec import Preamble
from tinfront.wire.h1_head import HeadLimits, HeadParser

HIGH, LOW = 64 * 1024, 16 * 1024
FAR = 1 << 60


class MemoryTransport:
    """The names and meanings of ``asyncio.Transport``.

    :ivar out: bytes that have reached the client.
    :ivar room: bytes that the kernel still takes.
    :ivar calls: everything but writes, by name.
    """

    def __init__(self, front: Front, room: int = FAR) -> None:
        self.front = front
        self.connection: Any = None
        self.out = bytearray()
        self.writes = 0
        self.buffer = bytearray()
        self.room = room
        self.calls: list[str] = []
        self.reading = True
        self.waiting: deque[bytes] = deque()
        self.paused = self.closing = self.lost = self.eof = self.can_eof = False
        self.can_eof = True
        self.socket: Any = None

    # --- for the connection

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        assert not self.eof, "written after write_eof"
        self.writes += 1
        if self.lost:
            return
        self.buffer += data
        self._push()
        if len(self.buffer) > HIGH and not self.paused:
            self.paused = True
            self.connection.pause_writing()

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        self.calls.append("pause_reading")
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "resumed twice"
        self.calls.append("resume_reading")
        self.reading = True

    def can_write_eof(self) -> bool:
        return self.can_eof

    def write_eof(self) -> None:
        assert self.can_eof
        self.calls.append("write_eof")
        self.eof = True

    def close(self) -> None:
        self.calls.append("close")
        self.closing = True
        self._push()

    def abort(self) -> None:
        self.calls.append("abort")
        self.closing = True
        self.buffer.clear()
        self._push()

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    # --- for the test

    def _push(self) -> None:
        count = min(self.room, len(self.buffer))
        self.room -= count
        self.out += self.buffer[:count]
        del self.buffer[:count]
        if self.closing and not self.buffer and not self.lost:
            self.lost = True
            self.front.soon.append(lambda: self.connection.connection_lost(None))

    def take(self, count: int) -> None:
        """The client reads."""
        self.room += count
        self._push()
        if self.paused and len(self.buffer) <= LOW and not self.lost:
            self.paused = False
            self.connection.resume_writing()

    def deliver(self) -> None:
        """What the client has sent goes in, as far as the server reads."""
        while self.waiting and self.reading and not self.closing:
            self.connection.data_received(self.waiting.popleft())


class Where:
    """An ``Arrival``."""

    def __init__(self, secure: bool, trusted: bool = False) -> None:
        self.peer = ("192.0.2.7", 50123)
        self.local = ("127.0.0.1", 443 if secure else 80)
        self.secure = self.https = secure
        self.trusted = trusted


class Client:
    """The other end of a connection."""

    def __init__(self, front: Front, room: int, secure: bool, trusted: bool = False) -> None:
        self.front = front
        self.transport = MemoryTransport(front, room)
        self.connection = Connection(front.terms, Where(secure, trusted))
        self.transport.connection = self.connection
        self.transport.can_eof = not secure
        self.connection.connection_made(self.transport)
        self._seen = 0

    def send(self, *packets: bytes) -> bytes:
        """Send packets, let the server work; returns what came back since the last call."""
        for packet in packets:
            self.transport.waiting.append(packet)
            self.transport.deliver()
            self.front.turn()
        return self.news()

    def news(self) -> bytes:
        """What has come back since the last call."""
        self.front.turn()
        fresh = bytes(self.transport.out[self._seen :])
        self._seen = len(self.transport.out)
        return fresh

    def read(self, count: int = FAR) -> bytes:
        """Let the kernel take so many bytes more."""
        self.transport.take(count)
        self.transport.deliver()
        return self.news()

    def end(self) -> bytes:
        """Shut the sending side."""
        assert self.transport.reading
        if not self.connection.eof_received():
            self.transport.close()
        return self.news()

    def leave(self) -> None:
        """Break the connection."""
        if not self.transport.lost:
            self.transport.lost = self.transport.closing = True
            self.connection.connection_lost(ConnectionResetError())
        self.front.turn()

    @property
    def closed(self) -> bool:
        """The server has closed its side; nothing more can come."""
        return self.transport.lost or self.transport.eof

    @property
    def lingering(self) -> bool:
        return self.connection.lingering


class Descriptors:
    """``IDescriptors`` over a selector, turned by hand.

    :ivar added: how often somebody came to wait until it may write.
    """

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.writers: set[int] = set()
        self.added = 0

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        self.added += 1
        self.writers.add(fd)
        self.selector.register(fd, selectors.EVENT_WRITE, (callback, args))

    def remove_writer(self, fd: int) -> None:
        if fd in self.writers:
            self.writers.discard(fd)
            self.selector.unregister(fd)

    def turn(self) -> bool:
        """Call back whoever may write now."""
        ready = self.selector.select(0)
        for key, _ in ready:
            callback, args = key.data
            callback(*args)
        return bool(ready)


class Front:
    """What the connections of one listener share.

    :ivar over: exchanges that ended, in order: one access-log line each.
    :ivar soon: what was asked to run in a later turn.
    """

    def __init__(self, handle: Any = None, limits: Limits | None = None, **terms: Any) -> None:
        self.now = time.monotonic()
        self.over: list[Any] = []
        self.opened: list[Any] = []
        self.soon: deque[Callable[[], Any]] = deque()
        self.descriptors = Descriptors()
        self.clients: list[Client] = []
        self.limits = limits or Limits()
        self.route = self.bind(handle or echo)
        self.site = SiteTable("demo", [self.route])
        table = Table()
        table.add(self.site, ["demo.test"], default=True)
        head = HeadLimits(self.limits.line, self.limits.field, self.limits.head, self.limits.fields)
        settings: dict[str, Any] = {
            "table": table,
            "limits": self.limits,
            "parser": HeadParser(head),
            "preamble": Preamble("test", "now"),
            "pages": Pages(),
            "budget": Budget(1 << 30),
            "memory_max": 64 * 1024,
            "file_max": 1 << 30,
            "descriptors": self.descriptors,
            "call_soon": self.soon.append,
            "observers": (self.over.append,),
            "clock": lambda: self.now,
        }
        self.terms = Terms(**{**settings, **terms})

    def bind(self, handle: Any, pattern: str = "/", **model: Any) -> BoundRoute:
        def opened(exchange: Any) -> None:
            self.opened.append(exchange)
            handle(exchange)

        route = BoundRoute(replace(Route("demo", "prefix", pattern, "test"), **model), opened)
        route.observers = (self.over.append,)
        return route

    def connect(self, room: int = FAR, secure: bool = False, trusted: bool = False) -> Client:
        client = Client(self, room, secure, trusted)
        self.clients.append(client)
        return client

    def turn(self) -> None:
        """Run what was asked to run later, and what that asks for."""
        for _ in range(10_000):
            if not self.soon:
                return
            self.soon.popleft()()
        raise AssertionError("the loop spins")

    def exchange(self, *packets: bytes) -> bytes:
        """What one fresh client gets back."""
        return self.connect().send(*packets)

    def freeze(self, monkeypatch: Any) -> Front:
        """Exchanges, too, live by this front's clock: for tests that let time pass."""
        monkeypatch.setattr(tinfront.front.exchange, "monotonic", lambda: self.now)
        return self

    def pass_time(self, seconds: float, sweep: float = 1.0) -> None:
        """Let time pass; the sweep comes once a second."""
        assert tinfront.front.exchange.monotonic() == self.now, "freeze() first"
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + sweep)
            for client in self.clients:
                if not client.transport.lost and client.connection.deadline <= self.now:
                    client.connection.expire(self.now)
                    self.turn()


def echo(exchange: Any) -> None:
    """Answers with what it got: method, path, query and body."""
    head = exchange.head
    body = b"" if exchange.body is None else read(exchange.body)
    text = f"{head.method} {head.path}?{head.query} {len(body)}\n".encode("latin-1") + body
    exchange.respond(ResponseHead(200, [("Content-Type", "text/plain")], len(text)), text)


def read(body: Any) -> bytes:
    """All of an ``IBody``."""
    data: bytes | None = body.data()
    if data is None:
        data = os.pread(body.fileno(), body.length, 0)
    return data


class Later:
    """A handler that keeps its exchanges, to be answered when the test says so."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def __call__(self, exchange: Any) -> None:
        self.kept.append(exchange)

    def answer(self, index: int = 0, body: Any = b"later", **head: Any) -> Any:
        exchange = self.kept.pop(index)
        exchange.respond(ResponseHead(200, [], **head), body)
        return exchange


@implementer(IBodyProducer)
class Producer:
    """An ``IBodyProducer`` that remembers what it was told."""

    unbuffered = False

    def __init__(self, *at_once: bytes, finish: bool = False) -> None:
        self.told: list[str] = []
        self.outbox: Any = None
        self._at_once = at_once
        self._finish = finish

    def start(self, outbox: Any) -> None:
        self.told.append("start")
        self.outbox = outbox
        for data in self._at_once:
            outbox.write(data)
        if self._finish:
            outbox.finish()

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def stop(self) -> None:
        self.told.append("stop")


# --- reading answers


class Reply(NamedTuple):
    """One response as a client understands it. ``complete``: its framing says that nothing is missing."""

    status: int
    fields: dict[str, str]
    body: bytes
    complete: bool = True


_STATUS = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [^\r\n]*").fullmatch


def replies(data: bytes, *methods: str) -> list[Reply]:
    """Take a stream of responses apart, strictly. ``methods``: of the requests, GET where none is given."""
    asked = list(methods)
    found: list[Reply] = []
    while data:
        method = asked[0] if asked else "GET"
        head, mark, data = data.partition(b"\r\n\r\n")
        assert mark, head
        lines = head.split(b"\r\n")
        match = _STATUS(lines[0])
        assert match, lines[0]
        status = int(match[1])
        fields: dict[str, str] = {}
        for line in lines[1:]:
            name, value = line.decode("latin-1").split(": ", 1)
            assert name.lower() not in fields, name
            fields[name.lower()] = value
        if status >= 200 and asked:
            asked.pop(0)
        body, data, complete = _body(method, status, fields, data)
        found.append(Reply(status, fields, body, complete))
    return found


def _body(method: str, status: int, fields: dict[str, str], data: bytes) -> tuple[bytes, bytes, bool]:
    if method == "HEAD" or status < 200 or status in (204, 304):
        return b"", data, True
    if "transfer-encoding" in fields:
        assert fields["transfer-encoding"] == "chunked"
        assert "content-length" not in fields
        body = b""
        while True:
            line, mark, rest = data.partition(b"\r\n")
            if not mark:
                return body, b"", False
            size = int(line, 16)
            if len(rest) < size + 2:
                return body + rest[:size], b"", False
            assert rest[size : size + 2] == b"\r\n"
            body, data = body + rest[:size], rest[size + 2 :]
            if size == 0:
                return body, data, True
    if "content-length" in fields:
        length = int(fields["content-length"])
        return data[:length], data[length:], len(data) >= length
    return data, b"", True


def statuses(data: bytes, *methods: str) -> list[int]:
    """Only the status codes of ``replies``."""
    return [reply.status for reply in replies(data, *methods)]


def socket_pair(buffer: int = 4096) -> tuple[socket.socket, socket.socket]:
    """A non-blocking pair with small buffers."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    return ours, theirs


class SocketTransport(MemoryTransport):
    """The same on a real socket, so that sendfile works; ``theirs`` is the client's end."""

    def __init__(self, front: Front, buffer: int = 4096) -> None:
        super().__init__(front)
        self.socket, self.theirs = socket_pair(buffer)

    def _push(self) -> None:
        try:
            while self.buffer and not self.lost:
                del self.buffer[: self.socket.send(self.buffer)]
        except BlockingIOError:
            pass
        except OSError:
            self.buffer.clear()
            self.closing = True
        if self.closing and not self.buffer and not self.lost:
            self.lost = True
            self.socket.close()
            self.front.soon.append(lambda: self.connection.connection_lost(None))

    def read_all(self) -> bytes:
        """Read like a client until nothing more comes."""
        idle = 0
        while idle < 3:
            idle += 1
            try:
                while data := self.theirs.recv(65536):
                    self.out += data
                    idle = 0
            except BlockingIOError:
                pass
            except ConnectionResetError:
                break
            self.take(0)
            if self.front.descriptors.turn() or self.front.soon:
                idle = 0
            self.front.turn()
        return bytes(self.out)

    def done(self) -> None:
        """Give the descriptors back."""
        self.socket.close()
        self.theirs.close()
