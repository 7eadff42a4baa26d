"""The service of one ``[listen:NAME]`` section: opens its sockets, accepts, sweeps, drains.

``service`` makes one per section, giving all of them the same ``Ground``. Life: ``privilegedStartService`` binds and
reads keys, ``startService`` accepts, ``stop_accepting`` closes the doors, ``drain`` waits for who is inside.
"""

# ruff: noqa: N802 - Twisted's interfaces name their methods so

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tinfront.config import model
from tinfront.errors import ConfigError
from tinfront.front.acceptor import Acceptor, Entrance, Opener
from tinfront.front.addresses import Addresses
from tinfront.front.bridge import ReactorDescriptors, ReactorOpener
from tinfront.front.endpoint import EndpointDoor, EndpointFactory
from tinfront.front.roll import Arrival, Capacity, Roll
from tinfront.front.sockets import CannotListen, Door, open_doors
from tinfront.front.tls import Certificates
from tinfront.front.transport import LoopOpener
from tinfront.http.forwarded import Trust
from tinfront.interfaces import IConnection

__all__ = ["Arrival", "CannotListen", "Capacity", "Ground", "Listener"]

log = Logger(namespace="tinfront.listen")

SWEEP = 1.0
"""Seconds between looks at the deadlines."""

BETWEEN_PARTS = 0.005
"""Seconds that a sweep with much to look at gives to others: thousands of slow clients must not make the fast wait."""

