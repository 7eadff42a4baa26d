"""Who is connected: one ``Roll`` per listener, one ``Capacity`` for all of them.

A socket is counted from accept to close. It is *pending* while its TLS handshake runs (or has not even begun, or its
proxy has yet to say whom it brings), then its connection stands in ``connections``. ``acceptor`` enters sockets, the
links of ``transport`` and ``bridge`` report what becomes of them, ``listener`` sweeps, drains and reads the counts.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from tinfront.config.model import Limits
from tinfront.front.addresses import Addresses
from tinfront.front.idlest import Idlest
from tinfront.interfaces import IConnection

log = Logger(namespace="tinfront.listen")

FAREWELL = 2.0
"""Seconds in which an idle client of a server that stops may ask once more: its request may be on its way already."""

PART = 32
"""Overdue connections that are looked at before others get their turn."""

_WARN_EVERY = 60.0
_SPARES = 8


class Arrival:
    """What is known of a client when its connection is built.

    :ivar listener: the name in ``[listen:NAME]``.
    :ivar peer: (address, port); ``("", 0)`` for unix sockets.
    :ivar local: (host, port) of the listening side; for unix sockets (path, 0).
    :ivar secure: TLS is spoken, be it ours or that of a Twisted endpoint.
    :ivar https: the client speaks it, be it to us or to a proxy that has said so.
    :ivar trusted: it is a proxy whose word on its clients is taken.
    """

    __slots__ = ("https", "listener", "local", "peer", "secure", "trusted")

    def __init__(
        self, listener: str, peer: tuple[str, int], local: tuple[str, int], secure: bool, trusted: bool = False
    ) -> None:
        self.listener = listener
        self.peer = peer
        self.local = local
        self.secure = self.https = secure
        self.trusted = trusted


class Abortable(Protocol):
    """Something that holds an accepted socket."""

    def abort(self) -> None:
        """Close the socket now."""


class Link(Abortable, Protocol):
    """What stands between a transport and a connection."""

    connection: IConnection
    told: bool

    def buffered(self) -> int:
        """Bytes the client has yet to take, without those in the kernel."""


class Capacity:
    """How many sockets all listeners together may have open.

    At the bound the idlest connections are closed. While none is idle accepting pauses: clients wait in the kernel.

    :ivar limit: ``connections_max``, but never more than the descriptor limit allows with a quarter kept for files.
    :ivar used: sockets open now.
    :ivar rolls: of the listeners that share it.
    :ivar pauses: how often accepting has paused because nobody was idle.
    """

    __slots__ = ("_idlest", "_spares", "_waiting", "_warned", "limit", "pauses", "rolls", "used")

    def __init__(self, connections_max: int = 0) -> None:
        self.used = self.pauses = 0
        self.rolls: list[Roll] = []
        self._waiting: dict[Callable[[], None], None] = {}
        self._idlest = Idlest(self.rolls)
        self._warned = -_WARN_EVERY
        self._spares: list[Any] = []
        self.keep_spares()
        self.bound(connections_max)

    def bound(self, connections_max: int) -> None:
        """Set the limit; 0: as many as descriptors allow. Who is connected stays."""
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        bound = max(soft - soft // 4, 1) if soft > 0 else 1024**2
        self.limit = min(connections_max or bound, bound)
        if connections_max > bound:
            log.warn(
                "connections_max = {asked} is more than {soft} file descriptors allow; it is {limit}",
                asked=connections_max,
                soft=soft,
                limit=bound,
            )

    def keep_spares(self) -> None:
        """Hold a few descriptors back, for those who are being served when all others are used up."""
        try:
            while len(self._spares) < _SPARES:
                self._spares.append(open("/dev/null", "rb"))  # noqa: SIM115 - held open on purpose
        except OSError:
            pass

    def give_spares(self) -> None:
        """Let them have those."""
        while self._spares:
            self._spares.pop().close()

    def wait(self, resume: Callable[[], None], why: str) -> None:
        """There is no room: call ``resume`` when a socket has been closed, and make room.

        :param why: is logged, once a minute at most.
        """
        self._waiting[resume] = None
        now = time.monotonic()
        room = self._idlest.close_some(self.used, now)
        self.pauses += not room
        if now - self._warned >= _WARN_EVERY:
            self._warned = now
            action = "the idlest connections are closed" if room else "not accepting for now"
            log.warn("{action}: {why}; {used} connections are open", action=action, why=why, used=self.used)

    def go_on(self, resume: Callable[[], None]) -> None:
        """Who has waited tries again without being told to."""
        self._waiting.pop(resume, None)

    def make_room(self, now: float) -> None:
        """Look again for idle connections if somebody waits for their room; called by every sweep."""
        if self._waiting:
            self._idlest.close_some(self.used, now)
        else:
            self._idlest.forget()

    def take(self) -> None:
        """A socket has been accepted."""
        self.used += 1

    def give_back(self) -> None:
        """A socket has been closed."""
        self.used -= 1
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            for resume in waiting:
                resume()


class Roll:
    """The clients of one listener.

    :ivar connections: the live ones, oldest first; each with its link.
    :ivar pending: sockets before the end of their handshake, with the monotonic second until which they may wait.
    :ivar parting: TLS links that were told to close, with the bytes still buffered and since when there have been as
        many. The shutdown of TLS waits for the client, so someone has to end the waiting.
    :ivar limits: of the listener.
    :ivar closing: no more are accepted, except those that the kernel has queued.
    :ivar accepted: sockets accepted so far, ``refused``: closed at the bound unserved (endpoints of Twisted only; ours
        leave them in the kernel), ``handshake_failed``: never became connections, ``current``: open now;
        ``over_address``: closed because their address had enough, ``unannounced``: closed for lack of a PROXY header
        that may be believed, ``closed_idle``: closed to make room.
    :ivar addresses: counts the connections of each client address; None: they are not bounded.
    """

    __slots__ = (
        "_empty",
        "_late",
        "accepted",
        "addresses",
        "capacity",
        "closed_idle",
        "closing",
        "connections",
        "current",
        "handshake_failed",
        "limits",
        "over_address",
        "parting",
        "pending",
        "refused",
        "unannounced",
    )

    def __init__(self, capacity: Capacity, limits: Limits, addresses: Addresses | None = None) -> None:
        self.capacity = capacity
        self.limits = limits
        self.connections: dict[IConnection, Link] = {}
        self.pending: dict[Abortable, float] = {}
        self.parting: dict[Link, tuple[int, float]] = {}
        self.addresses = addresses
        self.accepted = self.refused = self.handshake_failed = self.current = 0
        self.over_address = self.unannounced = self.closed_idle = 0
        self.closing = False
        self._late: list[IConnection] = []
        self._empty: list[Deferred[None]] = []
        capacity.rolls.append(self)

    def enter(self) -> None:
        """A socket has been accepted; ``leave`` must follow, once."""
        self.accepted += 1
        self.current += 1
        self.capacity.take()

    def admit(self, address: str) -> bool:
        """Whether one more client may come from there. If so, ``leave`` must be told whose socket it was."""
        if self.addresses is None or self.addresses.enter(address):
            return True
        self.over_address += 1
        return False

    def leave(self, client: Any = None) -> None:
        """A socket has been closed.

        :param client: a connection or arrival, whose ``peer`` was admitted.
        """
        if client is not None and self.addresses is not None:
            self.addresses.leave(client.peer[0])
        self.current -= 1
        self.capacity.give_back()
        if not self.current:
            waiting, self._empty = self._empty, []
            for deferred in waiting:
                deferred.callback(None)

    def fail(self, peer: object, error: object) -> None:
        """A socket never became a connection. Scanners do that all day, so it is counted and told at level debug."""
        self.handshake_failed += 1
        log.debug("handshake with {peer} failed: {error}", peer=peer, error=error)

    def unopened(self, client: Any, error: Exception) -> None:
        """An accepted socket has been closed because no connection could be made of it; called for that error.

        :param client: a connection or arrival, whose ``peer`` was admitted.
        """
        peer = getattr(client, "peer", "a client")
        if isinstance(error, OSError):
            log.debug("{peer} has gone: {error}", peer=peer, error=error)
        else:
            log.error("a connection from {peer} could not be opened", peer=peer, log_failure=Failure(error))
        self.leave(client)

    def wait(self, socket: Abortable, patience: float) -> None:
        """A socket is not yet a connection, and is aborted unless it leaves ``pending`` within so many seconds."""
        self.pending[socket] = time.monotonic() + patience

    def made(self, link: Link) -> None:
        """A connection begins. The last ones, taken from the kernel's queue, have until the next sweep to ask."""
        self.connections[link.connection] = link
        if self.closing:
            self._late.append(link.connection)

    def lost(self, link: Link) -> None:
        """A connection has ended."""
        self.connections.pop(link.connection, None)
        self.parting.pop(link, None)
        self.leave(link.connection)

    def part(self, link: Link) -> None:
        """A TLS link closes as soon as its client has taken what is buffered and has said goodbye."""
        self.parting[link] = link.buffered(), time.monotonic()

    def sweep(self, now: float) -> None:
        """Expire what is overdue, all at once."""
        for _ in self.sweep_in_parts(now):
            pass

    def sweep_in_parts(self, now: float) -> Iterator[None]:
        """The same in parts of a fraction of a millisecond; 10,000 who are not overdue are one, and cost 0.4 ms."""
        looks = 0
        for connection in tuple(self.connections):
            if connection.deadline < now and connection in self.connections:
                self._guard(connection, connection.expire, now)
                looks += 1
                if looks % PART == 0:
                    yield
        for socket, until in tuple(self.pending.items()):
            if now >= until:
                socket.abort()
        for link, (size, since) in tuple(self.parting.items()):
            left = link.buffered()
            if left != size:
                self.parting[link] = left, now
            elif now - since >= (self.limits.send_timeout if left else self.limits.linger_timeout):
                link.abort()
        late, self._late = self._late, []
        for connection in late:
            if connection in self.connections:
                self._guard(connection, connection.drain)
        self.capacity.make_room(now)

    def _guard(self, connection: IConnection, act: Callable[..., object], *args: object) -> None:
        """One broken connection must not keep the sweep from the others."""
        try:
            act(*args)
        except Exception:  # noqa: BLE001 - whatever it is, it is logged and ends that connection only
            log.failure("a connection failed in the sweep")
            if link := self.connections.get(connection):
                link.abort()

    def shed(self, link: Link) -> None:
        """Ask an idle client to go, so that another can come."""
        link.told = True
        self.closed_idle += 1
        self._guard(link.connection, link.connection.drain)

    def drain(self) -> None:
        """Ask all to go, but see ``made``. Who has not even sent a first byte is closed; handshakes may finish."""
        self.closing = True
        for connection in self.connections.keys() - set(self._late):
            self._guard(connection, connection.drain, FAREWELL)
        for socket in tuple(self.pending):
            if getattr(socket, "silent", False):
                socket.abort()

    def end_all(self, detail: str) -> None:
        """The grace is over: give all that is due a clear end."""
        for connection in tuple(self.connections):
            self._guard(connection, connection.end, detail)

    def abort_all(self) -> None:
        """Close all sockets now."""
        for link in (*self.connections.values(), *self.pending):
            link.abort()

    def emptied(self) -> Deferred[None]:
        """Fires when no socket is open."""
        if not self.current:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._empty.append(deferred)
        return deferred
