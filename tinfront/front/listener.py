"""The service of one ``[listen:NAME]`` section: opens its sockets, accepts, sweeps, drains.

``service`` makes one per section, giving all of them the same ``Ground``. Life: ``privilegedStartService`` binds and
reads keys, ``startService`` accepts, ``stop_accepting`` closes the doors, ``drain`` waits for who is inside.
"""

# ruff: noqa: N802 - Twisted's interfaces name their methods so

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from tinfront.config import model
from tinfront.errors import ConfigError
from tinfront.front.acceptor import Acceptor, Entrance, Opener
from tinfront.front.bridge import BridgeFactory, ReactorDescriptors, ReactorOpener, pair, wrap_tls
from tinfront.front.roll import Arrival, Capacity, Roll
from tinfront.front.sockets import CannotListen, Door, open_doors
from tinfront.front.tls import Certificates
from tinfront.front.transport import LoopOpener
from tinfront.interfaces import IConnection

__all__ = ["Arrival", "CannotListen", "Capacity", "Ground", "Listener"]

log = Logger(namespace="tinfront.listen")

SWEEP = 1.0
"""Seconds between looks at the deadlines."""


@dataclass(slots=True)
class Ground:
    """What all listeners of a process stand on.

    :ivar reactor: for timers; without ``loop`` also for sockets.
    :ivar keeper: ``IKeeper``.
    :ivar capacity: bounds the connections of all listeners together.
    :ivar loop: the asyncio or uvloop loop below the reactor, for the fast path; None: Twisted's transports.
    :ivar certificates: for listeners with TLS.
    :ivar descriptors: ``IDescriptors``, made of the above.
    """

    reactor: Any
    keeper: Any
    capacity: Capacity
    loop: asyncio.AbstractEventLoop | None = None
    certificates: Certificates | None = None
    descriptors: Any = field(init=False)

    def __post_init__(self) -> None:
        self.descriptors = self.loop if self.loop is not None else ReactorDescriptors(self.reactor)


