"""The way past a transport, for what transports cannot do: ``sendfile``, on plain connections.

It has a descriptor of its own for the same socket: the transport's number may by the time of use be another client's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from tinfront.http.message import FileSlice

SEND_FILE_MAX = 1024 * 1024
"""Bytes of a file that are sent before other connections get their turn."""


class Bypass:
    """Use it only while nothing is left in the transport's buffer, or the order of bytes is lost."""

    __slots__ = ("_descriptors", "_fd", "_send", "_socket")

    def __init__(self, fileno: int, descriptors: Any) -> None:
        """:param fileno: of the transport's socket; :param descriptors: ``IDescriptors``."""
        self._socket = socket.socket(fileno=os.dup(fileno))
        self._send = self._socket.send
        self._fd = self._socket.fileno()
        self._descriptors = descriptors

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
        try:
            return os.sendfile(self._fd, piece.file.fd, piece.offset, min(piece.length, SEND_FILE_MAX))
        except BlockingIOError:
            self._descriptors.add_writer(self._fd, self._writable, again)
            return -1

    def _writable(self, again: Callable[[], None]) -> None:
        self._descriptors.remove_writer(self._fd)
        again()

    def close(self) -> None:
        """To be called before the transport closes, or the kernel would keep the connection open for our descriptor."""
        self._descriptors.remove_writer(self._fd)
        self._fd = -1  # its number may soon be another's
        self._socket.close()
