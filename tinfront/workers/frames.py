"""What travels between the front and its workers: jobs, replies, and the orders to a nursery. Pure: no socket here.

A job is one ``SOCK_SEQPACKET`` message: a fixed header, text, and a small body. A reply is one or more frames on the
stream socket of a worker's thread. Text is latin-1 joined by NUL, which no part can hold. Nothing is unpickled: a
broken or hostile worker can neither run code in the front nor make it fail; its bytes are checked here.
"""

from __future__ import annotations

import re
import struct
from typing import Any

# --- jobs: front to worker ------------------------------------------------------------------------------------------

JOB = struct.Struct("=QIqB")
"""Job id, size of the text, length of the body (-1: none), flags."""

SECURE = 1
PASSED = 2
UNBUFFERED = 4
"""Flags of a job: it came over TLS; its body is a descriptor beside the message; its answer's pieces are to leave as
the app gives them."""

FIXED = 12
"""Parts of a job's text before the names of the fields and, after all of these, their values; see ``encode_job``."""

BODY_INLINE = 16 * 1024
"""A longer body is passed by descriptor, so that a few jobs cannot fill the socket."""

JOB_MAX = 192 * 1024
"""No job is larger: it fits into a socket's buffer of default size, and into a worker's receive buffer."""


_joined = "\0".join


class JobTooLarge(ValueError):
    """A request's head is larger than any job may be."""


def encode_job(
    job_id: int, exchange: Any, script_name: str, length: int, body: bytes | None, unbuffered: bool = False
) -> bytes:
    """One job as a message.

    :param length: of the body; -1: the request has none; ``live.LIVE``: it is still on its way.
    :param body: the bytes, or None if a descriptor is passed beside the message.
    :raises JobTooLarge: its head alone is over the bound.
    :raises ValueError: some text holds NUL or is not latin-1, and would be read as something else.
    """
    head = exchange.head
    fields = head.fields
    if "proxy" in fields or "transfer-encoding" in fields:
        fields = without_forbidden(fields)
    peer, local = exchange.peer, exchange.local
    text = (
        f"{head.method}\0{script_name}\0{head.path}\0{head.query}\0{head.target}\0{head.version}\0{head.authority}\0"
        f"{peer[0]}\0{peer[1]}\0{local[0]}\0{local[1]}\0{exchange.request_id}\0{_joined(fields)}\0"
        f"{_joined(fields.values())}"
    ).encode("latin-1")
    if not fields:
        text = text[:-2]
    if len(text) > JOB_MAX - BODY_INLINE - JOB.size:
        raise JobTooLarge(f"the request's head has {len(text)} bytes, too many for a job")
    if text.count(0) != FIXED - 1 + 2 * len(fields):
        raise ValueError("the request holds a NUL character")
    flags = SECURE if exchange.secure else 0
    if unbuffered:
        flags |= UNBUFFERED
    if body is None:
        return JOB.pack(job_id, len(text), length, flags | PASSED) + text
    return b"".join((JOB.pack(job_id, len(text), length, flags), text, body))


def without_forbidden(fields: dict[str, str]) -> dict[str, str]:
    """The request's fields without those that no app may see.

    It would take HTTP_PROXY for its own environment; and its body is not chunked any more.
    """
    return {name: value for name, value in fields.items() if name not in {"proxy", "transfer-encoding"}}


# --- replies: worker to front ---------------------------------------------------------------------------------------

REPLY = struct.Struct("=IIQdqB")
"""Size of what follows, how much of it is the head, job id, time of the claim, announced length (-1: none), kind."""

READY, BROKEN, WHOLE, START, DATA, END, CUT, FAIL, FILE, DROPPED = range(1, 11)
"""Kinds of a reply frame. Of a worker: it takes jobs (body: its threads, see ``encode_threads``); it could not import
the app (body: why). Of a job:

WHOLE: head and body. START: head (body: not empty if the pieces are to leave at once), then DATA and END or CUT. FILE:
head; the body is a run of the file that was passed on the worker's files socket (body: the offset). FAIL, CUT: body is
reason NUL detail, before and after a START. DROPPED: the job had been revoked.
"""

WHOLE_MAX = 256 * 1024
"""Body bytes of an answer that comes in one frame."""

PIECE_MAX = 64 * 1024
"""Body bytes in one frame of an answer that comes in pieces."""

HEAD_MAX = 64 * 1024
"""Bytes of an answer's head."""

THREADS_SIZE = 16 * 1024
"""Bytes of READY's body that are looked at."""

OFFSET = struct.Struct("=Q")
"""Body of a FILE frame; on the files socket, the id of the job that goes with the descriptor."""

_STARTS = frozenset((WHOLE, START, FILE))
_KINDS = range(READY, DROPPED + 1)

Frame = tuple[int, int, float, int, bytes, bytes]
"""Kind, job id, time of the claim, announced length, head, body."""


def encode_reply(
    kind: int, job_id: int, claimed: float, length: int | None, head: bytes, body: bytes | memoryview
) -> bytes:
    """One reply frame."""
    size = len(head) + len(body)
    announced = -1 if length is None else length
    return b"".join((REPLY.pack(size, len(head), job_id, claimed, announced, kind), head, body))


