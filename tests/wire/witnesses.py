"""How others read a stream of requests: h11, llhttp (by httptools) and gunicorn's parser, and ourselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import h11
import httptools
from gunicorn.config import Config
from gunicorn.http import RequestParser
from gunicorn.http.errors import ChunkMissingTerminator, NoMoreData, ParseException

from tinfront.errors import ProtocolError
from tinfront.http.message import RequestHead
from tinfront.wire.codec import END, Preamble
from tinfront.wire.h1 import H1Codec
from tinfront.wire.h1_head import HeadLimits, HeadParser


class Read(NamedTuple):
    """One request as a parser understood it."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The fields of a witness as we hand them on: repeated ones joined, and without those that we drop."""
    fields: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        if "_" in key or key == "proxy":
            continue
        fields[key] = value if key not in fields else fields[key] + ("; " if key == "cookie" else ", ") + value
    return fields


class Reading(NamedTuple):
    """Complete requests, and why there are no more: ``more`` bytes are awaited, it was ``refused``, or ``closed``."""

    requests: list[Read]
    end: str


def ours(data: bytes) -> Reading:
    codec = H1Codec(HeadParser(HeadLimits()), Preamble(None, "now"), 32 * 1024)
    found: list[Read] = []
    head, body = None, b""
    events: Any = codec.receive(data)
    while events:
        for _, event in events:
            if isinstance(event, ProtocolError):
                return Reading(found, "refused")
            if isinstance(event, RequestHead):
                head, body = event, b""
                if event.length != 0:
                    continue
            elif isinstance(event, bytes):
                body += event
                continue
            else:
                assert event is END
            assert head is not None
            found.append(Read(head.method, head.target, head.fields, body))
            if codec.closing:
                return Reading(found, "closed")
            codec._awaiting = False
        events = codec.receive(b"")
    return Reading(found, "more")


def h11s(data: bytes) -> Reading:
    connection = h11.Connection(h11.SERVER)
    found: list[Read] = []
    request: Any = None
    body = b""
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                return Reading(found, "more")
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                fields = joined((name.decode(), value.decode("latin-1")) for name, value in request.headers)
                found.append(Read(request.method.decode(), request.target.decode(), fields, body))
                if connection.their_state is not h11.DONE:
                    return Reading(found, "closed")
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
    except h11.RemoteProtocolError:
        return Reading(found, "refused")


def llhttps(data: bytes) -> Reading:
    found: list[Read] = []

    class Witness:
        keep = True

        def on_message_begin(self) -> None:
            self.target, self.body, self.pairs, self.body_begun = b"", b"", [], False

        def on_url(self, url: bytes) -> None:
            self.target += url

        def on_header(self, name: bytes, value: bytes) -> None:
            if not self.body_begun:  # it is no trailer
                self.pairs.append((name.decode("latin-1"), (value or b"").decode("latin-1").rstrip(" \t")))

        def on_headers_complete(self) -> None:
            self.body_begun = True
            self.keep = parser.should_keep_alive()

        def on_body(self, body: bytes) -> None:
            self.body += body

        def on_message_complete(self) -> None:
            method, target = parser.get_method().decode(), self.target.decode("latin-1")
            found.append(Read(method, target, joined(self.pairs), self.body))

    witness = Witness()
    parser = httptools.HttpRequestParser(witness)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return Reading(found, "closed")
    except httptools.HttpParserError:
        return Reading(found, "refused" if witness.keep else "closed")
    return Reading(found, "more" if witness.keep else "closed")


_config = Config()


def gunicorns(data: bytes) -> Reading:
    parser = RequestParser(_config, iter([data]), ("127.0.0.1", 50123))
    found: list[Read] = []
    try:
        for request in parser:
            body = request.body.read()
            lengths = [int(value) for name, value in request.headers if name == "CONTENT-LENGTH"]
            if lengths and len(body) < lengths[0]:
                return Reading(found, "more")
            found.append(Read(request.method, request.uri, joined(request.headers), body))
    except NoMoreData:
        return Reading(found, "more")
    except ChunkMissingTerminator as error:
        return Reading(found, "more" if error.term in (b"", b"\r") else "refused")
    except (ParseException, OSError):
        return Reading(found, "refused")
    return Reading(found, "closed" if parser.mesg.should_close() else "more")


WITNESSES = (h11s, llhttps, gunicorns)
