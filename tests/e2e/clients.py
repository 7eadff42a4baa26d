"""What tests ask servers with, besides ``requests``: curl, bare sockets, and a gate that holds requests in the app."""

from __future__ import annotations

import socket
import subprocess
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from tests.e2e.server import PATIENCE, address_of


def curl(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run curl; stdout is the answer's body, or what ``--write-out`` says."""
    quiet = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]
    return subprocess.run([*quiet, *map(str, arguments)], capture_output=True, timeout=90, check=False)


class Response(NamedTuple):
    """One answer, taken apart without mercy."""

    status: int
    fields: dict[str, str]
    body: bytes


class Wire:
    """A plain connection to a server, byte by byte."""

    def __init__(self, url: str, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect(address_of(url))
        except OSError:
            self.socket.close()
            raise
        self.stream: BinaryIO = self.socket.makefile("rb", buffering=0 if receive_buffer else -1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()
        self.socket.close()

    def send(self, text: str | bytes) -> None:
        """Lines may end as they do in Python."""
        self.socket.sendall(text.replace("\n", "\r\n").encode("latin-1") if isinstance(text, str) else text)

    def get(self, target: str, *fields: str) -> None:
        """Send a GET."""
        self.send("\n".join((f"GET {target} HTTP/1.1", "Host: demo.test", *fields, "", "")))

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields of the next answer."""
        status = int(self._line().split()[1])
        fields = {}
        while line := self._line():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return status, fields

    def _line(self) -> str:
        line = self.stream.readline()
        assert line, "the connection has ended"
        return line.decode("latin-1").rstrip("\r\n")

    def read(self, count: int) -> bytes:
        """So many bytes."""
        data = bytearray()
        while len(data) < count:
            piece = self.stream.read(min(count - len(data), 65536))
            assert piece, f"the connection has ended after {len(data)} of {count} bytes"
            data += piece
        return bytes(data)

    def chunk(self) -> bytes:
        """The next chunk of a chunked body; empty is the last."""
        data = self.read(int(self._line(), 16))
        assert self._line() == ""
        return data

    def response(self) -> Response:
        """A whole answer."""
        status, fields = self.head()
        if fields.get("transfer-encoding") == "chunked":
            return Response(status, fields, b"".join(iter(self.chunk, b"")))
        return Response(status, fields, self.read(int(fields.get("content-length", 0))))

    def is_cut(self) -> bool:
        """Whether the connection ends before anything comes."""
        try:
            return not self.stream.read(1)
        except ConnectionResetError:
            return True

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        data = bytearray()
        while piece := self.stream.read(65536):
            data += piece
        return bytes(data)


class Held(NamedTuple):
    """A request that waits inside the app.

    :ivar pid: of its process.
    """

    door: socket.socket
    pid: int

    def release(self) -> None:
        """Let it go on."""
        self.door.sendall(b"!")


class Gate:
    """Where requests to ``…?gate=PORT`` wait inside the app."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self._held: list[Held] = []
        self.port = self._listener.getsockname()[1]

    def catch(self) -> Held:
        """Wait until a request has come to the gate."""
        door, _ = self._listener.accept()
        door.settimeout(PATIENCE)
        held = Held(door, int(door.makefile("rb").readline()))
        self._held.append(held)
        return held

    def close(self) -> None:
        """Nobody waits any more."""
        for held in self._held:
            held.door.close()
        self._listener.close()