_FAILURES = frozenset(("app-error", "bad-header", "bad-length", "bad-job"))


def decode_failure(body: bytes) -> tuple[str, str]:
    """Reason and detail of a FAIL or CUT. A reason that is none of ours is taken for ``app-error``."""
    reason, _, detail = body.decode("utf-8", "replace").partition("\0")
    return (reason if reason in _FAILURES else "app-error"), detail


class Decoder:
    """Cuts what a stream of reply frames delivers into frames. Holds no more than one frame's bytes.

    :ivar error: None, or what was wrong; after an error nothing more is understood.
    """

    __slots__ = ("_held", "_missing", "_pieces", "error")

    def __init__(self) -> None:
        self.error: str | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._missing = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take some bytes; returns the frames that they complete."""
        if self._pieces:
            # Pieces are joined only when they complete something: a trickle must not cost a copy per byte.
            self._pieces.append(data)
            self._held += len(data)
            if self._held < self._missing:
                return []
            data = b"".join(self._pieces)
            self._pieces = []
        frames: list[Frame] = []
        at, end = 0, len(data)
        missing = header = REPLY.size
        while end - at >= header:
            size, head_size, job_id, claimed, length, kind = REPLY.unpack_from(data, at)
            if size > HEAD_MAX + WHOLE_MAX or head_size > size or kind not in _KINDS:
                self.error = self.error or "a frame with a broken header"
                return frames
            start = at + header
            stop = start + size
            if stop > end:
                missing = header + size
                break
            middle = start + head_size
            frames.append((kind, job_id, claimed, length, data[start:middle], data[middle:stop]))
            at = stop
        if at < end:
            self._pieces = [data[at:]]
            self._held = end - at
            self._missing = missing
        return frames


def encode_threads(threads: list[tuple[int, int]]) -> bytes:
    """The kernel's and Python's ident of each slot's thread, in the order of the slots: the body of READY."""
    return " ".join(f"{native}:{ident}" for native, ident in threads).encode()


def decode_threads(body: bytes) -> list[tuple[int, int]]:
    """What ``encode_threads`` has made; nothing of what it cannot have made."""
    pairs = [word.split(":") for word in body[:THREADS_SIZE].decode("latin-1").split(" ")]
    numbers = [pair for pair in pairs if len(pair) == 2 and all(part.isascii() and part.isdigit() for part in pair)]
    return [(int(native), int(ident)) for native, ident in numbers]


# --- the head of an answer ------------------------------------------------------------------------------------------

# Fields that belong to the server (RFC 9110 section 7.6.1; PEP 3333 forbids them to apps) and never pass.
SERVER_FIELDS = frozenset(
    [
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-accel-buffering",
    ]
)
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD = re.compile(
    rb"[2-5][0-9][0-9](?: " + _VALUE + rb")?+"
    rb"(?:\0(?!(?i:" + b"|".join(sorted(map(re.escape, map(str.encode, SERVER_FIELDS)))) + rb")\0)"
    rb"" + _TOKEN + rb"\0" + _VALUE + rb")*+"
)

Head = tuple[int, str | None, list[tuple[str, str]]]
"""Status, reason phrase, fields."""


def decode_head(raw: bytes) -> Head | None:
    """``status NUL name NUL value …`` as values; None if it breaks a rule of RFC 9110 section 5 or 15."""
    if not _HEAD.fullmatch(raw):
        return None
    parts = raw.decode("latin-1").split("\0")
    return int(parts[0][:3]), parts[0][4:] or None, list(zip(parts[1::2], parts[2::2], strict=True))


# --- orders: front to nursery and back ------------------------------------------------------------------------------

ORDER = struct.Struct("=BQq")
"""Kind and two numbers; text may follow."""

FORK, KILL, IMPORTED, THREADED, FAILED, BORN, DIED, PING, SOURCES = range(1, 10)
"""Kinds of an order or its report.

FORK seat (descriptors: log, stacks, files, one reply stream per thread). KILL pid signal. IMPORTED: ready to fork.
THREADED: the app started threads at import (text: their names). FAILED: it cannot be imported (text: traceback).
SOURCES: the files of the app's code (descriptor: ``sources.listed``); comes before IMPORTED.
BORN seat pid (descriptor: pidfd, where the system has them). DIED pid status (text: resources used). PING is answered
by the same: the nursery is alive.
"""

ORDER_MAX = 64 * 1024
"""Bytes of one order or report; longer text is cut."""


def encode_order(kind: int, first: int = 0, second: int = 0, text: str = "") -> bytes:
    """One order or report as a message."""
    return ORDER.pack(kind, first, second) + text.encode("utf-8", "backslashreplace")[: ORDER_MAX - ORDER.size]


def decode_order(data: bytes) -> tuple[int, int, int, str] | None:
    """Kind, two numbers and text; None if it is not an order."""
    if len(data) < ORDER.size:
        return None
    kind, first, second = ORDER.unpack_from(data)
    return kind, first, second, data[ORDER.size :].decode("utf-8", "replace")
