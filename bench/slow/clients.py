"""How slow clients behave: one class per kind. ``crowd`` opens their sockets and calls them.

A client is told when it is connected (``begin``), once every ``BEAT`` seconds (``beat``), what came (``receive``), and
that the server has closed (``ended``). ``hurry`` makes it end its business at once: whoever was only slow, and is
within the bounds of the server, has a right to a right answer.
"""

from __future__ import annotations

import socket
import ssl
import struct
import zlib
from typing import Any

BEAT = 5.0
"""Seconds between two signs of life: long, so that the crowd costs the machine little."""

UPLOAD = 1_000_000
UPLOAD_BEAT = 10_000
READ_BEAT = 50_000
"""Bytes a beat: 2 kB/s up, 10 kB/s down."""

RECEIVE_BUFFER = 64 * 1024
HEAD_BEATS = 4
"""A head comes whole after so many beats: 20 s, where the strictest of the servers waits 30."""

_RESET = struct.pack("ii", 1, 0)
_WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_FILLER = bytes(range(256)) * 64


class Client:
    """What all kinds share: a socket, and the answer that is coming in.

    :ivar crowd: is told what becomes of it: ``count(word)``, ``lost(client, word)``; ``listen(client, yes)``.
    :ivar waiting: an answer is due.
    """

    receive_buffer = 0
    """Of the kernel, in bytes; 0: the usual."""

    __slots__ = ("_body_left", "_checksum", "_head", "crowd", "number", "out", "path", "sock", "waiting")

    def __init__(self, crowd: Any, number: int, path: str) -> None:
        self.crowd = crowd
        self.number = number
        self.path = path
        self.sock: Any = None
        self.waiting = False
        self.out = b""
        self._head = b""
        self._body_left = 0
        self._checksum = 0

    # --- what kinds differ in

    def begin(self) -> None:
        """The connection is there."""

    def beat(self) -> None:
        """A sign of life is due."""

    def hurry(self) -> None:
        """Do at once what was to be done slowly."""

    def readable(self) -> None:
        """Something has come."""
        self.take()

    @property
    def busy(self) -> bool:
        """Whether the server owes it anything, or would if it went on."""
        return self.waiting

    @property
    def due(self) -> bool:
        """Whether the crowd is not complete before it has been served."""
        return False

    # --- out

    def send(self, data: bytes) -> None:
        """Send, keeping what does not go yet."""
        self.out += data
        self.push()

    def push(self) -> None:
        """Send what is left."""
        try:
            while self.out:
                self.out = self.out[self.sock.send(self.out[:65536]) :]
        except _WAIT:
            pass
        except OSError:
            self.ended()

    def request(self, extra: str = "", method: str = "GET") -> bytes:
        """A request head."""
        return f"{method} {self.path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: slow/1\r\n{extra}\r\n".encode()

    # --- in

    def take(self, limit: int = 1 << 30) -> int:
        """Read what is there, up to ``limit`` bytes. Returns how many."""
        taken = 0
        try:
            while taken < limit and self.sock is not None:
                data = self.sock.recv(min(65536, limit - taken))
                if not data:
                    self.ended()
                    break
                taken += len(data)
                self.receive(data)
        except _WAIT:
            pass
        except OSError:
            self.ended()
        return taken

    def receive(self, data: bytes) -> None:
        """Some of an answer."""
        if not self.waiting:
            self.crowd.lost(self, "refused")  # an answer before the request was whole: 408, 413, 503 …
            return
        if not self._body_left:
            self._head += data
            head, mark, data = self._head.partition(b"\r\n\r\n")
            if not mark:
                return
            self._head = b""
            status, fields = head[9:12], head.lower()
            if status != b"200" or b"content-length: " not in fields:
                self.crowd.lost(self, "refused")
                return
            self._body_left = int(fields.partition(b"content-length: ")[2].partition(b"\r")[0])
            self._checksum = 0
        self._checksum = zlib.crc32(data, self._checksum)
        self._body_left -= len(data)
        if self._body_left <= 0:
            self.waiting = False
            right = self._body_left == 0 and self._checksum == self.crowd.checksum
            self._body_left = 0
            self.crowd.count("answered" if right else "wrong")
            self.answered()

    def answered(self) -> None:
        """A whole answer has come."""

    def ended(self) -> None:
        """The server has closed."""
        self.crowd.lost(self, "broken" if self.busy else "left")

    def close(self) -> None:
        """Reset: thousands of sockets in TIME_WAIT would be in the way of the next round."""
        if self.sock is not None:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass
            self.sock.close()
            self.sock = None


