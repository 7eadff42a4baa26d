"""HTTP/1.1 and 1.0 on the server's side (RFC 9112), sans-IO: the codec of every connection without TLS and ALPN h2.

One request at a time: while an answer is due, what the client pipelines behind it is held back as bytes, so that
answers leave in order and nothing is parsed that may never be answered.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from tinfront.errors import ProtocolError
from tinfront.http.fields import elements
from tinfront.http.message import RequestHead, ResponseHead, field_block
from tinfront.interfaces import ICodec
from tinfront.wire.codec import END, Event, Events, Preamble
from tinfront.wire.h1_body import ChunkedReader, LengthReader
from tinfront.wire.h1_head import HeadParser, request_line

WHOLE_MAX = 64 * 1024
"""Bodies of at most so many bytes leave together with their head; larger ones as the client takes them."""

_NOTHING: Events = ()
_UNLIMITED = 1 << 62


@implementer(ICodec)
class H1Codec:
    """See ``ICodec``. Streams are numbered 1, 2, 3 … in the order of their requests.

    :ivar raw_bodies: True while the running response's length is known and its body goes out as it is.
    :ivar closing: may be set from outside: the answer then says ``Connection: close``.
    """

    __slots__ = (
        "_awaiting",
        "_chunked",
        "_head_max",
        "_head_only",
        "_lost_track",
        "_old",
        "_parser",
        "_preamble",
        "_reader",
        "_searched",
        "closing",
        "held",
        "raw_bodies",
        "stream_id",
        "until_close",
    )

    multiplexed = False
    whole_max = WHOLE_MAX

    def __init__(self, parser: HeadParser, preamble: Preamble, head_max: int) -> None:
        self._parser = parser
        self._preamble = preamble
        self._head_max = head_max
        self.held = bytearray()
        self._searched = 0
        self._reader: Any = None
        self._awaiting = False  # an answer is due
        self._head_only = False
        self._old = False  # HTTP/1.0
        self._chunked = False
        self._lost_track = False
        self.raw_bodies = False
        self.until_close = False
        self.closing = False
        self.stream_id = 0

    @property
    def unread(self) -> bool:
        """See ``ICodec``."""
        return self._lost_track or self._reader is not None or bool(self.held)

    # --- in

    def receive(self, data: bytes) -> Events:
        """See ``ICodec``."""
        if self._reader is not None:
            return self._receive_body(data)
        if self._awaiting:
            self.held += data
            return _NOTHING
        rest = b""
        end = data.find(b"\r\n\r\n")
        if self.held or end <= 0 or end > self._head_max or data[0] == 13:
            self.held += data
            try:
                end = self._find_head()
            except ProtocolError as error:
                error.line = request_line(self.held)
                return self._give_up([], error)
            if end < 0:
                return _NOTHING
            data = bytes(self.held[:end])
            del self.held[: end + 4]
        elif end + 4 == len(data):
            data = data[:end]
        else:
            rest = data[end + 4 :]
            data = data[:end]
        self.stream_id += 1
        self._awaiting = True
        try:
            head = self._parser.parse(data)
        except ProtocolError as error:
            error = self._hopeless(data, 0) or error
            error.line = request_line(data + b"\n")
            return self._give_up([], error)
        self._head_only = head.method == "HEAD"
        self._old = head.version == "HTTP/1.0"
        if "connection" in head.fields or self._old:
            self._persistence(head)
        if head.length == 0:
            if rest:
                self.held += rest
            return ((self.stream_id, head),)
        return self._begin_body(head, rest)

    def _find_head(self) -> int:
        """Where the head in the buffer ends, or -1. Goes on where the last look ended: a trickled head costs no more.

        :raises ProtocolError: what is there is no head, whatever may come.
        """
        buffer = self.held
        while buffer.startswith(b"\r\n"):  # RFC 9112 section 2.2: an empty line before a request is ignored
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if 0 <= end <= self._head_max or not buffer:
            self._searched = 0
            return end
        error = self._hopeless(buffer, max(0, self._searched - 1))
        if error is not None:
            raise error
        if len(buffer) - 3 > self._head_max:  # the last three may be of the empty line
            if b"\r\n" not in buffer[: self._head_max]:
                raise ProtocolError(414, "line-too-long", "the request line is too long")
            raise ProtocolError(431, "head-too-large", f"the head is larger than {self._head_max} bytes")
        self._searched = len(buffer)
        return -1

    def _hopeless(self, data: bytes | bytearray, start: int) -> ProtocolError | None:
        """What no further byte can mend, so that it is refused at once and not at the deadline.

        A whole head that was refused is looked at as well: the reason must not depend on packets.
        """
        if data[0] == 0x16:
            return ProtocolError(400, "tls-on-plain-port", "the client speaks TLS on a port for plain HTTP")
        if not 0x41 <= data[0] <= 0x5A and data != b"\r":
            return ProtocolError(400, "bad-request-line", "the request line is malformed")
        while (at := data.find(b"\n", start, self._head_max + 4)) >= 0:
            if data[at - 1] != 13:
                return ProtocolError(400, "bare-lf", "a line ends with a bare LF")
            start = at + 1
        return None

    def _begin_body(self, head: RequestHead, data: bytes) -> Events:
        self._reader = ChunkedReader() if head.length is None else LengthReader(head.length)
        events: list[tuple[int, Event]] = [(self.stream_id, head)]
        if self.held:
            data, self.held = bytes(self.held), bytearray()
        if data:
            events += self._receive_body(data)
        return events

    def _receive_body(self, data: bytes) -> Events:
        pieces: list[bytes] = []
        stream_id = self.stream_id
        source: bytes | bytearray = data
        if self.held:  # a part of a chunk's size line
            self.held += data
            source, self.held = self.held, bytearray()
        try:
            position, complete = self._reader.feed(source, 0, pieces)
        except ProtocolError as error:
            return self._give_up([(stream_id, piece) for piece in pieces], error)
        if position < len(source):
            self.held += source[position:]
        events: list[tuple[int, Event]] = []
        if pieces:
            events.append((stream_id, pieces[0] if len(pieces) == 1 else b"".join(pieces)))
        if complete:
            self._reader = None
            events.append((stream_id, END))
        return events

    def _give_up(self, events: list[tuple[int, Event]], error: ProtocolError) -> Events:
        """Nothing behind a framing error is understood, and nothing of it is answered."""
        error.__traceback__ = None  # its frames would hold the connection, in a circle that only the collector breaks
        if not self._awaiting:  # it never came to a head
            self.stream_id += 1
        self._reader = None
        self._lost_track = self._awaiting = self.closing = True
        self.held.clear()
        events.append((self.stream_id, error))
        return events

    def _persistence(self, head: RequestHead) -> None:
        """Whether the connection outlives the answer (RFC 9112 section 9.3)."""
        options = elements(head.fields.get("connection", "").lower())
        if "close" in options or (self._old and "keep-alive" not in options):
            self.closing = True

    # --- out

    def send_response(self, stream_id: int, head: ResponseHead, body: bytes) -> bytes:
        """See ``ICodec``."""
        if self._reader is not None:
            self.closing = True
        block = head.block or field_block(head)
        preamble = self._preamble[head.status] if head.reason is None else self._line(head)
        if self._head_only or head.status in (204, 304):
            body = b""
        self._head_only = False
        self._awaiting = self.closing  # behind a closing answer nothing is read any more
        if self.closing:
            return b"%b%bConnection: close\r\n\r\n%b" % (preamble, block, body)
        if self._old:
            return b"%b%bConnection: keep-alive\r\n\r\n%b" % (preamble, block, body)
        return b"%b%b\r\n%b" % (preamble, block, body)

    def send_head(self, stream_id: int, head: ResponseHead, end: bool) -> bytes:
        """See ``ICodec``. A body of unknown length is chunked, or ends with the connection in HTTP/1.0."""
        if head.status < 200:
            return b"%b%b\r\n" % (self._line(head), field_block(head))
        if end or self._head_only:
            return self.send_response(stream_id, head, b"")
        line, block, framing = self._line(head), head.block or field_block(head), b""
        if self._reader is not None:
            self.closing = True
        self._chunked = head.length is None and not self._old
        self.raw_bodies = not self._chunked
        if self._chunked:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif head.length is None:
            self.until_close = self.closing = True
        if self.closing:
            framing += b"Connection: close\r\n"
        elif self._old:
            framing += b"Connection: keep-alive\r\n"
        return b"%b%b%b\r\n" % (line, block, framing)

    def _line(self, head: ResponseHead) -> bytes:
        if head.reason is None:
            return self._preamble[head.status]
        return self._preamble.line(head.status, head.reason)

    def send_body(self, stream_id: int, data: bytes, end: bool) -> bytes:
        """See ``ICodec``."""
        if self._chunked:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if end:
                data += b"0\r\n\r\n"
        if end:
            self._chunked = self.raw_bodies = self.until_close = False
            if self._reader is not None:
                self.closing = True
            self._awaiting = self.closing
        return data

    def window(self, stream_id: int) -> int:
        """See ``ICodec``: no limit but the transport's."""
        return _UNLIMITED

    def consumed(self, stream_id: int, count: int) -> bytes:
        """See ``ICodec``: nothing to tell; reading is paused instead."""
        return b""

    def reset(self, stream_id: int, error: str) -> bytes | None:
        """See ``ICodec``: only closing the connection tells the client."""
        return None

    def close(self, error: str) -> bytes:
        """See ``ICodec``: nothing to say."""
        return b""
