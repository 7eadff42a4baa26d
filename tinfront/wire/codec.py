"""What every codec shares: its events, and the first lines of a response.

See ``interfaces.ICodec`` for the contract between a codec and its connection.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from tinfront.errors import ProtocolError
from tinfront.http.message import RequestHead
from tinfront.http.status import REASONS


class Mark(Enum):
    """Events that carry nothing."""

    END = "the request body is complete"
    RESET = "the client gave the stream up"
    WINDOW = "the client takes more of a stream's body, or on stream 0 of any"


END = Mark.END
RESET = Mark.RESET
WINDOW = Mark.WINDOW


class Reply(bytes):
    """Bytes that a codec wants to send of its own accord, such as an acknowledgement."""


Event: TypeAlias = "RequestHead | bytes | Mark | Reply | ProtocolError"
Events: TypeAlias = "tuple[tuple[int, Event], ...] | list[tuple[int, Event]]"


class Preamble(dict[int, bytes]):
    """Status line, Server and Date by status: the same bytes for every response of one second.

    Whoever has the clock calls ``tick`` once a second; a codec only looks up.
    """

    def __init__(self, server: str | None, date: str = "") -> None:
        super().__init__()
        self.date = date
        self.name(server)

    def name(self, server: str | None) -> None:
        """Who answers from now on; None: Server is not sent."""
        self._server = f"Server: {server}\r\n" if server else ""
        self.clear()

    def tick(self, date: str) -> None:
        """A new second, as an IMF-fixdate (RFC 9110 section 5.6.7)."""
        self.date = date
        self.clear()

    def __missing__(self, status: int) -> bytes:
        return self.line(status, REASONS.get(status, ""))

    def line(self, status: int, reason: str) -> bytes:
        """The same for a reason phrase of the application's own. Registered ones only are kept."""
        text = f"HTTP/1.1 {status} {reason}\r\n"
        if status >= 200:
            text += f"{self._server}Date: {self.date}\r\n"
        data = text.encode("latin-1")
        if reason == REASONS.get(status, ""):
            self[status] = data
        return data
