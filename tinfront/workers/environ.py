"""The environ of a request, from what a job or an exchange carries (PEP 3333, "environ Variables")."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

from tinfront.workers.live import LIVE, live_input

_NAMES_MAX = 1024
INPUT_BUFFER = 64 * 1024


class FieldKeys(dict[str, str]):
    """Lower-case field name to environ key. Bounded: the names come from clients."""

    def __missing__(self, name: str) -> str:
        if len(self) >= _NAMES_MAX:
            self.clear()
            self.update(_NOT_HTTP)
        key = self[name] = "HTTP_" + name.upper().replace("-", "_")
        return key


class Hosts(dict[str, str]):
    """Authority to its host, without port and brackets. Bounded: the names come from clients."""

    def __missing__(self, authority: str) -> str:
        if len(self) >= _NAMES_MAX:
            self.clear()
        host, colon, port = authority.rpartition(":")
        if not colon or not (port.isdigit() or not port):
            host = authority
        host = self[authority] = host.strip("[]")
        return host


_NOT_HTTP = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
_key = FieldKeys(_NOT_HTTP).__getitem__
_hosts = Hosts()


def base_environ(version: str, multithread: bool, multiprocess: bool, errors: Any, file_wrapper: Any) -> dict[str, Any]:
    """What is the same for all requests of a thread."""
    return {
        "SERVER_SOFTWARE": f"tinfront/{version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": errors,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": file_wrapper,
        "HTTP_X_FORWARDED_PROTO": "http",
    }


def make_environ(
    base: dict[str, Any], fixed: Sequence[str], names: Iterable[str], values: Iterable[str], secure: bool
) -> dict[str, Any]:
    """The environ of one request, without its body.

    What a client says of X-Forwarded-For, -Proto and -Host never gets here. They are made anew, of what is known, for
    applications that were written to stand behind a proxy.

    :param fixed: method, script name, path, query, target, version, authority, peer address and port, local name and
        port, request id.
    :param names: the lower-case names of the fields, beside their ``values``.
    """
    environ = base.copy()
    environ.update(zip(map(_key, names), values, strict=True))
    (
        environ["REQUEST_METHOD"],
        script,
        path,
        environ["QUERY_STRING"],
        target,
        environ["SERVER_PROTOCOL"],
        authority,
        environ["REMOTE_ADDR"],
        environ["REMOTE_PORT"],
        name,
        environ["SERVER_PORT"],
        environ["tinfront.request_id"],
    ) = fixed
    environ["SCRIPT_NAME"] = script
    environ["PATH_INFO"] = path[len(script) :] if script else path
    environ["REQUEST_URI"] = environ["RAW_URI"] = target
    environ["SERVER_NAME"] = _hosts[authority] or name
    if environ["SERVER_PORT"] == "0":
        _without_port(environ, authority, secure)
    if environ["REMOTE_ADDR"]:
        environ["HTTP_X_FORWARDED_FOR"] = environ["REMOTE_ADDR"]
    if authority:
        environ.setdefault("HTTP_X_FORWARDED_HOST", authority)  # unless a trusted proxy knows better
    if secure:
        environ["wsgi.url_scheme"] = "https"
        environ["HTTP_X_FORWARDED_PROTO"] = "https"
        environ["HTTPS"] = "on"
    return environ


def _without_port(environ: dict[str, Any], authority: str, secure: bool) -> None:
    """A unix socket has neither name nor port, and WSGI wants both: what the client has asked for, or the usual."""
    port = authority.rpartition(":")[2]
    environ["SERVER_PORT"] = port if port.isdigit() and port != authority else "443" if secure else "80"
    environ["SERVER_NAME"] = _hosts[authority] or "localhost"


def add_input(environ: dict[str, Any], length: int, body: bytes | None, fd: int = -1) -> BinaryIO:
    """Put the body into the environ; returns ``wsgi.input``, to be closed after the request.

    :param length: of the body; -1: the request has none; ``LIVE``: ``fd`` is a socket over which it comes.
    :param fd: a descriptor of the body, at its start, which belongs to the stream from now on; -1: it is ``body``.
    """
    stream: BinaryIO
    if fd < 0:
        stream = io.BytesIO(body or b"")
    else:
        stream = open(fd, "rb", buffering=INPUT_BUFFER) if length != LIVE else live_input(fd)  # noqa: SIM115
    if length >= 0:
        environ["CONTENT_LENGTH"] = str(length)  # exact, also where the client did not know it
    environ["wsgi.input"] = stream
    return stream


def close_input(stream: BinaryIO) -> None:
    """Close a ``wsgi.input`` that has a descriptor, whatever the app has done with it."""
    try:
        stream.close()
    except (OSError, ValueError):
        pass  # the app has closed the descriptor itself
