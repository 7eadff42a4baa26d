"""An answer that comes from a worker in pieces, as the producer of a response body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from tinfront.interfaces import IBodyProducer
from tinfront.workers.frames import CUT, decode_failure

if TYPE_CHECKING:
    from tinfront.workers.jobs import Job
    from tinfront.workers.replies import ReplyStream


@implementer(IBodyProducer)
class Streamed:
    """Stands between a reply stream and an outbox for the length of one answer.

    :ivar outbox: None until the exchange has taken the head.
    :ivar unbuffered: see ``IBodyProducer``.
    """

    __slots__ = ("_left", "_stream", "job", "outbox", "unbuffered")

    def __init__(self, stream: ReplyStream, job: Job, length: int | None, unbuffered: bool = False) -> None:
        """``length``: as announced, or None."""
        self.unbuffered = unbuffered
        self._stream = stream
        self._left = length
        self.job = job
        self.outbox: Any = None

    # --- for the outbox

    def start(self, outbox: Any) -> None:
        """Begin to write."""
        self.outbox = outbox
        self._stream.release()

    def pause(self) -> None:
        """Read no more of this worker thread; once all has come there is nothing to pause."""
        if self._stream.current is self:
            self._stream.unwatch()

    def resume(self) -> None:
        """Read on."""
        if self._stream.current is self:
            self._stream.watch()

    def stop(self) -> None:
        """The client has left: let the worker know, and let what it still sends go by."""
        self._stream.abandon(self)

    # --- for the reply stream

    def take(self, data: bytes) -> bool:
        """A piece; False if it is more than was announced."""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                return False
        self.outbox.write(data)
        return True

    def end(self, kind: int, body: bytes) -> None:
        """It is complete, or the app has failed."""
        if kind == CUT:
            self.outbox.fail(*decode_failure(body))
        elif self._left:
            self.outbox.fail("bad-length", f"{self._left} bytes of the announced body are missing")
        else:
            self.outbox.finish()

    def fail(self, status: int, reason: str, detail: str) -> None:
        """It will never be complete."""
        self._stream.abandon(self)
        if self.outbox is not None:
            self.outbox.fail(reason, detail)
        elif not self.job.exchange.finished:
            self.job.exchange.refuse(status, reason, detail)
