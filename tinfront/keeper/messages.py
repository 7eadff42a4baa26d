"""What the front and the keeper's process say: one message a request, one an answer, on a SOCK_SEQPACKET pair.

A message is words of UTF-8 joined by NUL, with descriptors beside it. The first word of a request is its verb:

====== ================================= ============ =================================================
verb   words                             descriptors  answer
====== ================================= ============ =================================================
bind   kind, host, port, path, backlog                the listening socket
key    path                                           the open file
log    path                                           the open file
config                                                the open file of a ``source.Record``
start  app, fingerprint, preload, names  one a name   pid; its pidfd
end    pid, signal
reap   pid                                            exit code as ``Popen.returncode``, or an empty word
====== ================================= ============ =================================================

The first word of an answer is ``ok``, or ``no`` and then come an errno and a text.
"""

from __future__ import annotations

MAX = 16 * 1024
"""Bytes of one message."""

FDS_MAX = 16
"""Descriptors beside one."""


def encode(*words: str) -> bytes:
    """A message.

    :raises ValueError: it would be too long, or a word has a NUL in it.
    """
    if any("\0" in word for word in words):
        raise ValueError("there is a NUL in a word")
    data = "\0".join(words).encode("utf-8", "surrogateescape")
    if not words or not data or len(data) > MAX:
        raise ValueError(f"a message of {len(data)} bytes")
    return data


def decode(data: bytes) -> list[str]:
    """The words of any bytes; at least one, which may be empty."""
    return data.decode("utf-8", "surrogateescape").split("\0")
