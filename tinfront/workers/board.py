"""The claim board: memory shared by the front and the workers of one app, through which a job is taken exactly once.

A worker that has received a job writes its claim, *then* looks whether the job was revoked, and drops it if so. The
front, when in doubt about a job, writes the revocation, waits at least ``DOUBT`` seconds (longer than any store stays
invisible), and reads the claims again: a job that is not claimed by then never will be, and may be sent again.

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
"""Revocations kept. More than the jobs that can be in the queue's socket at once, so none is overwritten too early."""

GONE = 1 << 63
"""Mark on a revoked job's id: not even an answer that has begun is wanted."""

SHUT = 1 << 62
"""Mark on a job's id: its client has most likely left. Nothing is done about it, but the app may ask."""

_HEADER = struct.Struct("=QQ")
_HEADER_SIZE = 64
_LINE = 64
_MAGIC = 0x7469_6E66_726F_6E74


class Board:
    """One mapping of the board. A slot belongs to one thread of one worker; each has its own cache line.

    :ivar ids: native view; ``ids[slot * STEP]`` is the claimed job's id, 0 for none.
    :ivar times: the same memory as floats; ``times[slot * STEP + 1]`` is the monotonic time of the claim.
    :ivar revoked: native view of the ring; job ``id`` is revoked if ``revoked[id % RING]`` is ``id``, with
        or without the mark ``GONE``. ``ids[slot * STEP + LEFT]`` is the marked id of the last job that was abandoned
        or shut while it ran there: a job may run for long, and its place in the ring may be another's by then.
    """

    STEP = _LINE // 8
    LEFT = 2

    def __init__(self, fd: int) -> None:
        """Map an existing board; ``fd`` stays the caller's.

        :raises ValueError: it is not a board.
        """
        size = os.fstat(fd).st_size
        if size < _HEADER_SIZE + RING * 8:
            raise ValueError("not a claim board")
        self._map = mmap.mmap(fd, size)
        magic, self.slots = _HEADER.unpack_from(self._map)
        if magic != _MAGIC or size != _size(self.slots):
            raise ValueError("not a claim board")
        whole = memoryview(self._map)
        slots_end = _HEADER_SIZE + self.slots * _LINE
        self._views = [whole, whole[_HEADER_SIZE:slots_end], whole[slots_end:]]
        self.ids = self._views[1].cast("Q")
        self.times = self._views[1].cast("d")
        self.revoked = self._views[2].cast("Q")

    def claims(self) -> dict[int, tuple[int, float]]:
        """What is claimed now: job id to slot and time of the claim."""
        step = self.STEP
        ids = self.ids[::step].tolist()
        return {job_id: (slot, self.times[slot * step + 1]) for slot, job_id in enumerate(ids) if job_id}

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
        for view in (self.ids, self.times, self.revoked):
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
    return _HEADER_SIZE + slots * _LINE + RING * 8
