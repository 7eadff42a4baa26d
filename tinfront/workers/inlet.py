"""The front's end of a request body that an app reads while it comes (``request_buffering = off``).

Between here and the app is a socket, whose buffer is all that is held: when it is full the client has to wait. What
travels on it is told in ``live.py``. Used by both kinds of pools, so that there is one behaviour.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from zope.interface import implementer

from tinfront.interfaces import IBodyReceiver
from tinfront.workers.live import SIZE


@implementer(IBodyReceiver)
class Inlet:
    """Gives one exchange's body to whoever runs the app.

    :ivar started: the app has begun to read, so no other worker can be given the body any more.
    """

    __slots__ = ("_flow", "_held", "_last", "_moved", "_on_lost", "_ours", "_over", "_watcher", "_writing", "started")

    def __init__(self, flow: Any, watcher: Any, on_lost: Callable[[], object]) -> None:
        """:param flow: the ``IBodyFlow``; :param watcher: an ``IDescriptors``.

        :param on_lost: called once if the body ends before the app has all of it, or the exchange does.
        """
        self._flow = flow
        self._watcher = watcher
        self._on_lost = on_lost
        self._ours: socket.socket | None = None
        self._held = memoryview(b"")
        self._last = False  # what is held ends with the mark of the end
        self._writing = False
        self._over = False
        self._moved = 0.0
        self.started = False

    def open(self) -> socket.socket:
        """The app's end, for this attempt; it is to be passed on, and closed here. Not once it has ``started``.

        :raises OSError: there are no descriptors left.
        """
        self.shut()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._ours = ours
        self._watcher.add_reader(ours.fileno(), self._readable)
        return theirs

    def idle_since(self, claimed: float, now: float) -> float:
        """Since when the app can be blamed for its silence, in monotonic seconds.

        Never while it waits for the client; for that there are the rules of the listener.
        """
        if not self.started:
            return claimed
        if self._ours is not None and not self._held and not self._last:
            return now
        return max(claimed, self._moved)

    def close(self) -> None:
        """The job is over, or nobody wants it: what the app still reads breaks off."""
        self._over = True
        self.shut()

    # --- from the app

    def _readable(self) -> None:
        assert self._ours is not None
        try:
            asked = self._ours.recv(16)
        except BlockingIOError:
            return
        except OSError:
            asked = b""
        if not asked:
            self._hang_up()
        elif not self.started:
            self.started = True
            self._moved = monotonic()
            self._flow.read(self)

    def _hang_up(self) -> None:
        """Nobody reads any more. What the client still sends goes by: it may not look for an answer before its end."""
        self.shut()
        if self.started:
            self._flow.resume()

    # --- from the client

    def feed(self, data: bytes) -> None:
        """See ``IBodyReceiver``. Never called while something is held."""
        if self._ours is not None:
            self._send(SIZE.pack(len(data)), data)

    def finish(self) -> None:
        """See ``IBodyReceiver``."""
        if self._ours is not None:
            self._last = True
            self._send(SIZE.pack(0), b"")

    def lost(self) -> None:
        """See ``IBodyReceiver``. The app's end sees the socket end without the mark."""
        if not self._over:
            self.close()
            self._on_lost()

    def _send(self, head: bytes, data: bytes) -> None:
        assert self._ours is not None
        self._moved = monotonic()
        try:
            sent = self._ours.sendmsg((head, data), (), socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hang_up()
            return
        if sent < len(head) + len(data):
            self._held = memoryview(head + data)[sent:]
            self._writing = True
            self._watcher.add_writer(self._ours.fileno(), self._writable)
            self._flow.pause()
        elif self._last:
            self.shut()

    def _writable(self) -> None:
        assert self._ours is not None
        try:
            sent = self._ours.send(self._held, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        except OSError:
            self._hang_up()
            return
        self._moved = monotonic()
        self._held = self._held[sent:]
        if self._held:
            return
        self._writing = False
        self._watcher.remove_writer(self._ours.fileno())
        if self._last:
            self.shut()
        else:
            self._flow.resume()

    def shut(self) -> None:
        """Give the descriptor up. Before the app has ``started``, it may be opened once more."""
        ours, self._ours = self._ours, None
        self._held = memoryview(b"")
        if ours is None:
            return
        self._watcher.remove_reader(ours.fileno())
        if self._writing:
            self._writing = False
            self._watcher.remove_writer(ours.fileno())
        ours.close()
