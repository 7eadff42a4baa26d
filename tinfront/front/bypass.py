"""The way of a file past the transport: by ``sendfile``, or over TLS by memory that stays warm in the caches.

Both take as much of the file as the kernel has room for, so that nothing of it waits with us.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from tinfront.front.records import RECORD, Records
from tinfront.http.message import FileSlice

SEND_FILE_MAX = 1024 * 1024
"""Bytes of a file that are sent before other connections get their turn."""


class Bypass:
    """By ``sendfile``. Use it only while nothing is left in the transport's buffer, or the order of bytes is lost.

    It has a descriptor of its own for the same socket: the transport's number may by the time of use be another's.
    While the client is slow it stays among the loop's writers from turn to turn: to leave and to come back are three
    system calls each, and a crowd of slow readers has hundreds of turns a second.
    """

    __slots__ = ("_again", "_descriptors", "_fd", "_send", "_socket", "_watched")

    def __init__(self, fileno: int, descriptors: Any) -> None:
        """:param fileno: of the transport's socket; :param descriptors: ``IDescriptors``."""
        self._socket = socket.socket(fileno=os.dup(fileno))
        self._send = self._socket.send
        self._fd = self._socket.fileno()
        self._descriptors = descriptors
        self._again: Callable[[], None] | None = None
        self._watched = False

    def write_ahead(self, data: bytes) -> bytes:
        """Send what is to travel in one packet with the file behind it. Returns what the kernel did not take."""
        try:
            return data[self._send(data, socket.MSG_MORE) :]
        except OSError:
            return data  # the transport will find out what is wrong, if anything is

    def send_at_once(self, head: bytes, piece: FileSlice) -> tuple[bytes, int]:
        """Head and file together. Returns what the kernel did not take of the head, and what it took of the file."""
        taken = 0
        try:
            taken = self._send(head, socket.MSG_MORE)
            if taken < len(head):
                return head[taken:], 0
            return b"", os.sendfile(self._fd, piece.file.fd, piece.offset, min(piece.length, SEND_FILE_MAX))
        except OSError:
            return head[taken:], 0  # who sends the rest finds out why

    def send_file(self, piece: FileSlice, again: Callable[[], None]) -> int:
        """Send some of a file.

        :returns: how many bytes; 0 at the end of the file; -1: the client must read first, then ``again`` is called.
        :raises OSError: the connection is broken, or the file cannot be read.
        """
        if self._again is not None:
            return -1
        wanted = min(piece.length, SEND_FILE_MAX)
        try:
            sent = os.sendfile(self._fd, piece.file.fd, piece.offset, wanted)
        except BlockingIOError:
            sent = -1
        if sent < wanted and sent:
            self._again = again  # the kernel is full: no need to hear it say so
            if not self._watched:
                self._watched = True
                self._descriptors.add_writer(self._fd, self._writable)
        return sent

    def _writable(self) -> None:
        again, self._again = self._again, None
        if again is not None:
            again()
        if self._again is None:
            self._unwatch()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._descriptors.remove_writer(self._fd)

    def close(self) -> None:
        """To be called before the transport closes, or the kernel would keep the connection open for our descriptor."""
        self._again = None
        self._unwatch()
        self._fd = -1  # its number may soon be another's
        self._socket.close()


def _never() -> None:
    """The transport resumes writing instead."""


_warm = memoryview(bytearray(64 * 1024))


class TlsBypass:
    """The same over TLS: records are made of memory that all connections share.

    What the kernel has no room for waits in the transport, one record at most. So ``again`` is never called: the
    transport resumes writing.
    """

    __slots__ = ("_records",)

    def __init__(self, records: Records) -> None:
        self._records = records

    def write_ahead(self, data: bytes) -> bytes:
        """See ``Bypass``."""
        self._records.write(data)
        return b""

    def send_at_once(self, head: bytes, piece: FileSlice) -> tuple[bytes, int]:
        """See ``Bypass``."""
        records = self._records
        room = len(_warm) - len(head)
        if room <= 0:
            return head, 0
        try:
            taken = os.preadv(piece.file.fd, [_warm[len(head) : len(head) + min(room, piece.length)]], piece.offset)
        except OSError:
            return head, 0
        _warm[: len(head)] = head
        if len(head) + taken > RECORD:
            records.cork()
        taken = records.take(_warm[: len(head) + taken]) - len(head)
        if taken < 0:
            return head[taken:], 0
        if taken < piece.length:
            rest = FileSlice(piece.file, piece.offset + taken, piece.length - taken)
            try:
                taken += max(0, self.send_file(rest, _never))
            except OSError:
                pass  # who sends the rest finds out why
        records.uncork()
        return b"", taken

    def send_file(self, piece: FileSlice, again: Callable[[], None]) -> int:
        """See ``Bypass``."""
        records = self._records
        sent, wanted = 0, min(piece.length, SEND_FILE_MAX)
        if wanted > RECORD:
            records.cork()
        try:
            while sent < wanted and records.free:
                read = os.preadv(piece.file.fd, [_warm[: piece.length - sent]], piece.offset + sent)
                if not read:
                    return sent
                sent += records.take(_warm[:read])
        finally:
            records.uncork()
        return sent or -1

    def close(self) -> None:
        """See ``Bypass``. There is nothing to close."""
