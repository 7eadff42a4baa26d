"""PEP 3333, once: runs an app for one request and gives its answer to an ``IReply``. Threads and processes share it.

What an app yields is gathered until it is whole or worth a frame; a small answer leaves in one piece, with its length.
An answer that does not keep its own Content-Length is never passed off as whole: the chunk that completes the length
is held until the iteration has ended, and whatever is wrong by then is an error page or a cut, and a line in the log.
"""

from __future__ import annotations

import io
import os
import stat
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from time import monotonic
from types import TracebackType
from typing import Any, TypeAlias

from tinfront.errors import ClientGone, StopNow
from tinfront.workers import forks
from tinfront.workers.headers import BadHeader, Fields, check_headers, known, remember

FLUSH_SIZE = 32 * 1024
"""Bytes that are worth a frame."""

FLUSH_AFTER = 0.1
"""Seconds after which gathered bytes leave with the next chunk: a slow app shows that it is alive."""

BLOCK = 64 * 1024
"""Bytes that a ``FileWrapper`` reads at once."""

_LISTS = (list, tuple)
_NOT_CHUNKS = (str, bytes, bytearray)
_FILES = (io.BufferedReader, io.BufferedRandom, io.FileIO)

_NO_TERMINAL = "hint: the app called a debugger, but a worker has no terminal; try it with a debugger that listens\n"

ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None]"
App: TypeAlias = "Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]"


class BadLength(Exception):
    """The body is longer or shorter than the app's Content-Length."""