LAST_WORDS = 0.5
"""Seconds that a client has to take the refusal of a request that was not finished in time."""


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
        self._trust = Trust(model.trusted_proxies)
        bound = model.connections_per_address
        self.roll = Roll(ground.capacity, model.limits, Addresses(bound, self._trust) if bound else None)
        self._build = build_connection
        self._ground = ground
        self._doors: list[Door] = []
        self._acceptors: list[Acceptor] = []
        self._endpoint: EndpointDoor | None = None
        self._heritage: list[tuple[Listener, Door, Door]] = []
        self._endpoint_of: Listener | None = None
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = ground.reactor
        self._rest_of_sweep: Any = None

    @property
    def connections(self) -> dict[IConnection, Any]:
        """The live connections, oldest first, each with its link."""
        return self.roll.connections

    @property
    def bound(self) -> list[str]:
        """What is really listened on: ``127.0.0.1:8080`` (never port 0), ``unix:/run/x.sock``."""
        return [str(door) for door in (*self._doors, self._endpoint) if door is not None]

    def urls(self) -> list[str]:
        """``bound`` as a user would type it into a browser; unix sockets as they are."""
        endpoint = self.model.endpoint or ""
        scheme = "https" if self.model.tls or endpoint.startswith(("ssl:", "tls:")) else "http"
        return [name if name.startswith("unix:") or name == endpoint else f"{scheme}://{name}" for name in self.bound]

    # --- starting

    def inherit(self, predecessor: Listener) -> None:
        """Share the open sockets of a listener that this one replaces, for addresses that both have.

        Call it before this one binds; the predecessor goes on until this one starts, and then leaves them alone: no
        client finds the door closed in between. If this one never starts, nothing has happened.

        :raises ConfigError: an endpoint of Twisted's cannot begin or cease to speak TLS while it is open.
        """
        for door in predecessor._doors:
            if door.address in self.model.addresses:
                successor = door.successor()
                self._doors.append(successor)
                self._heritage.append((predecessor, door, successor))
        endpoint = self.model.endpoint
        if endpoint and endpoint == predecessor.model.endpoint:
            if self.model.tls != predecessor.model.tls:
                place = self.model.place
                where = f"{place.file}:{place.line}: [listen:{self.model.name}] tls"
                raise ConfigError(f"{where}: cannot be changed for an endpoint by a reload; a restart is needed")
            self._endpoint_of = predecessor

    def _come_into_heritage(self) -> None:
        """From now on the inherited sockets are this one's alone."""
        for predecessor, door, successor in self._heritage:
            predecessor._leave(door)
            door.hand_over(successor)
            if door.address.kind in {"tcp", "unix"} and predecessor.model.backlog != self.model.backlog:
                successor.socket.listen(self.model.backlog)
        self._heritage = []
        predecessor, self._endpoint_of = self._endpoint_of, None  # type: ignore[assignment]
        if predecessor is not None and predecessor._endpoint is not None:
            self._endpoint, predecessor._endpoint = predecessor._endpoint, None
            factory = self._endpoint.factory
            factory.name, factory.build, factory.roll = self.model.name, self._build, self.roll
            factory.trust = self._trust

    def _leave(self, door: Door) -> None:
        for acceptor in self._acceptors:
            if acceptor.socket is door.socket:
                acceptor.leave()
        door.socket.close()
        self._doors.remove(door)

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
            if self.model.endpoint and self._endpoint_of is None:
                factory = EndpointFactory(self.model.name, self._build, self.roll, self._ground.reactor, self._trust)
                self._endpoint = EndpointDoor(self.model, factory, self._certificates())
        except BaseException:
            self._close_doors()
            raise

    def startService(self) -> None:
        """Accept. Binds first if that has not been done."""
        if not self._doors and self._endpoint is None and self._endpoint_of is None:
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        self._come_into_heritage()
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
            self._trust,
            self.model.proxy_protocol,
        )
        self._acceptors = [Acceptor(door.socket, entrance) for door in self._doors]
        for acceptor in self._acceptors:
            acceptor.start()
        self._sweeping.start(SWEEP, now=False)

    def _opener(self) -> Opener:
        ground = self._ground
        if ground.loop is not None:
            return LoopOpener(ground.loop, self.model.limits, self._certificates())
        return ReactorOpener(ground.reactor, self._certificates())

    def _certificates(self) -> Certificates | None:
        return self._ground.certificates if self.model.tls else None

    # --- running

    def sweep(self, now: float | None = None) -> None:
        """Expire what is overdue, all at once."""
        self.roll.sweep(time.monotonic() if now is None else now)

    def _sweep(self) -> None:
        """Once a second the same, in parts between which everybody gets a turn."""
        if self._rest_of_sweep is None:
            self._go_on(self.roll.sweep_in_parts(time.monotonic()))

    def _go_on(self, parts: Iterator[None]) -> None:
        self._rest_of_sweep = None
        for _ in parts:
            if self._sweeping.running:  # it may just have closed the last connection of a listener that stops
                self._rest_of_sweep = self._ground.reactor.callLater(BETWEEN_PARTS, self._go_on, parts)
            return

    # --- stopping

    def stop_accepting(self) -> None:
        """Take what the kernel has queued once more, then close all doors. Harmless twice.

        The port of an endpoint string is Twisted's, which closes it without taking the queue.
        """
        self.roll.closing = True
        for acceptor in self._acceptors:
            acceptor.stop(self.model.backlog)
        self._close_doors()
        if self._endpoint is not None:
            self._endpoint.close()

    def _close_doors(self) -> None:
        for door in self._doors:
            door.socket.close()
            door.remove_path()
        self._doors = []

    def drain(self, grace: float) -> Deferred[None]:
        """Stop accepting and ask every connection to go. Fires when none is left.

        After ``grace`` seconds each request that is still due is refused or cut, with a line in the log.
        """
        self.stop_accepting()
        self.roll.drain()
        gone = self.roll.emptied()
        if not gone.called:
            calls = [self._ground.reactor.callLater(grace, self._cut, grace)]
            calls.append(self._ground.reactor.callLater(grace + LAST_WORDS, self.roll.abort_all))
            gone.addBoth(_cancel, calls)
        gone.addCallback(self._end)
        return gone

    def _cut(self, grace: float) -> None:
        log.warn(
            "[listen:{name}] {count} connections are cut after {grace:g} s",
            name=self.model.name,
            count=self.roll.current,
            grace=grace,
        )
        self.roll.end_all(f"it was not finished within {grace:g} s")

    def hurry(self, detail: str) -> None:
        """Refuse or cut what is still due, now; ``detail`` is for its lines in the log."""
        self.roll.end_all(detail)
        gone = self.roll.emptied()
        if not gone.called:
            gone.addBoth(_cancel, [self._ground.reactor.callLater(LAST_WORDS, self.roll.abort_all)])

    def stopService(self) -> Deferred[None]:
        """Cut what ``drain`` has not waited for. Fires when no connection is left."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.stop_accepting()
        self.roll.abort_all()
        return self.roll.emptied().addCallback(self._end)

    def _end(self, _: None) -> None:
        """Nobody is inside any more."""
        if self._sweeping.running:
            self._sweeping.stop()
        if self._rest_of_sweep is not None:
            self._rest_of_sweep.cancel()
            self._rest_of_sweep = None
        if self.roll in self._ground.capacity.rolls:
            self._ground.capacity.rolls.remove(self.roll)


def _cancel(result: None, calls: list[Any]) -> None:
    for call in calls:
        if call.active():
            call.cancel()
    return result
