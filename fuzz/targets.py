"""What must hold for any bytes at all. Each target takes bytes, and raises if something does not hold."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tinfront.catalog import discover
from tinfront.config.describe import describe
from tinfront.config.load import loads
from tinfront.config.vocabulary import Module
from tinfront.errors import ConfigError, ProtocolError
from tinfront.http.fields import is_token, is_value
from tinfront.http.message import RequestHead, ResponseHead
from tinfront.http.target import split_host
from tinfront.wire.codec import END, Preamble
from tinfront.wire.h1 import H1Codec
from tinfront.wire.h1_body import CHUNK_LINE_MAX, TRAILER_MAX, ChunkedReader
from tinfront.wire.h1_head import HeadLimits, HeadParser

LIMITS = HeadLimits(line=300, field=200, head=600, fields=10)
"""Small, so that short inputs reach them."""

_OK = ResponseHead(200, [], 0)


def head(data: bytes) -> None:
    """Requests are understood alike in any split and at any time, and no head says more than it may."""
    parser = HeadParser(LIMITS)
    whole = _story([data], parser)
    for _ in range(2):
        assert whole == _story([data], parser), "what is remembered must mean nothing"
    assert whole == _story(_split(data), _Forgetful(LIMITS)), "packets must mean nothing"
    for event in whole:
        if isinstance(event, RequestHead):
            _check_head(event)


def _check_head(head: RequestHead) -> None:
    assert is_token(head.method)
    assert head.version in ("HTTP/1.0", "HTTP/1.1")
    assert head.path == "*" or head.path[0] == "/"
    assert not {".", ".."} & set(head.path.split("/"))
    assert "\0" not in head.path
    assert "host" in head.fields or head.version == "HTTP/1.0"
    assert head.length is None or 0 <= head.length < 10**18
    assert (head.length is None) == ("transfer-encoding" in head.fields)
    assert len(head.target) <= LIMITS.line
    for name, value in head.fields.items():
        assert is_token(name), name
        assert name == name.lower(), name
        assert is_value(value), value
        assert "_" not in name, name
    try:
        split_host(head.authority)
    except ProtocolError as error:
        assert error.reason == "bad-host"


class _Forgetful(HeadParser):
    """A parser that sees each head for the first time."""

    __slots__ = ()

    def parse(self, data: bytes | bytearray) -> RequestHead:
        """See ``HeadParser``."""
        self._memo.clear()
        self._blocks.clear()
        return super().parse(data)


def _story(packets: Iterable[bytes], parser: HeadParser) -> list[Any]:
    """All that a codec understands of some packets, each request being answered when it is complete."""
    codec = H1Codec(parser, Preamble(None, "now"), LIMITS.head)
    story: list[Any] = []
    for packet in packets:
        events: Any = codec.receive(packet)
        while events:
            for _, event in events:
                _tell(story, event)
                if isinstance(event, ProtocolError):
                    assert codec.closing
                    assert not codec.held
                    assert not codec.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "nothing behind an error is read"
                    return story
            _answer(codec)
            events = codec.receive(b"")
        assert len(codec.held) <= max(LIMITS.head + 4, TRAILER_MAX + 2, CHUNK_LINE_MAX + 2) or codec.closing
    return story


def _tell(story: list[Any], event: Any) -> None:
    """One more event, in a form that does not depend on packets."""
    if isinstance(event, bytes):
        if story and isinstance(story[-1], bytes):
            event = story.pop() + event
        story.append(event)
    elif isinstance(event, ProtocolError):
        story.append((event.status, event.reason))
    else:
        story.append(_Head(event) if isinstance(event, RequestHead) else event)


class _Head(RequestHead):
    """A head that can be compared."""

    __slots__ = ()

    def __init__(self, head: RequestHead) -> None:
        super().__init__(*(getattr(head, name) for name in RequestHead.__init__.__code__.co_varnames[1:10]))

    def __eq__(self, other: object) -> bool:
        names = RequestHead.__slots__
        return isinstance(other, _Head) and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]


def _answer(codec: H1Codec) -> None:
    if codec._reader is None and codec._awaiting:
        closing = codec.closing
        codec.send_response(codec.stream_id, _OK, b"")
        assert codec.closing == closing


def chunked(data: bytes) -> None:
    """A chunked body is the same in any split, never longer than its coding, and has one end."""
    whole = _decode([data])
    assert whole == _decode(_split(data)), "packets must mean nothing"
    body, rest, outcome = whole
    assert len(body) + len(rest) <= len(data)
    if outcome is END:
        again = b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in (body,) if body) + b"0\r\n\r\n"
        assert _decode([again + rest]) == whole, "it means what its own coding means"


def _decode(packets: Iterable[bytes]) -> tuple[bytes, bytes, object]:
    reader, held, out = ChunkedReader(), bytearray(), []
    outcome: object = None
    for packet in packets:
        held += packet
        if outcome is not None:
            continue
        try:
            taken, complete = reader.feed(held, 0, out)
        except ProtocolError as error:
            return b"", b"", error.reason  # how much came before it was seen depends on packets
        del held[:taken]
        outcome = END if complete else None
        assert complete or len(held) <= TRAILER_MAX + 2
    return b"".join(out), bytes(held), outcome


def _split(data: bytes) -> Iterator[bytes]:
    """Packets of one to seven bytes, depending on the data."""
    at = 0
    while at < len(data):
        size = 1 + (data[at] + at) % 7
        yield data[at : at + size]
        at += size


class _Words:
    """The vocabulary that ships, without leave to import what a configuration names."""

    def __init__(self) -> None:
        catalog = discover()
        self.handlers: Callable[[], Iterable[str]] = catalog.handlers
        self.filters: Callable[[], Iterable[str]] = catalog.filters
        self.handler = catalog.handler
        self._filter = catalog.filter

    def filter(self, word: str) -> Module:
        """See ``Vocabulary``."""
        if ":" in word:
            raise LookupError(word)
        return self._filter(word)


_words = _Words()
_directory = tempfile.gettempdir()


def ini(data: bytes) -> None:
    """Any text is a configuration, or has findings that say where and what, one line each."""
    if b"include" in data:
        return  # it would read this machine's files
    text = data.decode("utf-8", "surrogateescape")
    try:
        config = loads(text, _words, directory=_directory)
    except ConfigError as error:
        assert error.findings
        for finding in error.findings:
            assert finding.startswith("site.ini:"), finding
            assert "\n" not in finding, finding
        return
    assert config.listeners
    describe(config, _words)
    assert config == loads(text, _words, directory=_directory)


TARGETS: dict[str, Callable[[bytes], None]] = {"head": head, "chunked": chunked, "ini": ini}
