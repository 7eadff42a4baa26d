"""A whole tinfront in a process of its own, for the time of a test.

``Server`` writes the ini, starts the server on free ports, waits until it says where it can be reached, and ends it by
TERM. Waits end with the event they wait for, or fail with all that the server has said.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

ROOT = Path(__file__).parents[2]
APPS = ROOT / "tests" / "apps"
BIN = Path(sys.executable).parent

FAST, EPOLL = "fast", "epoll"
TRANSPORTS = (FAST, EPOLL)
"""uvloop's own transports, as the ``tinfront`` command takes them; and Twisted's, under ``twistd --reactor=epoll``."""

PATIENCE = 20.0
"""Seconds after which what has not happened never will."""

LISTEN = """\
[listen:http]
address = 127.0.0.1:0

[listen:https]
address = 127.0.0.1:0
tls = yes
"""

running: list[Server] = []
"""For the reports of failed tests."""

_SERVES = re.compile(r"tinfront \S+ serves (.+)")


class Output:
    """The lines of a stream as they come."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._news = threading.Condition()
        self._text = ""
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            with self._news:
                self._text += line
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def text(self) -> str:
        """All that has come."""
        return self._text

    def wait_for(self, pattern: str | re.Pattern[str], timeout: float = PATIENCE) -> re.Match[str]:
        """The first match in all that has come or will come soon."""
        search = re.compile(pattern).search
        with self._news:
            self._news.wait_for(lambda: self._ended or search(self._text), timeout)
            found = search(self._text)
        assert found, f"{pattern!r} did not come{' before the end' if self._ended else ''}; what came:\n{self._text}"
        return found

    def close(self) -> None:
        """After the end of the process."""
        self._thread.join(PATIENCE)
        self._stream.close()


class Server:
    """One server, started by ``with``.

    :ivar urls: where it can be reached, in the order of the file.
    :ivar log: its error log.
    :ivar may_fail: the test makes it log tracebacks.
    """

    def __init__(
        self,
        directory: Path,
        ini: str = "",
        transport: str = FAST,
        *,
        command: list[str] | None = None,
        env: dict[str, str] | None = None,
        may_fail: bool = False,
    ) -> None:
        """:param command: instead of the usual one for ``ini``; what follows ``tinfront``."""
        self.directory = directory
        self.file = directory / "site.ini"
        self.file.write_text(ini)
        self.fast = transport == FAST
        self._command = [str(BIN / "tinfront"), *command] if command else command_for(self.file, transport)
        self._env = environment(env)
        self._pass_fds: tuple[int, ...] = ()
        self.may_fail = may_fail
        self.urls: list[str] = []
        self._stopping = False

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            cwd=self.directory,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=self._pass_fds,
        )
        assert self.process.stdout
        assert self.process.stderr
        self.out, self.err = Output(self.process.stdout), Output(self.process.stderr)
        self.log = self.err if self.fast else self.out
        running.append(self)
        try:
            self.urls = self.log.wait_for(_SERVES)[1].split(", ")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self.report())
            self.kill()
        else:
            self.stop()

    # --- where it is

    @property
    def url(self) -> str:
        """The first plain one."""
        return next(url for url in self.urls if url.startswith("http://"))

    @property
    def secure_url(self) -> str:
        """The first one with TLS."""
        return next(url for url in self.urls if url.startswith("https://"))

    @property
    def address(self) -> tuple[str, int]:
        """Of ``url``, for a socket."""
        return address_of(self.url)

    # --- how it ends

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the front."""
        self._stopping = self._stopping or number in {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> None:
        """A server that was told to end does so, leaves nobody behind, and has nothing to complain of."""
        try:
            code = self.process.wait(timeout)
            eventually(lambda: not group(self.process.pid), f"processes are left: {group(self.process.pid)}")
        except BaseException as error:
            error.add_note(self.report())
            self.kill()
            raise
        self._close()
        said = self.report()
        assert code in ((0,) if self.fast else (0, -signal.SIGTERM)), f"exit code {code}\n{said}"
        assert self.may_fail or not re.search("Traceback|Unhandled", said), said

    def stop(self) -> None:
        """TERM, if nobody has stopped it yet."""
        if not self._stopping:
            self.signal(signal.SIGTERM)
        self.wait()

    def ends_by_itself(self) -> None:
        """Somebody else has told it to end."""
        self._stopping = True
        self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End all its processes."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self._close()

    def _close(self) -> None:
        if self in running:
            running.remove(self)
        self.out.close()
        self.err.close()

    def report(self) -> str:
        """What it has said."""
        return f"--- stdout\n{self.out.text[-20000:]}\n--- stderr\n{self.err.text[-20000:]}"


def command_for(file: Path, transport: str) -> list[str]:
    """The command that serves ``file`` in the foreground."""
    if transport == FAST:
        return [str(BIN / "tinfront"), "run", str(file)]
    return [str(BIN / "twistd"), "-n", "--pidfile=", "--reactor=epoll", "tinfront", "--config", str(file)]


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """The environment, without what would change the server."""
    keep = {name: value for name, value in os.environ.items() if name not in {"PORT", "WEB_CONCURRENCY"}}
    return keep | (more or {})


def tinfront(*arguments: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [BIN / "tinfront", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=60, check=False
    )


def group(number: int) -> list[str]:
    """The living processes of a process group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = entry.read_text().rpartition(")")
        except OSError:
            continue
        state, _, pgrp, *_ = rest.split()
        if int(pgrp) == number and state != "Z":
            found.append(name + ")")
    return found


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    host, _, port = url.rpartition("//")[2].rpartition(":")
    return host, int(port)


def eventually(happened: Callable[[], object], otherwise: str = "it never happened", timeout: float = PATIENCE) -> None:
    """Wait for what nobody announces, such as a line in a file."""
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
