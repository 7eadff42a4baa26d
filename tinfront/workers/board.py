"""The claim board: memory shared by the front and the workers of one app, through which a job is taken exactly once.

A worker that has received a job writes its claim, *then* looks whether the job was revoked, and drops it if so. The
front, when in doubt about a job, writes the revocation, waits at least ``DOUBT`` seconds (longer than any store stays
invisible), and reads the claims again: a job that is not claimed by then never will be, and may be sent again, unless
it is over. For that a worker notes who has run a job before it gives up its claim. A job that is pending, unclaimed and
noted has been run, and its answer is lost: an app has written into its worker's streams, so that nothing that comes
from there can be believed.

It is a memfd, because an anonymous mapping does not survive the exec of a nursery; sealed in size, because a worker
that shrinks it would kill the front by SIGBUS. All stores are native and 8 bytes wide, so none is ever seen half done.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

DOUBT = 0.010
"""Seconds between a revocation and the second look at the claims."""

RING = 8192
"""Revocations kept, and notes. More than the jobs that can be in the queue's socket at once, so none is overwritten too
early. A note is written when a job ends and read soon after: a job may run for long, its note does not grow old."""

SEAT_BITS = 16
"""Of a note; an app has at most 4096 seats, twice as many as workers. The other 48 bits are the job's id."""

GONE = 1 << 63
"""Mark on a revoked job's id: not even an answer that has begun is wanted."""

SHUT = 1 << 62
"""Mark on a job's id: its client has most likely left. Nothing is done about it, but the app may ask."""

_HEADER = struct.Struct("=QQ")
_HEADER_SIZE = 64
_LINE = 64
_MAGIC = 0x7469_6E66_726F_6E75


class Board:
    """One mapping of the board. A slot belongs to one thread of one worker; each has its own cache line.

    :ivar ids: native view; ``ids[slot * STEP]`` is the claimed job's id, 0 for none.
    :ivar times: the same memory as floats; ``times[slot * STEP + 1]`` is the monotonic time of the claim.
    :ivar revoked: native view of the ring; job ``id`` is revoked if ``revoked[id % RING]`` is ``id``, with
        or without the mark ``GONE``. ``ids[slot * STEP + LEFT]`` is the marked id of the last job that was abandoned
        or shut while it ran there: a job may run for long, and its place in the ring may be another's by then.
    :ivar finished: native view of the ring of notes, which workers write; ``finished[id % RING]`` is
        ``id << SEAT_BITS | seat`` when the worker of that seat has run the job ``id`` to its end.
    """

    STEP = _LINE // 8
    LEFT = 2

    def __init__(self, fd: int) -> None:
        """Map an existing board; ``fd`` stays the caller's.

        :raises ValueError: it is not a board.
        """
        size = os.fstat(fd).st_size
        if size < _size(0):
            raise ValueError("not a claim board")
        self._map = mmap.mmap(fd, size)
        magic, self.slots = _HEADER.unpack_from(self._map)
        if magic != _MAGIC or size != _size(self.slots):
            raise ValueError("not a claim board")
        whole = memoryview(self._map)
        slots_end = _HEADER_SIZE + self.slots * _LINE
        ring_end = slots_end + RING * 8
        self._views = [whole, whole[_HEADER_SIZE:slots_end], whole[slots_end:ring_end], whole[ring_end:]]
        self.ids = self._views[1].cast("Q")
        self.times = self._views[1].cast("d")
        self.revoked = self._views[2].cast("Q")
        self.finished = self._views[3].cast("Q")

    def claims(self) -> dict[int, tuple[int, float]]:
        """What is claimed now: job id to slot and time of the claim."""
        step = self.STEP
        ids = self.ids[::step].tolist()
        return {job_id: (slot, self.times[slot * step + 1]) for slot, job_id in enumerate(ids) if job_id}

    def finisher(self, job_id: int) -> int:
        """The seat of the worker that has run this job to its end, or -1 if nothing is said of it.

        A seat has one worker after the other, but of a pending job it always means the one who sits there: an id is
        sent once and so received by one worker only, and when that one dies, all that it has noted stops being pending
        before its seat is given away.
        """
        note = self.finished[job_id % RING]
        return note & ((1 << SEAT_BITS) - 1) if note >> SEAT_BITS == job_id else -1

    def revoke(self, job_id: int) -> None:
        """Whoever receives this job from now on drops it; if it runs already, its answer is still wanted."""
        if self.revoked[job_id % RING] != job_id | GONE:
            self.revoked[job_id % RING] = job_id

    def abandon(self, job_id: int) -> None:
        """Nobody wants this job's answer: whoever receives it drops it, and what it streams may stop."""
        self._mark(job_id, job_id | GONE)

    def shut(self, job_id: int) -> None:
        """The client of this job may have left."""
        self._mark(job_id, job_id | SHUT)

    def _mark(self, job_id: int, mark: int) -> None:
        self.revoked[job_id % RING] = mark
        running = self.ids[:: self.STEP].tolist()
        if job_id in running:
            self.ids[running.index(job_id) * self.STEP + self.LEFT] = mark

    def clear(self, slot: int) -> None:
        """Forget the claim of a worker that is gone."""
        self.ids[slot * self.STEP] = 0

    def close(self) -> None:
        """Unmap it."""
        for view in (self.ids, self.times, self.revoked, self.finished):
            view.release()
        for part in reversed(self._views):
            part.release()
        self._map.close()


def create_board(slots: int) -> int:
    """A new board for ``slots`` worker threads; returns its descriptor."""
    fd = os.memfd_create("tinfront-board", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _size(slots))
    os.pwrite(fd, _HEADER.pack(_MAGIC, slots), 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


def _size(slots: int) -> int:
    return _HEADER_SIZE + slots * _LINE + 2 * RING * 8