class Idle(Client):
    """Asks once and keeps the connection."""

    __slots__ = ()

    def begin(self) -> None:
        """Ask."""
        self.waiting = True
        self.send(self.request())

    def hurry(self) -> None:
        """Ask again."""
        if not self.waiting:
            self.begin()

    @property
    def due(self) -> bool:
        """Its first answer."""
        return self.waiting


class Silent(Client):
    """Sends part of a head, then nothing: to weigh what it costs to wait."""

    __slots__ = ()
    busy = True  # type: ignore[assignment]

    def begin(self) -> None:
        """Send the request line and two fields."""
        self.send(self.request()[:-2])


class Head(Client):
    """Sends its head in drips, takes the answer, and does so again."""

    __slots__ = ("_beats",)
    busy = True  # type: ignore[assignment]

    def begin(self) -> None:
        """The request line comes at once."""
        self._beats = 0
        self.send(self.request()[:-2])

    def beat(self) -> None:
        """One more byte, or the rest."""
        if self.waiting:
            return
        if self._beats < 0:
            self.begin()
            return
        self._beats += 1
        if self._beats < HEAD_BEATS:
            self.send(b"X")
        else:
            self.hurry()

    def hurry(self) -> None:
        """The rest."""
        if not self.waiting:
            if self._beats < 0:
                self.begin()
            self._beats = -1
            self.waiting = True
            self.send(b"Y: z\r\n\r\n")


class Upload(Client):
    """Sends a large body slowly, takes the answer, and does so again."""

    __slots__ = ("_left",)
    busy = True  # type: ignore[assignment]

    def begin(self) -> None:
        """The head comes at once."""
        self._left = UPLOAD
        self.send(self.request(f"Content-Length: {UPLOAD}\r\nContent-Type: application/octet-stream\r\n", "POST"))
        self._more(UPLOAD_BEAT // 10)

    def beat(self) -> None:
        """A little more of the body."""
        if self.waiting:
            return
        if not self._left:
            self.begin()
        else:
            self._more(UPLOAD_BEAT)

    def _more(self, count: int) -> None:
        count = min(count, self._left)
        self._left -= count
        self.waiting = not self._left
        self.send((_FILLER * -(-count // len(_FILLER)))[:count])

    def hurry(self) -> None:
        """The rest."""
        if not self.waiting and self._left:
            self._more(self._left)


class Reader(Client):
    """Reads a large answer slowly, and asks for it again."""

    __slots__ = ("_begun", "_hurries")
    receive_buffer = RECEIVE_BUFFER

    def begin(self) -> None:
        """Ask."""
        self._begun = self._hurries = False
        self._ask()

    def _ask(self) -> None:
        self.waiting = True
        self.send(self.request())

    @property
    def due(self) -> bool:
        """The beginning of its first answer."""
        return not self._begun

    def readable(self) -> None:
        """The first bytes show that the answer has begun; then it looks only at its beats."""
        if self._hurries:
            self.take()
        elif self.take(1024):
            self._begun = True
            self.crowd.count("begun")
            self.crowd.listen(self, False)

    def beat(self) -> None:
        """Take some."""
        if self._begun:
            if not self.waiting:
                self._ask()
            self.take(READ_BEAT)

    def hurry(self) -> None:
        """From now on it takes what comes."""
        self._hurries = True
        self.crowd.listen(self, True)
        self.take()


KINDS: dict[str, type[Client]] = {
    "idle": Idle,
    "silent": Silent,
    "head": Head,
    "upload": Upload,
    "reader": Reader,
}
