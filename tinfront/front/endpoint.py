"""``endpoint = …``: any Twisted endpoint string as a way in. It accepts by itself, and may bring a TLS of its own.

Made by ``listener``; the links are those of ``bridge``.
"""

# ruff: noqa: N802 - Twisted's interfaces name their methods so

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from tinfront.config.model import Listener
from tinfront.errors import ConfigError
from tinfront.front.bridge import BridgeLink, wrap_tls
from tinfront.front.roll import Arrival, Roll
from tinfront.front.sockets import CannotListen
from tinfront.front.tls import Certificates
from tinfront.http.forwarded import Trust
from tinfront.interfaces import IConnection

log = Logger(namespace="tinfront.listen")


def parse_endpoint(model: Listener, reactor: Any) -> Any:
    """The ``IStreamServerEndpoint`` that the section's string stands for. It does not listen yet.

    :raises ConfigError: the string makes no sense, whatever it was that its parser raised; that is the cause.
    """
    try:
        return serverFromString(reactor, model.endpoint or "")
    except Exception as error:  # parsers are plugins, and Twisted's own do not look at what they are given
        raise _config_error(model, error) from error


def _config_error(model: Listener, error: Exception) -> ConfigError:
    where = f"{model.place.file}:{model.place.line}: [listen:{model.name}] endpoint"
    why = str(error) if isinstance(error, (ValueError, OSError)) and str(error) else repr(error)
    return ConfigError(f"{where}: {model.endpoint}: {why}")


class EndpointDoor:
    """A listening endpoint of a ``[listen:…]`` section.

    :ivar factory: what it makes connections with.
    """

    def __init__(self, model: Listener, factory: EndpointFactory, certificates: Certificates | None) -> None:
        """Listen; ``certificates`` if TLS of ours goes on top.

        :raises ConfigError: the string makes no sense.
        :raises CannotListen: it cannot be listened on.
        """
        self.text = text = model.endpoint or ""
        self.factory = factory
        self._port: Any = None
        self._closed = False
        wrapped = wrap_tls(factory, factory.reactor, certificates) if certificates else factory
        endpoint = parse_endpoint(model, factory.reactor)
        try:
            listening = endpoint.listen(wrapped)
        except Exception as error:  # whatever a stranger's endpoint may raise
            raise _config_error(model, error) from error
        failed: list[Failure] = []
        listening.addCallbacks(self._listening, failed.append)
        if failed:
            raise _cannot_listen(text, failed[0].value)
        # endpoints such as onion: take their time
        listening.addErrback(lambda failure: log.failure("cannot listen on {endpoint}", failure, endpoint=text))

    def _listening(self, port: Any) -> None:
        self._port = port
        if self._closed:
            self.close()

    def __str__(self) -> str:
        """``host:port`` where there is one, else the string."""
        host, port = pair(self._port.getHost()) if self._port is not None else ("", 0)
        if not host:
            return self.text
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Stop listening. Twisted does not take what the kernel has queued."""
        self._closed = True
        if self._port is not None:
            port, self._port = self._port, None
            port.stopListening()


def _cannot_listen(text: str, error: BaseException | None) -> CannotListen:
    cause: Any = error.socketError if isinstance(error, CannotListenError) else error
    why = str(getattr(cause, "strerror", None) or cause)
    return CannotListen(getattr(cause, "errno", None), f"cannot listen on {text}: {why[:1].lower()}{why[1:]}")


class EndpointLink(BridgeLink):
    """For sockets that an endpoint has accepted: only now is it known who came, and how."""

    def __init__(self, factory: EndpointFactory) -> None:
        # the connection follows in connectionMade
        super().__init__(factory.reactor, None, factory.roll, False)  # type: ignore[arg-type]
        self._factory = factory

    def connectionMade(self) -> None:
        """See ``IProtocol``. The handshake of a TLS transport is waited for, whoever's it is."""
        factory, transport = self._factory, self.transport
        assert transport is not None
        self._roll.enter()
        self._secure = ISSLTransport.providedBy(transport)
        peer = pair(transport.getPeer())
        arrival = Arrival(factory.name, peer, pair(transport.getHost()), self._secure, peer[0] in factory.trust)
        if not self._roll.admit(peer[0]):
            transport.abortConnection()  # type: ignore[attr-defined]
            return
        try:
            self.connection = factory.build(arrival)
        except Exception:  # noqa: BLE001 - logged; one client's trouble must not stop the accepting
            log.failure("a connection from {peer} could not be built", peer=arrival.peer)
            self.connection = cast("IConnection", arrival)  # for the roll: whoever was admitted must leave
            transport.loseConnection()
            return
        if isinstance(transport, FileDescriptor) and hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        super().connectionMade()


class EndpointFactory(Factory):
    """For ``IStreamServerEndpoint.listen``.

    :ivar name: of the listener.
    :ivar build: makes the connection for an ``Arrival``.
    :ivar roll: where it is entered.
    :ivar trust: proxies that are believed.
    """

    noisy = False

    def __init__(
        self, name: str, build: Callable[[Arrival], IConnection], roll: Roll, reactor: Any, trust: Trust | None = None
    ) -> None:
        self.name = name
        self.trust = trust or Trust()
        self.build = build
        self.roll = roll
        self.reactor = reactor

    def buildProtocol(self, addr: Any) -> EndpointLink | None:
        """See ``IProtocolFactory``. An endpoint cannot be told to wait, so at the bound clients are refused."""
        capacity = self.roll.capacity
        if capacity.used >= capacity.limit:
            self.roll.refused += 1
            capacity.wait(_no_resume, f"the limit of {capacity.limit} connections is reached")
            return None
        return EndpointLink(self)


def _no_resume() -> None:
    """The endpoint accepts all the time; there is nothing to resume."""


def pair(address: Any) -> tuple[str, int]:
    """A Twisted address as ``Arrival`` has it."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    return (str(host), int(port)) if host is not None and port is not None else ("", 0)
