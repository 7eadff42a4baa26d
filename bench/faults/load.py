"""Steady load over keep-alive connections: every request has an id of its own, and its answer must carry it.

Nothing is asked twice, and nothing is forgiven: a connection that closes without an answer is a reset, also between two
requests, unless the last answer had said ``Connection: close``.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self

Address = tuple[str, int]

PATIENCE = 10.0
"""Seconds after which an answer is lost."""

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CLOSE = re.compile(rb"(?i)\r\nconnection: *close")


@dataclass(slots=True)
class Tally:
    """What came back.

    :ivar wrong: ids whose answer was another's, or none of the app's.
    :ivar lost: ids without an answer in time; ``reset``: ids whose connection broke instead.
    :ivar refused: ids by status and reason: ``502 worker-died``.
    :ivar worst: seconds of the slowest good answer.
    """

    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    reset: list[str] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)
    worst: float = 0.0
    pids: Counter[int] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Take in what another one counted."""
        self.answered += other.answered
        self.wrong += other.wrong
        self.lost += other.lost
        self.reset += other.reset
        for reason, names in other.refused.items():
            self.refused.setdefault(reason, []).extend(names)
        self.worst = max(self.worst, other.worst)
        self.pids += other.pids
        self.versions += other.versions

    @property
    def refusals(self) -> int:
        """Answers of 400 and above."""
        return sum(map(len, self.refused.values()))

    @property
    def unanswered(self) -> int:
        """Requests that got nothing."""
        return len(self.lost) + len(self.reset)

    @property
    def errors(self) -> int:
        """Everything but good answers."""
        return len(self.wrong) + self.unanswered + self.refusals

    def said(self) -> str:
        """In words."""
        parts = [f"{self.answered} answered"]
        parts += [
            f"{count} {word}"
            for word, count in (("wrong", len(self.wrong)), ("lost", len(self.lost)), ("reset", len(self.reset)))
            if count
        ]
        parts += [f"{len(names)} \N{MULTIPLICATION SIGN} {reason}" for reason, names in sorted(self.refused.items())]
        return ", ".join(parts)


class Asker:
    """One keep-alive connection, opened again when it is closed."""

    def __init__(self, address: Address, patience: float = PATIENCE) -> None:
        self._address = address
        self._patience = patience
        self._socket: socket.socket | None = None
        self._stream: BinaryIO | None = None

    def ask(self, path: str, name: str, method: str = "GET") -> tuple[int, bytes]:
        """Send a request, named in its query or, with POST, in its body. Returns status and body.

        :raises TimeoutError: there was no answer in time.
        :raises OSError: the connection broke, or there is none.
        """
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, self._patience)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._stream = self._socket.makefile("rb")
            self._socket.sendall(_request(path, name, method))
            assert self._stream is not None
            return self._answer(self._stream)
        except OSError:
            self.close()
            raise

    def _answer(self, stream: BinaryIO) -> tuple[int, bytes]:
        lines = []
        while (line := stream.readline()) not in {b"\r\n", b""}:
            lines.append(line)
        if not line:
            raise ConnectionResetError("the connection was closed without an answer")
        head = b"\r\n" + b"".join(lines)
        length = _LENGTH.search(head)
        body = stream.read(int(length[1])) if length else b""
        if length and len(body) < int(length[1]):
            raise ConnectionResetError("the answer was cut")
        if _CLOSE.search(head) or not length:
            self.close()
        return int(lines[0].split()[1]), body

    def close(self) -> None:
        """Leave."""
        if self._socket is not None and self._stream is not None:
            self._stream.close()
            self._socket.close()
        self._socket = self._stream = None


def _request(path: str, name: str, method: str) -> bytes:
    common = "Host: localhost\r\nAccept: application/json\r\n"
    if method == "POST":
        return f"POST {path} HTTP/1.1\r\n{common}Content-Length: {len(name)}\r\n\r\n{name}".encode()
    return f"{method} {path}?{name} HTTP/1.1\r\n{common}\r\n".encode()


def reason_of(status: int, body: bytes) -> str:
    """``502 worker-died``: the status, and the reason where the page has one."""
    try:
        return f"{status} {json.loads(body)['reason']}"
    except (ValueError, KeyError, TypeError):
        return str(status)


class Load:
    """Askers in threads, from ``with`` to its end; :attr:`tally` is whole afterwards.

    :ivar newest: pid and version of the newest good answer.
    """

    def __init__(self, address: Address, connections: int = 16, what: str = "GET /work", pause: float = 0.0) -> None:
        """``what``: method and path; ``pause``: seconds between an answer and that connection's next request."""
        self.tally = Tally()
        self.newest = (0, 0)
        self._method, self._path = what.split()
        self._pause = pause
        self._address = address
        self._over = threading.Event()
        self._names = (f"id-{number}" for number in itertools.count())
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(connections)]
        self._answers = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> int:
        """Good answers up to now, about."""
        return self._answers

    def _name(self) -> str:
        with self._lock:
            return next(self._names)

    def _ask(self) -> None:
        asker, tally = Asker(self._address), Tally()
        while not self._over.wait(self._pause):
            name = self._name()
            began = time.monotonic()
            try:
                status, body = asker.ask(self._path, name, self._method)
            except TimeoutError:
                tally.lost.append(name)
            except OSError:
                tally.reset.append(name)
                self._over.wait(0.01)
            else:
                self._judge(tally, name, status, body)
                if status == 200:
                    tally.worst = max(tally.worst, time.monotonic() - began)
        asker.close()
        with self._lock:
            self.tally.add(tally)

    def _judge(self, tally: Tally, name: str, status: int, body: bytes) -> None:
        if status != 200:
            tally.refused.setdefault(reason_of(status, body), []).append(name)
            return
        words = body.decode("latin-1").split()
        if len(words) != 3 or words[0] != name:
            tally.wrong.append(name)
            return
        pid, version = int(words[1]), int(words[2])
        tally.answered += 1
        tally.pids[pid] += 1
        tally.versions[version] += 1
        self._answers += 1
        self.newest = (pid, version)