class Listener(Service):
    """See the module. Its counts are those of ``roll``.

    :ivar model: the section.
    :ivar roll: who is connected.
    """

    def __init__(
        self, model: model.Listener, build_connection: Callable[[Arrival], IConnection], ground: Ground
    ) -> None:
        """:param build_connection: called for each client; on TLS before its handshake, so it should be cheap."""
        self.model = model
        self.roll = Roll(ground.capacity, model.limits)
        self._build = build_connection
        self._ground = ground
        self._doors: list[Door] = []
        self._acceptors: list[Acceptor] = []
        self._port: Any = None
        self._sweeping: Any = None

    @property
    def connections(self) -> dict[IConnection, Any]:
        """The live connections, oldest first, each with its link."""
        return self.roll.connections

    @property
    def bound(self) -> list[str]:
        """What is really listened on: ``127.0.0.1:8080`` (never port 0), ``unix:/run/x.sock``."""
        found = [str(door) for door in self._doors]
        if self._port is not None:
            host, port = pair(self._port.getHost())
            found.append(
                (f"[{host}]:{port}" if ":" in host else f"{host}:{port}") if host else str(self.model.endpoint)
            )
        return found

    def urls(self) -> list[str]:
        """``bound`` as a user would type it into a browser; unix sockets as they are."""
        endpoint = self.model.endpoint or ""
        scheme = "https" if self.model.tls or endpoint.startswith(("ssl:", "tls:")) else "http"
        return [name if name.startswith("unix:") or name == endpoint else f"{scheme}://{name}" for name in self.bound]

    # --- starting

    def inherit(self, predecessor: Listener) -> None:
        """Take over the open sockets of the listener this one replaces, for addresses that both have.

        Call it before this one starts and before the other stops: no client finds the door closed in between.
        """
        self._doors += [door.successor() for door in predecessor._doors if door.address in self.model.addresses]

    def privilegedStartService(self) -> None:
        """Bind, and read keys. Nothing is accepted yet, but the kernel queues.

        :raises CannotListen: naming the address and the cause.
        :raises ConfigError: of the certificates or the endpoint string.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if self.model.tls:
            if self._ground.certificates is None:
                raise ConfigError(f"[listen:{self.model.name}] tls: no site has a certificate")
            self._ground.certificates.load()
        try:
            present = {door.address for door in self._doors}
            for address in self.model.addresses:
                if address not in present:
                    self._doors += open_doors(address, self.model.backlog, self._ground.keeper)
            if self.model.endpoint:
                self._open_endpoint(self.model.endpoint)
        except BaseException:
            self._close_doors()
            raise

    def startService(self) -> None:
        """Accept. Binds first if that has not been done."""
        if not self._doors and self._port is None:
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        ground = self._ground
        entrance = Entrance(
            self.model.name,
            self._build,
            self.roll,
            self._opener(),
            ground.descriptors,
            ground.reactor.callLater,
            self.model.limits,
            self.model.tls,
        )
        self._acceptors = [Acceptor(door.socket, entrance) for door in self._doors]
        for acceptor in self._acceptors:
            acceptor.start()
        self._sweep_later()

    def _opener(self) -> Opener:
        ground = self._ground
        certificates = ground.certificates if self.model.tls else None
        if ground.loop is not None:
            return LoopOpener(ground.loop, self.model.limits, certificates)
        return ReactorOpener(ground.reactor, certificates)

    def _open_endpoint(self, text: str) -> None:
        reactor = self._ground.reactor
        factory: Any = BridgeFactory(self.model.name, self._build, self.roll, reactor)
        if self.model.tls:
            assert self._ground.certificates is not None
            factory = wrap_tls(factory, reactor, self._ground.certificates)
        try:
            listening = serverFromString(reactor, text).listen(factory)
        except (ValueError, TypeError, OSError) as error:
            where = f"{self.model.place.file}:{self.model.place.line}: [listen:{self.model.name}] endpoint"
            raise ConfigError(f"{where}: {text}: {error}") from error
        failed: list[Failure] = []
        listening.addCallbacks(self._endpoint_open, failed.append)
        if failed:
            cause = failed[0].value
            cause = cause.socketError if isinstance(cause, CannotListenError) else cause
            code = getattr(cause, "errno", None)
            raise CannotListen(code, f"cannot listen on {text}: {getattr(cause, 'strerror', None) or cause}".lower())
        listening.addErrback(lambda failure: log.failure("{endpoint} failed", failure, endpoint=text))

    def _endpoint_open(self, port: Any) -> None:
        if self.roll.closing:
            port.stopListening()
        else:
            self._port = port

    # --- running

    def sweep(self, now: float | None = None) -> None:
        """Expire what is overdue. Called once a second; by hand in tests."""
        self.roll.sweep(time.monotonic() if now is None else now)

    def _sweep_later(self) -> None:
        self._sweeping = self._ground.reactor.callLater(SWEEP, self._swept)

    def _swept(self) -> None:
        self._sweep_later()
        self.sweep()

    # --- stopping

    def stop_accepting(self) -> None:
        """Take what the kernel has queued once more, then close all doors. Harmless twice.

        The port of an endpoint string is Twisted's, which closes it without taking the queue.
        """
        self.roll.closing = True
        for acceptor in self._acceptors:
            acceptor.stop(self.model.backlog)
        self._close_doors()
        if self._port is not None:
            port, self._port = self._port, None
            port.stopListening()

    def _close_doors(self) -> None:
        for door in self._doors:
            door.socket.close()
            door.remove_path()
        self._doors = []

    def drain(self, grace: float) -> Deferred[None]:
        """Stop accepting and ask every connection to go. Fires when none is left; after ``grace`` they are cut."""
        self.stop_accepting()
        self.roll.drain()
        gone = self.roll.emptied()
        if not gone.called:
            cut = self._ground.reactor.callLater(grace, self._cut, grace)
            gone.addBoth(_cancel, cut)
        gone.addCallback(self._end)
        return gone

    def _cut(self, grace: float) -> None:
        log.warn(
            "[listen:{name}] {count} connections are cut after {grace:g} s",
            name=self.model.name,
            count=self.roll.current,
            grace=grace,
        )
        self.roll.abort_all()

    def stopService(self) -> Deferred[None]:
        """Cut what ``drain`` has not waited for. Fires when no connection is left."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.stop_accepting()
        self.roll.abort_all()
        return self.roll.emptied().addCallback(self._end)

    def _end(self, _: None) -> None:
        """Nobody is inside any more."""
        if self._sweeping is not None and self._sweeping.active():
            self._sweeping.cancel()
        if self.roll in self._ground.capacity.rolls:
            self._ground.capacity.rolls.remove(self.roll)


def _cancel(result: None, call: Any) -> None:
    if call.active():
        call.cancel()
    return result
