"""The control socket: what ``tinfront status``, ``reload`` and ``stop`` talk to.

A unix socket of mode 0600. One line in, a word; one line out, a JSON object; then it closes. Whoever may open it may
stop the server, so its directory should belong to whoever runs it.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from tinfront import __version__

Answer = dict[str, Any]

LINE_MAX = 256
PATIENCE = 10.0
"""Seconds a client may take, either side."""


class _Conversation(LineOnlyReceiver, TimeoutMixin):
    """One question, one answer."""

    delimiter = b"\n"
    MAX_LENGTH = LINE_MAX

    def __init__(self, answers: Mapping[str, Callable[[], Answer | Deferred[Answer]]]) -> None:
        self._answers = answers

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        self.setTimeout(PATIENCE)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802
        self.setTimeout(None)  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        self.setTimeout(None)  # type: ignore[no-untyped-call]
        word = line.decode("latin-1").strip()
        answer = self._answers.get(word)
        if answer is None:
            self._say({"error": f"unknown word {word!r}, known are {', '.join(self._answers)}"})
        else:
            answering: Deferred[Answer] = maybeDeferred(answer)  # type: ignore[call-overload]
            answering.addCallback(self._say)

    def _say(self, said: Answer) -> None:
        """Now, or when it is known; the client may have left by then."""
        if self.transport is not None:
            self.transport.write(json.dumps(said).encode("ascii") + b"\n")
            self.transport.loseConnection()


class Control(Service):
    """Listens on the control socket.

    :param answers: what to say to each word, now or when it is known.
    :param owner: uid and gid of the user who will run the server, if that is not who opens the socket.
    """

    def __init__(
        self,
        path: str,
        reactor: Any,
        answers: Mapping[str, Callable[[], Answer | Deferred[Answer]]],
        owner: tuple[int, int] | None = None,
    ) -> None:
        self._path = path
        self._owner = owner
        self._reactor = reactor
        self._answers = answers
        self._port: Any = None

    def privilegedStartService(self) -> None:  # noqa: N802
        """Open the socket.

        :raises OSError: it cannot be opened, or another server answers there.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if _answers_there(self._path):
            raise OSError(f"cannot listen on {self._path}: a server that runs already answers there")
        self._make_directory()
        _remove_stale(self._path)
        before = os.umask(0o177)
        try:
            self._port = self._reactor.listenUNIX(self._path, self._factory(), mode=0o600)
        finally:
            os.umask(before)
        if self._owner is not None:
            os.chown(self._path, *self._owner, follow_symlinks=False)

    def _make_directory(self) -> None:
        directory = os.path.dirname(self._path)
        if not os.path.isdir(directory):
            os.makedirs(directory, exist_ok=True)
            if self._owner is not None:
                os.chown(directory, *self._owner)  # so that the server can remove the socket

    def _factory(self) -> Factory:
        def converse(_: IAddress | None) -> Protocol:
            return _Conversation(self._answers)

        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = converse  # type: ignore[method-assign,assignment]
        return factory

    def stopService(self) -> Deferred[Any]:  # noqa: N802
        """Close the socket; Twisted removes its path."""
        super().stopService()  # type: ignore[no-untyped-call]
        port, self._port = self._port, None
        if port is None:
            return maybeDeferred(lambda: None)

        def leave_path(failure: Failure) -> None:
            # In a directory of root's it is left to the keeper, or to the next start; the port is still open.
            failure.trap(PermissionError)
            tcp.Port.connectionLost(port, failure)

        return maybeDeferred(port.stopListening).addErrback(leave_path)


def ask(path: str, word: str) -> Answer:
    """Ask the server at the socket ``path``; for the command, which may wait.

    A reload takes as long as the apps take to start, and the server bounds that.

    :raises OSError: nobody answers there.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(path)
        sock.sendall(word.encode("ascii") + b"\n")
        if word == "reload":
            sock.settimeout(None)
        with sock.makefile("rb") as file:
            said: Answer = json.loads(file.readline() or b'{"error": "no answer"}')
    return said


def _remove_stale(path: str) -> None:
    """The socket that a server left behind when it was killed. Nothing else is ever removed."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(f"cannot listen on {path}: there is something else than a socket")
        os.unlink(path)
    except FileNotFoundError:
        pass


