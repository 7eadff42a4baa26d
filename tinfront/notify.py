"""What systemd is told, sd_notify(3): ready, reloading, stopping, alive, and how it goes. Called by ``service``.

Without ``NOTIFY_SOCKET`` in the environment nobody wants to know. Workers never see the variable, so that they cannot
speak for the server.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, MutableMapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

log = Logger(namespace="tinfront")


class Notifier:
    """Tells the service manager.

    :param reactor: provides ``IReactorTime``; the watchdog's message comes from there, so a reactor that hangs is
        noticed.
    :param environ: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are taken out.
    """

    def __init__(self, reactor: Any, environ: MutableMapping[str, str] = os.environ) -> None:
        path = environ.pop("NOTIFY_SOCKET", "")
        microseconds, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self._urls: list[str] = []
        self._ready = self._stopping = False
        self._interval = 0.0
        self._socket: socket.socket | None = None
        self._address = "\0" + path[1:] if path.startswith("@") else path
        if path.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            if microseconds.isdecimal() and pid in {"", str(os.getpid())}:
                self._interval = int(microseconds) / 2e6
        self._watchdog = LoopingCall(self.tell, "WATCHDOG=1")
        self._watchdog.clock = reactor

    def start(self, urls: list[str], booting: Iterable[Deferred[bool]]) -> None:
        """Begin; the server is ready when each app has a worker, or cannot be started."""
        self._urls = urls
        if self._socket is None:
            return
        if self._interval:
            self._watchdog.start(self._interval)
        self.tell("STATUS=starting the applications")
        DeferredList(list(booting)).addCallback(lambda _: self._booted())

    def _booted(self) -> None:
        self._ready = True
        if not self._stopping:
            self.ready(self._urls)

    def ready(self, urls: list[str], more: str = "") -> None:
        """The server serves, for the first time or again."""
        self._urls = urls
        if self._ready and not self._stopping:
            self.tell("READY=1", f"STATUS=serving {', '.join(urls)}{more}")

    def reloading(self) -> None:
        """A reload begins; ``ready`` ends it, whatever has come of it."""
        if self._ready and not self._stopping:
            self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reloading")

    def stopping(self) -> None:
        """The server is on its way out."""
        self._stopping = True
        self.tell("STOPPING=1", "STATUS=finishing what runs")

    def tell(self, *assignments: str) -> None:
        """Send one message. Nobody to hear it is no trouble."""
        if self._socket is None:
            return
        text = "\n".join(assignment.replace("\n", " ") for assignment in assignments)
        try:
            self._socket.sendto(text.encode("utf-8", "replace"), self._address)
        except OSError as error:
            log.debug("the service manager cannot be told {text}: {error}", text=assignments[0], error=error)

    def close(self) -> None:
        """That was all."""
        if self._watchdog.running:
            self._watchdog.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
