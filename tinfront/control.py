"""The control socket: what ``tinfront status``, ``stacks``, ``reload`` and ``stop`` talk to.

A unix socket of mode 0600. One line in, a word; one line out, a JSON object; then it closes. Whoever may open it may
stop the server, so its directory should belong to whoever runs it.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

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
