"""``wsgi.input`` of a request whose body is still on its way (``request_buffering = off``): the app's end of a socket.

The front writes pieces, each behind its size, and a size of 0 after the last one; so the end of the body and the end of
a body that broke off cannot be taken for each other. It begins when it is asked to, by the first read: until then no
byte of the body has left the front, and another worker may still be given the request. The front's end is
``inlet.Inlet``.
"""

from __future__ import annotations

import io
import os
import socket
import struct
from typing import Any, BinaryIO, cast

from tinfront.errors import BodyLost

LIVE = -2
"""In the place of a body's length: it is not known yet, and comes over the socket that is passed."""

SIZE = struct.Struct("=I")
"""What stands before a piece."""

ASK = b"\x05"
"""What the first read sends."""

BUFFER = 64 * 1024


class LiveBody(io.RawIOBase):
    """The raw stream below ``wsgi.input``; gives what there is, and waits if there is nothing."""

    def __init__(self, fd: int) -> None:
        """``fd`` belongs to it from now on."""
        super().__init__()
        self._socket = socket.socket(fileno=fd)
        self._left = 0
        self._asked = False
        self._ended = False

    def readable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """There is none that would give the body's bytes.

        :raises OSError: always.
        """
        raise io.UnsupportedOperation("a body that is still on its way has no descriptor")

    def readinto(self, buffer: Any) -> int:
        """Some bytes of the body; 0 after the last one.

        :raises BodyLost: there will never be more, though this was not all.
        """
        if self._ended:
            return 0
        try:
            if not self._asked:
                self._asked = True
                self._socket.send(ASK, socket.MSG_NOSIGNAL)
            if not self._left:
                self._left = self._next_size()
                if not self._left:
                    self._ended = True
                    return 0
            count = self._socket.recv_into(memoryview(buffer)[: self._left])
        except OSError as error:
            raise BodyLost("the request's body has broken off") from error
        if not count:
            raise BodyLost("the request's body has broken off")
        self._left -= count
        return count

    def _next_size(self) -> int:
        head = b""
        while len(head) < SIZE.size:
            more = self._socket.recv(SIZE.size - len(head))
            if not more:
                raise OSError("the other end is closed")
            head += more
        return int(SIZE.unpack(head)[0])

    def close(self) -> None:
        """Let the front know that nobody reads on."""
        if not self.closed:
            self._socket.close()
        super().close()


def live_input(fd: int) -> BinaryIO:
    """A ``wsgi.input`` on the app's end ``fd`` of an inlet.

    ``read(n)`` waits for n bytes, as of a file; ``read1(n)`` gives what has come.
    """
    os.set_blocking(fd, True)
    return cast(BinaryIO, io.BufferedReader(LiveBody(fd), BUFFER))