def _answers_there(path: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(path)
    except OSError:
        return False
    return True


def status(site: Any) -> Answer:
    """How a ``service.Site`` fares."""
    capacity = site.assembly.capacity
    apps = []
    for name, generation, pool, draining in _generations(site):
        busy, idle, waiting = pool.load()
        shed = pool.shed
        apps.append(
            {
                "name": name,
                "generation": generation,
                "draining": draining,
                "ready": pool.ready,
                "busy": busy,
                "idle": idle,
                "waiting": waiting,
                "oldest_wait": round(pool.oldest_wait(), 3),
                "shed": {"full": shed.full, "timeout": shed.timeout, "gone": shed.gone},
                "trouble": pool.trouble,
            }
        )
    listeners = [
        {
            "name": listener.model.name,
            "urls": listener.urls(),
            "open": listener.roll.current,
            "accepted": listener.roll.accepted,
            "refused": listener.roll.refused,
            "handshake_failed": listener.roll.handshake_failed,
            "unannounced": listener.roll.unannounced,
            "over_address": listener.roll.over_address,
            "closed_idle": listener.roll.closed_idle,
        }
        for listener in site.listeners
    ]
    return {
        "version": __version__,
        "pid": os.getpid(),
        "uptime": round(time.monotonic() - site.started, 3),
        "stopping": site.stopping,
        "connections": {"open": capacity.used, "limit": capacity.limit, "pauses": capacity.pauses},
        "listeners": listeners,
        "apps": apps,
        "spool": _spool(site.assembly.budget),
        "log_lines_lost": site.access_log.dropped if site.access_log is not None else 0,
    }


def _spool(budget: Any) -> Answer:
    return {
        "used": budget.used,
        "limit": budget.limit,
        "memory": budget.held,
        "memory_limit": budget.memory,
        "spilled": budget.spilled,
        "full": budget.full,
        "cut": budget.cut,
    }


def _generations(site: Any) -> list[tuple[str, int, Any, bool]]:
    """App, number, pool, and whether it is on its way out."""
    return [
        (pools.app.name, number, pool, pool is not getattr(site.pools.get(pools.app.name), "current", None))
        for pools in site.all_pools()
        for number, pool in pools.all()
    ]


_COUNTS = {
    "open": "OPEN",
    "accepted": "ACCEPTED",
    "refused": "REFUSED",
    "over_address": "PER ADDRESS",
    "closed_idle": "IDLEST",
    "handshake_failed": "BAD TLS",
    "unannounced": "NO PROXY",
}


def table(status: Answer) -> str:
    """What ``status`` says, for people."""
    lines = [
        f"tinfront {status['version']}, pid {status['pid']}, up for {_span(status['uptime'])}"
        + (", stopping" if status["stopping"] else ""),
        "",
    ]
    rows = [("LISTEN", *_COUNTS.values(), "AT")]
    for item in status["listeners"]:
        rows.append((item["name"], *(str(item[name]) for name in _COUNTS), ", ".join(item["urls"])))
    lines += _columns(rows)
    pools = [("APP", "GEN", "STATE", "BUSY", "IDLE", "WAITING", "OLDEST", "FULL", "TIMEOUT", "GONE", "")]
    for item in status["apps"]:
        state = "draining" if item["draining"] else "ready" if item["ready"] else "not ready"
        busy, idle, waiting = str(item["busy"]), str(item["idle"]), str(item["waiting"])
        full, timeout, gone = map(str, item["shed"].values())
        oldest = f"{item['oldest_wait']:.1f} s"
        pools.append(
            (
                item["name"],
                str(item["generation"]),
                state,
                busy,
                idle,
                waiting,
                oldest,
                full,
                timeout,
                gone,
                item["trouble"],
            )
        )
    lines += ["", *_columns(pools), ""]
    connections, spool = status["connections"], status["spool"]
    lines.append(
        f"connections: {connections['open']:,} of {connections['limit']:,}; "
        f"accepting has paused {connections['pauses']:,} times"
    )
    lines.append(f"spool: {spool['used']:,} of {spool['limit']:,} bytes; log lines lost: {status['log_lines_lost']:,}")
    lines.append(
        f"spool memory: {spool['memory']:,} of {spool['memory_limit']:,} bytes; bodies on disk for lack of it: "
        f"{spool['spilled']:,}; no room on disk: {spool['full']:,}; answers cut for that: {spool['cut']:,}"
    )
    return "\n".join(lines) + "\n"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _span(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock
