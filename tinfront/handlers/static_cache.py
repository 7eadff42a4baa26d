"""Files held ready to be sent again: the head, and the bytes of small ones or the open descriptor of larger ones.

Called by the static handler. An entry is trusted for one second; then the file is opened again, and only if it is
another file, or has changed, is it read again.
"""

from __future__ import annotations

import os
import time
from typing import Final, TypeAlias

from tinfront.handlers.static_lookup import Found
from tinfront.http.dates import format_date
from tinfront.http.message import FileSlice, OpenFile, ResponseHead

SMALL: Final = 64 * 1024
"""Bytes up to which a file is held in memory."""

ENTRIES_MAX: Final = 1024
FILES_MAX: Final = 128
"""Descriptors one cache holds open at most."""

_TRUSTED: Final = 1.0  # seconds for which nobody looks whether a file has changed
_UNUSED: Final = 60.0  # seconds after which an entry that nobody asked for may go
_OVERHEAD: Final = 1024  # bytes that an entry costs beside its body, roughly
_SETTLED: Final = 2.0  # seconds after which a file can no longer change within the same tick of its clock
_NOT_IN_304: Final = frozenset(("Content-Type", "Last-Modified", "Accept-Ranges"))  # RFC 9110 section 15.4.5

Identity: TypeAlias = "tuple[bytes, int, int, int, int, int]"


class Entry:
    """One file, ready to be sent.

    :ivar head: of the 200; shared and frozen, as is ``not_modified``, that of a 304.
    :ivar body: all of it.
    :ivar etag: None where the file's date cannot tell versions apart.
    :ivar modified: seconds since the epoch; None as ``etag``, or if it lies in the future.
    :ivar fresh_until: monotonic seconds.
    :ivar identity: what must be the same for the file to be unchanged; None: it must be read again.
    """

    __slots__ = ("body", "etag", "fresh_until", "head", "identity", "length", "media_type", "modified", "not_modified")

    def __init__(self, found: Found, media_type: str, cache_control: str | None, now: float) -> None:
        """Read a regular file. ``now`` is monotonic.

        :raises OSError: it cannot be read.
        """
        self.fresh_until = now + _TRUSTED
        self.media_type = media_type
        self.body = _read(found)
        self.length = length = found.stat.st_size
        clock = time.time()
        self.identity = identity(found) if clock - found.stat.st_ctime > _SETTLED else None
        second = found.stat.st_mtime_ns // 1_000_000_000
        self.etag: str | None = None
        self.modified: float | None = None
        fields = [("Content-Type", media_type)]
        if second > 1:  # 0 and 1 are what reproducible builds set on every version of a file
            self.etag = f'"{found.stat.st_mtime_ns:x}-{length:x}"'
            if second <= clock:  # RFC 9110 section 8.8.2.1
                self.modified = float(second)
                fields.append(("Last-Modified", format_date(second)))
            fields.append(("ETag", self.etag))
        fields.append(("Accept-Ranges", "bytes"))
        if cache_control is not None:
            fields.append(("Cache-Control", cache_control))
        self.head = ResponseHead(200, fields, length).freeze()
        kept = [field for field in fields if field[0] not in _NOT_IN_304]
        self.not_modified = ResponseHead(304, kept, length).freeze()

    def piece(self, offset: int, count: int) -> bytes | FileSlice:
        """A part of the body."""
        if isinstance(self.body, bytes):
            return self.body[offset : offset + count]
        return FileSlice(self.body.file, offset, count)

    @property
    def cost(self) -> int:
        """Bytes of memory, roughly."""
        return _OVERHEAD + (len(self.body) if isinstance(self.body, bytes) else 0)


def identity(found: Found) -> Identity:
    """What tells a file from another, and from what it was before. The ctime catches changes that reset the mtime."""
    stat = found.stat
    return found.name, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read(found: Found) -> bytes | FileSlice:
    """The body of a file, and in ``found.stat`` what was true of just these bytes."""
    file: OpenFile = found.file
    for _ in range(3):
        size = found.stat.st_size
        if size > SMALL:
            break
        data = os.pread(file.fd, size + 1, 0)
        after = os.fstat(file.fd)
        if len(data) == size and after.st_mtime_ns == found.stat.st_mtime_ns:
            return data
        found.stat = after  # it was written to while we read
    return FileSlice(file, 0, found.stat.st_size)


class Cache:
    """Entries by URL path, bounded in number, bytes and descriptors; beyond that the longest unchecked go.

    :ivar entries: for looking up; only the methods change it.
    """

    __slots__ = ("_files", "_limit", "_used", "entries")

    def __init__(self, limit: int) -> None:
        """:param limit: bytes; 0 to keep nothing."""
        self.entries: dict[str, Entry] = {}
        self._limit = limit
        self._used = 0
        self._files = 0

    def keep(self, key: str, entry: Entry) -> None:
        """Put an entry in, or back at the end of the line."""
        self.drop(key)
        if entry.cost > self._limit:
            return
        self.entries[key] = entry
        self._used += entry.cost
        self._files += not isinstance(entry.body, bytes)
        self._shrink(entry.fresh_until)

    def drop(self, key: str) -> None:
        """Forget an entry; harmless if there is none."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self._used -= entry.cost
            self._files -= not isinstance(entry.body, bytes)

    def renew(self, key: str, found: Found, now: float) -> Entry | None:
        """The entry under ``key``, trusted again, if it still is what was just found; else None."""
        entry = self.entries.get(key)
        if entry is None or entry.identity is None or entry.identity != identity(found):
            return None
        entry.fresh_until = now + _TRUSTED
        self.keep(key, entry)
        return entry

    def _shrink(self, now: float) -> None:
        """Drop from the front of the line what is too much, and a little of what nobody has asked for lately."""
        while self.entries:
            oldest = next(iter(self.entries))
            within = len(self.entries) <= ENTRIES_MAX and self._used <= self._limit and self._files <= FILES_MAX
            if within and self.entries[oldest].fresh_until > now - _UNUSED:
                return
            self.drop(oldest)
