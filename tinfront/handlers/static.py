"""The static handler: files of a directory, with validators, ranges and a cache (RFC 9110 sections 8.8, 13, 14).

Which file a URL means, with ``static = DIR``:

- In a prefix route the rest of the path after the prefix is looked up in DIR, as nginx does with ``alias``:
  ``[route:site /static/]`` with ``static = /srv/www`` serves ``/static/css/a.css`` from ``/srv/www/css/a.css``.
- In an exact or regex route the whole path is looked up in DIR.
- DIR may be a file: an exact or regex route serves it for every path it matches, a prefix route for its prefix only.
- A path that ends with a slash means the directory's index file. A directory without its slash is redirected (301).
- What cannot be found beneath DIR is tried with each of ``suffixes``, then it is ``fallback``, then 404.

The usual request takes one call here: a small or open file is kept ready with its head (``static_cache``).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from tinfront.handlers.static_cache import Cache, Entry
from tinfront.handlers.static_files import Root
from tinfront.handlers.static_listing import listing
from tinfront.handlers.static_lookup import MISSING, Found, Lookup
from tinfront.handlers.static_options import OPTIONS, cache_control
from tinfront.http import ranges
from tinfront.http.location import encode_path, encode_query, local, redirection
from tinfront.http.mediatypes import TYPES, guess
from tinfront.http.message import Piece, ResponseHead
from tinfront.http.preconditions import CONDITIONAL, evaluate
from tinfront.interfaces import IHandler

__all__ = ("OPTIONS", "StaticHandler", "make")

_FALLBACK = ""
"""The key of the fallback file in the cache; no path is empty."""

_ALLOW = [("Allow", "GET, HEAD, OPTIONS")]
_NOT_PLAIN = CONDITIONAL | {"range"}
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN))


def make(settings: Mapping[str, Any], parts: Any) -> StaticHandler:
    """A handler for one route.

    :raises ConfigError: options that contradict each other.
    """
    return StaticHandler(settings, parts.route, parts.server.static_cache)


@implementer(IHandler)
class StaticHandler:
    """Serves one static route."""

    streams = False

    def __init__(self, settings: Mapping[str, Any], route: Any, cache_bytes: int) -> None:
        """:param route: the ``config.model.Route``."""
        self._cache_control = cache_control(settings, route.place)
        self._dotfiles: bool = settings["dotfiles"]
        self._listing: bool = settings["listing"]
        self._fallback = os.fsencode(settings["fallback"])
        self._types = {**TYPES, **settings["types"]}
        self._default_type: str = settings["default_type"]
        self._root = Root(settings["static"], settings["symlinks"])
        pattern = route.pattern if route.kind == "prefix" else None
        self._lookup = Lookup(self._root, settings["index"], settings["suffixes"], self._dotfiles, pattern)
        self._cache = Cache(cache_bytes)
        self._ready = self._cache.entries.get

    def handle(self, exchange: Any) -> None:
        """See ``IHandler``. Anything but a plain GET of a file that is ready goes on to ``_answer``."""
        head = exchange.head
        entry = self._ready(head.path)
        if (
            entry is not None
            and exchange.started < entry.fresh_until
            and head.method == "GET"
            and _NOT_PLAIN.isdisjoint(head.fields)
        ):
            exchange.respond(entry.head, entry.body)
        else:
            self._answer(exchange)

    def _answer(self, exchange: Any) -> None:
        head = exchange.head
        if head.method not in ("GET", "HEAD"):
            if head.method == "OPTIONS":
                exchange.respond(ResponseHead(204, [*_ALLOW], 0), b"")
            else:
                exchange.refuse(405, "method-not-allowed", f"{head.method} on a static route", _ALLOW)
            return
        try:
            entry = self._find(exchange)
        except OSError as error:
            self._refuse(exchange, error)
            return
        if entry is None:
            return
        status = evaluate(head.method, head.fields, entry.etag, entry.modified)
        if status == 304:
            exchange.respond(entry.not_modified, b"")
        elif status == 412:
            exchange.refuse(412, "precondition-failed", "the file is not the version the client wants")
        elif head.method == "HEAD":
            exchange.respond(entry.head, b"")
        else:
            _send(exchange, entry)

    def _find(self, exchange: Any) -> Entry | None:
        """The entry for the path; None if there was something else to answer.

        :raises OSError: see ``Lookup.find``.
        """
        path: str = exchange.head.path
        now: float = exchange.started
        entry = self._ready(path)
        if entry is not None and now < entry.fresh_until:
            return entry
        self._root.check(now)
        try:
            found = self._lookup.find(path, exchange.route.mount)
            if not found.is_directory:
                return self._load(path, found, now)
            if not path.endswith("/"):
                _add_slash(exchange)
                return None
            if self._listing:
                _list(exchange, found, self._dotfiles)
                return None
            raise OSError(errno.ENOENT, "a directory without index file")
        except OSError as error:
            self._cache.drop(path)
            if not self._fallback or error.errno not in MISSING:
                raise
        entry = self._ready(_FALLBACK)
        if entry is not None and now < entry.fresh_until:
            return entry
        return self._load(_FALLBACK, self._lookup.open_file(self._fallback), now)

    def _load(self, key: str, found: Found, now: float) -> Entry:
        entry = self._cache.renew(key, found, now)
        if entry is None:
            media_type = guess(os.fsdecode(found.name), self._types, self._default_type)
            entry = Entry(found, media_type, self._cache_control, now)
            self._cache.keep(key, entry)
        return entry

    def _refuse(self, exchange: Any, error: OSError) -> None:
        """Answer with an error page; the reason why stands in the log only."""
        detail = error.strerror or str(error)
        if error.errno in MISSING:
            exchange.refuse(404, "not-found", detail)
        elif isinstance(error, PermissionError):
            exchange.refuse(403, "forbidden", detail)
        elif error.errno in _EXHAUSTED:
            exchange.refuse(503, "file-error", detail, [("Retry-After", "1")])
        else:
            exchange.refuse(500, "file-error", detail)


def _send(exchange: Any, entry: Entry) -> None:
    """A GET that goes on: the whole, or the ranges asked for."""
    fields = exchange.head.fields
    chosen = ranges.select(fields, entry.length, entry.etag, entry.modified) if "range" in fields else None
    if chosen is None:
        exchange.respond(entry.head, entry.body)
    elif not chosen:
        where = f"bytes */{entry.length}"
        exchange.refuse(416, "range-not-satisfiable", fields["range"], [("Content-Range", where)])
    elif len(chosen) == 1:
        [(offset, count)] = chosen
        where = ranges.content_range(offset, count, entry.length)
        head = ResponseHead(206, [*entry.head.fields, ("Content-Range", where)], count)
        exchange.respond(head, entry.piece(offset, count))
    else:
        _send_parts(exchange, entry, chosen)


def _send_parts(exchange: Any, entry: Entry, chosen: ranges.Ranges) -> None:
    """Several ranges as multipart/byteranges (RFC 9110 section 14.6)."""
    boundary = os.urandom(16).hex()
    pieces: list[Piece] = []
    length = 0
    for offset, count in chosen:
        where = ranges.content_range(offset, count, entry.length)
        start = ranges.part_head(boundary, entry.media_type, where)
        pieces += (start, entry.piece(offset, count))
        length += len(start) + count
    end = ranges.closing(boundary)
    pieces.append(end)
    fields = [field for field in entry.head.fields if field[0] != "Content-Type"]
    fields.insert(0, ("Content-Type", f"multipart/byteranges; boundary={boundary}"))
    exchange.respond(ResponseHead(206, fields, length + len(end)), pieces)


def _add_slash(exchange: Any) -> None:
    """Send the client from a directory's name to its URL."""
    head = exchange.head
    exchange.respond(*redirection(301, local(encode_path(head.path + "/") + encode_query(head.query))))


def _list(exchange: Any, found: Found, dotfiles: bool) -> None:
    """Answer with the list of a directory.

    :raises OSError: it cannot be read.
    """
    head = exchange.head
    try:
        body = listing(found.file.fd, head.path, dotfiles)
    except OSError as error:
        if error.errno != errno.EBADF:  # opened without the right to read it
            raise
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
    fields = [("Content-Type", "text/html; charset=utf-8")]
    exchange.respond(ResponseHead(200, fields, len(body)), body)
