"""Answers on their way from a thread of ``threads.py`` to the front, which shares its process but not its thread."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from zope.interface import implementer

from tinfront.errors import ClientGone
from tinfront.http.message import Body, FileSlice, OpenFile, ResponseHead, field_block
from tinfront.http.status import REASONS
from tinfront.interfaces import IBodyProducer, IReply
from tinfront.workers.descriptors import reopen
from tinfront.workers.headers import Fields
from tinfront.workers.inlet import Inlet
from tinfront.workers.live import LIVE

HIGH_MARK = 256 * 1024
"""Bytes of one answer that may wait for the front; then the thread that writes it waits."""

LOW_MARK = 64 * 1024

Post = Callable[[Callable[..., None], tuple[Any, ...]], None]
"""Has the front call something soon. Safe for threads."""


class Task:
    """One exchange on its way through a thread.

    :ivar data: the body, or None; ``fd`` has it if it is not in memory; ``length`` is -1 if there is none.
    :ivar claimed: monotonic seconds at which a thread began; 0.0 before. ``queued`` likewise.
    :ivar thread: the thread that runs it.
    :ivar gone: nobody wants the answer any more.
    :ivar shut: the client has most likely left.
    :ivar answered: the front has its head.
    :ivar over: its thread is done with it.
    :ivar producer: of an answer that comes in pieces.
    :ivar unbuffered: its pieces are to leave as the app gives them.
    :ivar inlet: of a body that is still on its way, else None.
    """

    __slots__ = (
        "_ticket",
        "answered",
        "claimed",
        "data",
        "exchange",
        "fd",
        "gone",
        "inlet",
        "length",
        "over",
        "producer",
        "queued",
        "script_name",
        "shut",
        "thread",
        "unbuffered",
    )

    def __init__(self, exchange: Any, script_name: str, queued: float, unbuffered: bool = False) -> None:
        self.exchange = exchange
        self.script_name = script_name
        self.queued = queued
        self.claimed = 0.0
        self.gone = False
        self.shut = False
        self.answered = False
        self.over = False
        self.length = -1
        self.data: bytes | None = None
        self.fd = -1
        self.producer: ThreadProducer | None = None
        self.unbuffered = unbuffered
        self.inlet: Inlet | None = None
        self.thread: threading.Thread | None = None
        self._ticket = [True]

    def claim(self) -> bool:
        """Take it: to run it, or to take it back. Only one can, as ``list.pop`` is atomic."""
        try:
            return self._ticket.pop()
        except IndexError:
            return False

    def client_connected(self) -> bool:
        """Whether anybody still waits for the answer: ``tinfront.client_connected`` in environ."""
        return not (self.gone or self.shut)

    def take_body(self, watcher: Any, on_lost: Callable[[Task], object]) -> None:
        """Take the body from the exchange, which may close it while a thread still reads.

        :param watcher: an ``IDescriptors``; ``on_lost`` is called if a body that is still on its way breaks off.
        :raises OSError: there are no descriptors left.
        """
        body = self.exchange.body
        if body.live:
            inlet = Inlet(body, watcher, partial(on_lost, self))
            self.length, self.fd = LIVE, inlet.open().detach()
            self.inlet = inlet
        else:
            self.length, self.data = body.length, body.data()
            if self.data is None:
                self.fd = reopen(body.fileno())

    def take_back(self) -> bool:
        """It has waited for too long: True if no thread has begun with it, and none will. Else nothing has changed.

        A thread may have begun just now, before it could say so in ``claimed``; then its answer is still wanted.
        """
        if not self.claim():
            return False
        self.gone = True
        if self.inlet is not None:
            self.inlet.close()
        if self.fd >= 0:
            os.close(self.fd)
        return True

    def forget(self) -> bool:
        """Nobody wants its answer: what it writes goes nowhere. True if it has not begun, and never will."""
        self.gone = True
        if self.inlet is not None:
            self.inlet.close()
        if self.claim():
            if self.fd >= 0:
                os.close(self.fd)
            return True
        if self.producer is not None:
            self.producer.stop()
        return False


@implementer(IBodyProducer)
class ThreadProducer:
    """A body that a thread writes and the front takes, with back-pressure between them.

    :ivar unbuffered: see ``IBodyProducer``.
    """

    def __init__(self, task: Task, post: Post, unbuffered: bool = False) -> None:
        self.unbuffered = unbuffered
        self._task = task
        self._post = post
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._lock = threading.Lock()
        self._room = threading.Event()
        self._posted = False
        self._paused = False
        self._end: tuple[str, str] | None = None
        self._outbox: Any = None

    # --- the thread's side -------------------------------------------------------------------------------------------

    def put(self, data: bytes) -> None:
        """Hand a piece over; waits while too much is on its way.

        :raises ClientGone: nobody wants the rest.
        """
        with self._lock:
            self._pieces.append(data)
            self._held += len(data)
            full = self._held > HIGH_MARK
            if full:
                self._room.clear()
        self._call()
        if full and not self._task.gone:
            self._room.wait()
        if self._task.gone:
            raise ClientGone

    def end(self, reason: str, detail: str) -> None:
        """No piece follows. ``reason`` is empty if the body is complete."""
        self._end = (reason, detail)
        self._call()

    def _call(self) -> None:
        if not self._posted:
            self._posted = True
            self._post(self._deliver, ())

    # --- the front's side --------------------------------------------------------------------------------------------

    def start(self, outbox: Any) -> None:
        """Begin to write."""
        self._outbox = outbox
        self._deliver()

    def pause(self) -> None:
        """Write no more until ``resume``."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._call()

    def stop(self) -> None:
        """The client has left."""
        self._task.gone = True
        self._outbox = None
        self._pieces.clear()
        self._room.set()

    def give_up(self) -> Any:
        """Stop; returns the outbox, if there is one, to be failed."""
        outbox = self._outbox
        self.stop()
        return outbox

    def _deliver(self) -> None:
        self._posted = False
        while self._pieces and self._outbox is not None and not self._paused:
            data = self._pieces.popleft()
            with self._lock:
                self._held -= len(data)
                if self._held <= LOW_MARK:
                    self._room.set()
            self._outbox.write(data)
        if self._end is not None and not self._pieces and self._outbox is not None:
            outbox, self._outbox = self._outbox, None
            reason, detail = self._end
            if reason:
                outbox.fail(reason, detail)
            else:
                outbox.finish()


