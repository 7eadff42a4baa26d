"""The head of a request and of a response, and the forms a body may take (RFC 9110, sections 6 to 8).

These records are made once or twice per request, so they have slots, plain attributes and no behaviour to speak of.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tinfront.interfaces import IBodyProducer


class RequestHead:
    """What a codec understood of a request before its body. All text is latin-1, as it came off the wire.

    :ivar method: as sent, upper case for all registered methods.
    :ivar target: the request target as sent, for logs and ``REQUEST_URI``.
    :ivar authority: the host the request is for: the Host field, or the authority of an absolute-form target.
    :ivar path: the path, percent-decoded once, dot segments removed; begins with ``/``, or is ``*``.
    :ivar query: what follows the first ``?``, undecoded, without it.
    :ivar version: ``HTTP/1.0``, ``HTTP/1.1`` or ``HTTP/2``.
    :ivar fields: lower-case name to value; repeated fields are joined (RFC 9110 section 5.3), cookies by ``; ``.
    :ivar length: the body's length in bytes; 0 for none; None where only its end will tell (chunked).
    :ivar expects_continue: the client waits for ``100 Continue`` before it sends the body.
    """

    __slots__ = ("authority", "expects_continue", "fields", "length", "method", "path", "query", "target", "version")

    def __init__(  # noqa: PLR0913 - built by the codecs only, by position
        self,
        method: str,
        target: str,
        version: str,
        fields: dict[str, str],
        authority: str,
        path: str,
        query: str,
        length: int | None = 0,
        expects_continue: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.authority = authority
        self.path = path
        self.query = query
        self.length = length
        self.expects_continue = expects_continue


class ResponseHead:
    """What goes out before a response's body.

    ``fields`` never holds what belongs to the codec: Content-Length (it is ``length``), Transfer-Encoding,
    Connection, Keep-Alive, Date and Server. Names and values must be free of control characters: whoever takes
    them from outside has checked them.

    :ivar status: the status code.
    :ivar fields: (name, value) pairs in the order they are sent; a filter may edit the list.
    :ivar length: the body's length in bytes, also where no body is sent (HEAD, 304); None: unknown.
    :ivar reason: the reason phrase; None: the registered one.
    :ivar block: the fields and the length as HTTP/1.1 bytes; set by ``freeze`` on a head that many responses share.
    """

    __slots__ = ("block", "fields", "length", "reason", "status")

    def __init__(
        self, status: int, fields: list[tuple[str, str]], length: int | None = None, reason: str | None = None
    ) -> None:
        self.status = status
        self.fields = fields
        self.length = length
        self.reason = reason
        self.block: bytes | None = None

    def freeze(self) -> ResponseHead:
        """Promise that this head is never edited again, so that it is serialised once. Filters get a copy."""
        self.block = field_block(self)
        return self

    def copy(self) -> ResponseHead:
        """A head of one's own to edit."""
        return ResponseHead(self.status, self.fields.copy(), self.length, self.reason)

    def get(self, name: str) -> str | None:
        """The first value of the field called ``name`` (lower case), or None."""
        for key, value in self.fields:
            if key.lower() == name:
                return value
        return None

    def set(self, name: str, value: str) -> None:
        """Replace all fields called ``name`` (any case) by one."""
        self.remove(name)
        self.fields.append((name, value))

    def remove(self, name: str) -> None:
        """Drop all fields called ``name`` (any case)."""
        lower = name.lower()
        self.fields[:] = [field for field in self.fields if field[0].lower() != lower]


def field_block(head: ResponseHead) -> bytes:
    """The fields of ``head`` and its Content-Length as field lines (RFC 9112 section 5), without the empty line."""
    lines = [f"{name}: {value}\r\n" for name, value in head.fields]
    if head.length is not None and head.status != 204 and head.status >= 200:
        lines.append(f"Content-Length: {head.length}\r\n")
    return "".join(lines).encode("latin-1")


class OpenFile:
    """A descriptor that is closed when nobody holds this object any more, so that slices may share it."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class FileSlice:
    """A run of bytes of a regular file, as a body or part of one. Sent by ``sendfile`` where that can be."""

    __slots__ = ("file", "length", "offset")

    def __init__(self, file: OpenFile, offset: int, length: int) -> None:
        self.file = file
        self.offset = offset
        self.length = length


Piece: TypeAlias = "bytes | FileSlice"
Body: TypeAlias = "bytes | FileSlice | list[Piece] | IBodyProducer"
"""The forms of a response body: bytes, a file slice, a list of these (multipart ranges), or a producer."""

Answer: TypeAlias = "tuple[ResponseHead, Body]"
"""A whole response, as a request filter may return it."""