class FileWrapper:
    """``wsgi.file_wrapper``: a file as an answer. Returned as it is, its descriptor goes to the front."""

    def __init__(self, filelike: Any, blksize: int = BLOCK) -> None:
        self.filelike = filelike
        self.blksize = blksize

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration

    def close(self) -> None:
        """Close the file, if it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


def run(app: App, environ: dict[str, Any], reply: Any) -> None:
    """Run the app for one request. Nothing that it raises comes out of here, nor a process that it has forked."""
    answer = Answer(reply, environ["REQUEST_METHOD"] == "HEAD")
    errors = environ["wsgi.errors"]
    result: Any = None
    try:
        result = app(environ, answer.start_response)
        fields = answer.fields
        if fields is None or answer.count:
            answer.drain(result)
        elif type(result) is FileWrapper:
            answer.drain_file(result, fields)
        elif (
            not answer.silent
            and (type(result) is list or type(result) is tuple)
            and len(result) == 1
            and type(result[0]) is bytes
            and (answer.length is None or answer.length == len(result[0]))
        ):
            reply.send(fields.status, fields, result[0], len(result[0]))
        else:
            answer.drain(result)
    except ClientGone:
        pass
    except BaseException as error:  # noqa: BLE001 - not even SystemExit may take the worker down
        if forks.stray:
            forks.leave(error)
        answer.fail(error, errors, f"{environ.get('REQUEST_METHOD')} {environ.get('REQUEST_URI')}")
    finally:
        if forks.stray:
            forks.leave()
        answer.closed = True
        close = getattr(result, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:  # noqa: BLE001 - the answer has left; the log is all that can be told
                _log(errors, _traceback(error))


class Answer:
    """One request's ``start_response`` and ``write``, and what the app has given so far.

    :ivar fields: the checked head, None before ``start_response``.
    :ivar length: of the body, as far as it is known: the app's Content-Length, or the sum of a list.
    :ivar silent: no body leaves: HEAD, 204, 304.
    :ivar count: bytes the app has given.
    :ivar started: the head has left.
    :ivar closed: the request is over; a late ``write`` is an error.
    """

    __slots__ = (
        "_head_request",
        "_held",
        "_pending",
        "_reply",
        "_since",
        "closed",
        "count",
        "fields",
        "length",
        "silent",
        "started",
    )

    _pending: list[bytes]
    _held: int
    _since: float

    def __init__(self, reply: Any, head_request: bool) -> None:
        self.fields: Fields | None = None
        self.length: int | None = None
        self.silent = self._head_request = head_request
        self.count = 0
        self.started = False
        self.closed = False
        self._reply = reply

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """The callable that the app gets.

        :raises BadHeader: status or headers break HTTP.
        :raises AssertionError: called again without ``exc_info``, or after the request.
        """
        if exc_info:
            try:
                if self.started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
            self.count = 0
        elif self.fields is not None:
            raise AssertionError("start_response was called a second time without exc_info")
        if self.closed:
            raise AssertionError("start_response was called after the request")
        try:
            text = "\0".join((status, *chain.from_iterable(headers)))
        except TypeError:
            text = ""
        fields = known.get(text) if type(headers) is list else None
        if fields is None or text.count("\0") != 2 * len(headers):
            fields = check_headers(status, headers)
            remember(text, fields)
        self.fields = fields
        self.length = fields.length
        self.silent = fields.bodiless or self._head_request
        return self.write

    def write(self, data: bytes) -> None:
        """The callable that ``start_response`` returns; each chunk of the iteration comes here, too.

        :raises ClientGone: nobody wants the rest.
        """
        if not isinstance(data, bytes):
            raise TypeError(f"the app gave {type(data).__name__} where WSGI wants bytes: {data!r:.80}")
        if not data:
            return
        fields = self.fields
        if fields is None:
            raise AssertionError("the app gave a body before it called start_response")
        if self.closed:
            raise AssertionError("write was called after the request")
        if not self.count:
            self._pending = []
            self._held = 0
            self._since = monotonic()
        self.count = count = self.count + len(data)
        if self.silent:
            return
        self._pending.append(data)
        self._held += len(data)
        length = self.length
        if length is not None and count >= length:
            if count > length:
                raise BadLength(f"the app gave more than its Content-Length of {length} bytes")
        elif (
            fields.flush
            or self._reply.unbuffered
            or self._held >= FLUSH_SIZE
            or monotonic() - self._since >= FLUSH_AFTER
        ):
            self._flush(fields)

    def _flush(self, fields: Fields) -> None:
        data = b"".join(self._pending)
        self._pending.clear()
        self._held = 0
        self._since = monotonic()
        if self.started:
            self._reply.write(data)
        else:
            self.started = True
            self._reply.start(fields.status, fields, data, self.length)

    def drain(self, result: Any) -> None:
        """Take the whole iteration, and end the answer.

        :raises ClientGone: nobody wants the rest.
        """
        kind = type(result)
        if kind in _NOT_CHUNKS:
            raise TypeError(f"the app returned {kind.__name__}, not an iterable of bytes")
        fields = self.fields
        if (
            kind in _LISTS
            and fields is not None
            and self.length is None
            and not fields.bodiless
            and set(map(type, result)) <= {bytes}
        ):
            self.length = self.count + sum(map(len, result))
        for chunk in result:
            self.write(chunk)
            if self.silent and self.count:
                break  # the head is final, and nobody will see the rest
        fields = self.fields
        if fields is None:
            raise AssertionError("the app returned without a call of start_response")
        if self.silent:
            self._reply.send(fields.status, fields, b"", self.length)
            return
        if self.length is not None and self.count != self.length:
            raise BadLength(f"the app gave {self.count} bytes, its Content-Length is {self.length}")
        data = b"".join(self._pending) if self.count else b""
        if self.started:
            self._reply.finish(data)
        else:
            self._reply.send(fields.status, fields, data, len(data))

    def drain_file(self, wrapper: FileWrapper, fields: Fields) -> None:
        """Pass a regular file's descriptor on; anything else is read.

        :raises BadLength: the file is shorter than the Content-Length.
        """
        found = regular_file(wrapper.filelike)
        if found is None:
            self.drain(wrapper)
            return
        fd, offset, length = found
        if self.length is not None:
            if self.length > length:
                raise BadLength(f"the file has {length} bytes left, the Content-Length is {self.length}")
            length = self.length
        if self.silent:
            self._reply.send(fields.status, fields, b"", self.length if fields.bodiless else length)
        elif length:
            self._reply.send_file(fields.status, fields, fd, offset, length)
        else:
            self._reply.send(fields.status, fields, b"", 0)

    def fail(self, error: BaseException, errors: Any, request: str) -> None:
        """Report what the app raised."""
        if isinstance(error, BadLength):
            reason, detail = "bad-length", str(error)
            _log(errors, f"{request}: {detail}\n")
        elif isinstance(error, StopNow):  # no fault of the app's, so no traceback of it
            reason, detail = "app-error", "the worker was told to stop at once"
            _log(errors, f"{request}: {detail}\n")
        else:
            reason = "bad-header" if isinstance(error, BadHeader) else "app-error"
            text = _traceback(error)
            detail = text.rstrip().rpartition("\n")[2]
            hint = _NO_TERMINAL if type(error).__name__ == "BdbQuit" else ""  # pdb read the end of /dev/null
            _log(errors, f"{request} failed:\n{text}{hint}")
        try:
            self._reply.fail(reason, detail)
        except ClientGone:
            pass


def regular_file(filelike: Any) -> tuple[int, int, int] | None:
    """Descriptor, offset and bytes left of a file whose bytes are what its ``read`` gives; None for all else.

    Only Python's own plain file objects qualify: a ``GzipFile`` has a descriptor too, of something else.
    """
    if type(filelike).__module__ == "tempfile":
        filelike = getattr(filelike, "file", filelike)
    if type(filelike) not in _FILES:
        return None
    raw = getattr(filelike, "raw", filelike)
    try:
        if type(raw) is not io.FileIO or not raw.readable():
            return None
        fd = raw.fileno()
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        if isinstance(filelike, io.BufferedRandom):
            filelike.flush()
        offset = filelike.tell()
    except (OSError, ValueError):
        return None
    return fd, offset, max(0, os.fstat(fd).st_size - offset)


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - an exception may be too broken to be printed
        return f"{type(error).__name__} (its traceback cannot be shown)\n"


def _log(errors: Any, text: str) -> None:
    try:
        errors.write(text)
    except Exception:  # noqa: BLE001, S110 - a broken log must not cost the answer
        pass