@implementer(IReply)
class ThreadReply:
    """The way out for one task's answer. Nothing here touches the exchange: that is the front's, in its own thread."""

    __slots__ = ("_done", "_post", "_task", "unbuffered")

    def __init__(self, task: Task, post: Post, done: Callable[[Task, Any, Any], None]) -> None:
        """``done`` is called in the front with the task, its head and its body."""
        self.unbuffered = task.unbuffered
        self._task = task
        self._post = post
        self._done = done

    def send(self, status: str, fields: Fields, body: bytes, length: int | None) -> None:
        """The whole answer."""
        self._answer(fields, length, body)

    def start(self, status: str, fields: Fields, data: bytes, length: int | None) -> None:
        """The head and some body; more follows."""
        if self._task.gone:
            raise ClientGone
        unbuffered = self.unbuffered or fields.flush
        producer = self._task.producer = ThreadProducer(self._task, self._post, unbuffered)
        self._answer(fields, length, producer)
        producer.put(data)

    def write(self, data: bytes) -> None:
        """More body. Waits while the client is slow and enough is buffered."""
        producer = self._task.producer
        assert producer is not None
        producer.put(data)

    def send_file(self, status: str, fields: Fields, fd: int, offset: int, length: int) -> None:
        """The whole answer, its body being a run of a file."""
        # The app closes its own descriptor as soon as this returns.
        self._answer(fields, length, FileSlice(OpenFile(os.dup(fd)), offset, length))

    def finish(self, data: bytes) -> None:
        """The last of a started body."""
        producer = self._task.producer
        assert producer is not None
        if data:
            producer.put(data)
        producer.end("", "")

    def fail(self, reason: str, detail: str) -> None:
        """The app failed."""
        producer = self._task.producer
        if producer is not None:
            producer.end(reason, detail)
        else:
            self._post(self._done, (self._task, None, (500, reason, detail)))

    def _answer(self, fields: Fields, length: int | None, body: Body) -> None:
        code, reason, block = fields.known or _know(fields)
        head = ResponseHead(code, fields, length, reason)
        head.block = block if length is None or code == 204 else b"%bContent-Length: %d\r\n" % (block, length)
        self._post(self._done, (self._task, head, body))


def _know(fields: Fields) -> tuple[int, str | None, bytes]:
    """Make of the fields what can be kept with them: most answers of an app begin with one of a few heads."""
    code, reason = int(fields.status[:3]), fields.status[4:] or None
    if reason == REASONS.get(code):
        reason = None  # the codec has that line ready
    fields.known = code, reason, field_block(ResponseHead(code, fields))
    return fields.known
