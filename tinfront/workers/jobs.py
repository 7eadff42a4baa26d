"""The queue of one app: exchanges that wait in the front, and jobs that are in the socket or with a worker.

The socket is shared by all workers, which pull from it: the kernel gives the next job to whoever is free. It holds
few jobs, just enough to hide the way to and fro; the rest wait here, where they can be counted, aged and dropped.
Nothing is sent twice on suspicion: see ``board.py`` for the way a job is taken back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from tinfront.workers.board import DOUBT, Board, create_board
from tinfront.workers.descriptors import send_with_body
from tinfront.workers.frames import BODY_INLINE, JobTooLarge, encode_job
from tinfront.workers.inlet import Inlet
from tinfront.workers.live import LIVE
from tinfront.workers.order import NEVER, Line, Pace, Shed

if TYPE_CHECKING:
    from tinfront.workers.streamed import Streamed

LOOK_AHEAD, LOOK_AHEAD_MAX = 0, 15
"""Jobs that may be in the socket, per slot, besides the one that runs there: if jobs take long, and if they do not.

What is in the socket is out of the reach of ``order``; where jobs take long, the way to a free worker does not count.
"""

SOCKET_BUFFER = 1024 * 1024
UNCLAIMED = 0.1
"""Seconds after which a job that is in no socket and on no board is in doubt."""

_LATER = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS, errno.EMFILE, errno.ENFILE))

Verdict = tuple[int, str, str]
"""Status, reason and detail of a refusal."""


class Job:
    """An exchange on its way through the queue. Made without a constructor: it costs a call per request.

    :ivar id: of the last time it was sent.
    :ivar queued: monotonic seconds; ``sent`` likewise, ``revoked`` likewise or 0.0.
    :ivar deaths: workers that died of it, or at least with it.
    :ivar verdict: how it is to be refused when it is settled that no worker has it; None: it is sent again.
    :ivar answering: the answer that has begun, if it comes in pieces.
    :ivar unbuffered: the answer's pieces are to leave as the app gives them.
    :ivar inlet: of a body that is still on its way, from the first attempt on; else None.
    """

    __slots__ = (
        "answering",
        "deaths",
        "exchange",
        "id",
        "inlet",
        "queued",
        "revoked",
        "script_name",
        "sent",
        "unbuffered",
        "verdict",
    )

    exchange: Any
    script_name: str
    id: int
    queued: float
    sent: float
    revoked: float
    deaths: int
    verdict: Verdict | None
    answering: Streamed | None
    unbuffered: bool
    inlet: Inlet | None


class JobQueue:
    """Sends jobs while the look-ahead has room, and takes them back.

    :ivar waiting: newcomers of this turn; the next ``pump`` sends them, or lets them stand in line.
    :ivar line: those that wait because all workers are busy and the look-ahead is full.
    :ivar shed: counts of those that were dropped here.
    :ivar pending: job id to job: sent, and not answered to the end.
    :ivar limit: jobs that may be sent and not answered.
    :ivar pump_due: somebody has asked for a ``pump`` at the end of this turn.
    :ivar board_slots: how many worker threads the board has room for; to be changed before ``open``.
    :ivar receiver: the workers' end; kept open here, so that the jobs in it outlive a nursery.
    :ivar before_settling: called when the claims have been read and before they are judged; takes in every reply
        that has come.
    :ivar on_unanswered: called with a job and a seat: the worker there has run the job, and its answer has not come.
    """

    def __init__(self, slots: int, look_ahead: int, clock: Any, watcher: Any = None, line: Line | None = None) -> None:
        """:param watcher: an ``IDescriptors``, for bodies that are still on their way."""
        self.waiting: deque[Job] = deque()
        self.line = Line() if line is None else line
        self.shed = Shed()
        self.pending: dict[int, Job] = {}
        self.limit = slots * (1 + look_ahead)
        self.pump_due = False
        self.before_settling: Callable[[], None] = _nothing
        self.on_unanswered: Callable[[Job, int], None] = _nothing
        self.board_slots = 2 * slots
        self._slots = slots
        self._look_ahead = look_ahead
        self._clock = clock
        self._watcher = watcher
        self._last_id = 0
        self._pace = Pace()
        self._doubted: dict[int, Job] = {}  # by the id that is revoked: a job may have a new one by now
        self._timer: Any = None
        self._is_open = False

    def open(self) -> None:
        """Make board and socket.

        :raises OSError: there are no descriptors left.
        """
        self.board_fd = create_board(self.board_slots)
        self.board = Board(self.board_fd)
        self._sender, self.receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sender.setblocking(False)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        self._send = self._sender.send
        self._is_open = True

    def resize(self, slots: int) -> None:
        """There are so many slots from now on."""
        self._slots = slots
        self.limit = slots * (1 + self._look_ahead)

    @property
    def unsent(self) -> int:
        """How many wait here."""
        return len(self.waiting) + self.line.count

    def pump(self) -> None:
        """Send what may be sent now; whatever does not fit stays. Called whenever something has changed."""
        self.pump_due = False
        waiting, pending, line = self.waiting, self.pending, self.line
        if line.count:
            self.line_up()
        while len(pending) < self.limit:
            if waiting:
                job = waiting.popleft()
            elif line.count:
                job = line.next(pending.values(), monotonic())
            else:
                return
            self._last_id = job_id = self._last_id + 1
            body = job.exchange.body
            try:
                if body is None:
                    self._send(encode_job(job_id, job.exchange, job.script_name, -1, b"", job.unbuffered))
                elif job.exchange.finished:
                    continue  # and its body is closed
                else:
                    self._send_with_body(job_id, job, body)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in _LATER:
                    line.put_back(job)
                    break
                _refuse_unfit(job, error)
                continue
            job.id = job_id
            job.sent = monotonic()
            job.revoked = 0.0
            pending[job_id] = job
        if waiting:
            self.line_up()

    def adapt(self, now: float, elsewhere: int = 0) -> None:
        """Look as far ahead as workers get in a moment; so many jobs are ``elsewhere``, and take no room here."""
        each = self._pace.briefly(self._last_id, now) // self._slots
        self.limit = self._slots * (1 + min(LOOK_AHEAD_MAX, max(self._look_ahead, each))) + elsewhere

    def line_up(self) -> None:
        """There is no room for all newcomers: from now on it matters who comes next."""
        waiting, add = self.waiting, self.line.add
        while waiting:
            add(waiting.popleft())

    def _send_with_body(self, job_id: int, job: Job, body: Any) -> None:
        if body.live:
            self._send_with_inlet(job_id, job, body)
            return
        data = body.data() if body.length <= BODY_INLINE else None
        message = encode_job(job_id, job.exchange, job.script_name, body.length, data, job.unbuffered)
        if data is None:
            send_with_body(self._sender, message, body.fileno())
        else:
            self._send(message)

    def _send_with_inlet(self, job_id: int, job: Job, body: Any) -> None:
        message = encode_job(job_id, job.exchange, job.script_name, LIVE, None, job.unbuffered)
        if job.inlet is None:
            job.inlet = Inlet(body, self._watcher, partial(self.give_up, job))
        with job.inlet.open() as theirs:
            try:
                socket.send_fds(self._sender, [message], [theirs.fileno()])
            except OSError:
                job.inlet.shut()
                raise

    def cancel(self, exchange: Any) -> None:
        """Forget an exchange. If no worker has claimed its job, none will."""
        self.line_up()
        if self.line.remove(exchange) is not None:
            self.shed.gone += 1
            return
        for job in self.pending.values():
            if job.exchange is exchange:
                if job.id not in self.claims():
                    self.shed.gone += 1
                self.give_up(job)
                if job.answering is not None:
                    job.answering.stop()
                self.pump()
                return

    def shut(self, exchange: Any) -> bool:
        """Its client may have left; returns whether it has not begun and all workers have enough to do."""
        for job in self.pending.values():
            if job.exchange is exchange:
                self.board.shut(job.id)
                busy = [job_id for job_id in self.claims() if job_id in self.pending]  # one just answered is free
                return job.id not in busy and len(busy) >= self._slots
        if len(self.pending) >= self.limit:
            self.line_up()
        return self.line.holds(exchange)

    def empty(self) -> list[Job]:
        """Take out all that is not sent yet."""
        self.line_up()
        return self.line.expire(NEVER)

    def give_up(self, job: Job) -> None:
        """Nobody wants this sent job's answer any more."""
        self.pending.pop(job.id, None)
        self.board.abandon(job.id)
        if job.inlet is not None:
            job.inlet.close()

    def doubt(self, job: Job, verdict: Verdict | None = None) -> None:
        """Take a sent job back, if no worker has it; then refuse it with the verdict, or send it again."""
        job.verdict = verdict or job.verdict
        if job.id in self._doubted:
            return  # else it is judged anew: it had a claim then, and no answer came
        self.board.revoke(job.id)
        job.revoked = monotonic()
        self._doubted[job.id] = job
        if self._timer is None:
            self._timer = self._clock.callLater(DOUBT * 1.2, self._settle)

    def dropped(self, job_id: int) -> bool:
        """A worker says that it left this job alone because it was revoked; False if it was not."""
        job = self.pending.get(job_id)
        if job is None:
            return True
        if not job.revoked or job.answering is not None:
            return False
        self._return(job)
        return True

    def doubt_unclaimed(self, now: float) -> None:
        """Find the jobs that were taken out of the socket and claimed by nobody."""
        overdue = [job for job in self.pending.values() if now - job.sent > UNCLAIMED and job.answering is None]
        if not overdue:
            return
        claims = self.claims()
        empty = not self.backlog()
        newest = max(claims, default=0)
        for job in overdue:
            # The socket is a queue: when a later job has been taken out of it, an earlier one has, too.
            if job.id not in claims and (empty or job.id < newest):
                self.doubt(job)

    def claims(self) -> dict[int, tuple[int, float]]:
        """What runs: job id to slot and time of the claim."""
        return self.board.claims() if self._is_open else {}

    def backlog(self) -> int:
        """Bytes of jobs that no worker has taken out of the socket yet, as the kernel counts them."""
        answer = fcntl.ioctl(self._sender, termios.TIOCOUTQ, b"\0\0\0\0")
        return int(struct.unpack("=i", answer)[0])

    def _settle(self) -> None:
        """Judge the doubted jobs whose revocation every worker must have seen by now."""
        self._timer = None
        now = monotonic()
        doubted = [(job_id, job) for job_id, job in self._doubted.items() if self.pending.get(job_id) is job]
        due = [(job_id, job) for job_id, job in doubted if now - job.revoked >= DOUBT]
        self._doubted = {job_id: job for job_id, job in doubted if now - job.revoked < DOUBT}
        if self._doubted:
            self._timer = self._clock.callLater(DOUBT * 1.2, self._settle)
        # First the claims, then the replies: whoever gave up its claim before has sent its reply before.
        claims = self.claims()
        self.before_settling()
        for job_id, job in reversed(due):
            if self.pending.get(job_id) is job and job_id not in claims and job.answering is None:
                seat = self.board.finisher(job_id)
                if seat < 0:
                    self._return(job)
                else:
                    self.on_unanswered(job, seat)
        self.pump()

    def _return(self, job: Job) -> None:
        del self.pending[job.id]
        if job.exchange.finished:
            return
        if job.verdict is not None:
            self.shed.timeout += job.verdict[1] == "queue-timeout"
            refuse(job.exchange, job.verdict)
            return
        job.exchange.retries += 1
        self.line.put_back(job)

    def close(self) -> None:
        """Let go of socket and board; idle workers see the end of the queue and exit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._is_open:
            return
        self._is_open = False
        self._sender.close()
        self.receiver.close()
        self.board.close()
        os.close(self.board_fd)


def refuse(exchange: Any, verdict: Verdict, retry_after: int = 1) -> None:
    """Answer with an error page; 503 says when to come again."""
    status, reason, detail = verdict
    fields = (("Retry-After", str(retry_after)),) if status == 503 else ()
    exchange.refuse(status, reason, detail, fields)


def refuse_later(exchange: Any, verdict: Verdict) -> None:
    """The same for one whose client may have left meanwhile."""
    if not exchange.finished:
        refuse(exchange, verdict)


def _refuse_unfit(job: Job, error: Exception) -> None:
    if isinstance(error, JobTooLarge) or (isinstance(error, OSError) and error.errno == errno.EMSGSIZE):
        refuse(job.exchange, (431, "head-too-large", str(error)))
    elif isinstance(error, OSError):
        refuse(job.exchange, (500, "job-unsent", str(error)))
    else:
        refuse(job.exchange, (400, "bad-request", str(error)))


def _nothing(*_: object) -> None:
    pass
