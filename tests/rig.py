"""Listeners on real sockets, driven by the test: on a uvloop loop, an asyncio loop, or a Twisted reactor of its own.

Clients are blocking code in a thread; ``rig.run`` turns the loop until it is done.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from contextlib import suppress

import trustme
import uvloop
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock
from zope.interface import implementer

from tinfront.config.model import Address, Limits, Site
from tinfront.config.model import Listener as Model
from tinfront.front.listener import Capacity, Ground, Listener
from tinfront.front.tls import Certificates
from tinfront.interfaces import IConnection
from tinfront.keeper.local import LocalKeeper

PATIENCE = 20.0
FAR = float("inf")


@implementer(IConnection)
class Echo:
    """Sends back what it gets, and notes what happens to it."""

    def __init__(self, arrival):
        self.arrival = arrival
        self.peer = arrival.peer
        self.deadline = FAR
        self.transport = None
        self.received = b""
        self.calls = []
        self.keep_open = False
        self.echo = True
        self.take = None
        self.lost = 0
        self.error = "not lost"
        self.idle = FAR

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data):
        self.received += data
        if self.take is not None:
            self.take(data)
        elif self.echo:
            self.transport.write(data)

    def eof_received(self):
        self.calls.append("eof")
        return self.keep_open

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, error):
        self.lost += 1
        self.error = error

    def expire(self, now):
        self.calls.append("expire")
        self.transport.abort()

    def drain(self, farewell=0.0):
        self.calls.append("drain")
        self.transport.close()

    def end(self, detail):
        self.calls.append("end")
        self.transport.abort()

    def idle_since(self):
        return self.idle


class Rig:
    """One kind of loop, and the listeners started on it."""

    def __init__(self, kind):
        self.kind = kind
        self.fast = kind != "reactor"
        self.keeper = LocalKeeper({})
        self.capacity = Capacity()
        self.connections = []
        self.listeners = []
        self.loop = None
        if kind == "reactor":
            self.reactor = EPollReactor()
        else:
            self.loop = uvloop.new_event_loop() if kind == "uvloop" else asyncio.new_event_loop()
            self.reactor = Clock()

    # --- turning

    def spin(self):
        """Some turns of the loop, a few milliseconds at most."""
        if self.loop is not None:
            self.loop.call_later(0.002, self.loop.stop)
            self.loop.run_forever()
        else:
            self.reactor.iterate(0.002)

    def until(self, condition):
        """Turn until the condition holds; fail the test if it never does."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            self.spin()

    def run(self, client, *args):
        """Run a blocking client in a thread; its result or exception."""
        outcome = []

        def body():
            try:
                outcome.append((client(*args), None))
            except BaseException as error:
                outcome.append((None, error))

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        self.until(lambda: not thread.is_alive())
        result, error = outcome[0]
        if error is not None:
            raise error
        return result

    # --- making

    def ground(self, certificates=None):
        return Ground(self.reactor, self.keeper, self.capacity, self.loop, certificates)

    def build(self, arrival):
        connection = Echo(arrival)
        self.connections.append(connection)
        return connection

    def make(self, *addresses, build=None, certificates=None, **options):
        """A listener that is not started yet."""
        options.setdefault("limits", Limits())
        model = Model("web", addresses=addresses, tls=certificates is not None, **options)
        listener = Listener(model, build or self.build, self.ground(certificates))
        self.listeners.append(listener)
        return listener

    def listen(self, *addresses, **options):
        """A listener that accepts; by default on a free port of 127.0.0.1."""
        listener = self.make(*(addresses or [Address("tcp", "127.0.0.1", 0)]), **options)
        listener.privilegedStartService()
        listener.startService()
        return listener

    def connect(self, listener):
        """A connected blocking client, and the connection made for it."""
        before = len(self.connections)
        client = dial(listener)
        self.until(lambda: len(self.connections) > before and self.connections[-1].transport is not None)
        return client, self.connections[-1]

    # --- ending

    def close(self):
        for listener in self.listeners:
            gone = listener.stopService()
            self.until(lambda gone=gone: gone.called)
        self.keeper.close()
        self.capacity.give_spares()
        for _ in range(3):
            self.spin()
        if self.loop is not None:
            self.loop.close()
        else:
            for call in self.reactor.getDelayedCalls():
                call.cancel()
            for selectable in self.reactor.removeAll() + list(self.reactor._internalReaders):
                with suppress(Exception):
                    selectable.connectionLost(None)
            self.reactor._poller.close()


def port_of(listener):
    return int(listener.bound[0].rpartition(":")[2])


def dial(listener):
    """A blocking socket connected to the first address of a listener."""
    where = listener.bound[0]
    if where.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(where[5:])
        return sock
    host, _, port = where.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), PATIENCE)


def certify(folder):
    """The certificates of a site one.test."""
    issued = trustme.CA().issue_cert("one.test")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "pem"))
    return Certificates([Site("one", ("one.test",), True, f"{folder}/pem", f"{folder}/pem")], LocalKeeper({}), folder)


def shake(listener, version=ssl.TLSVersion.TLSv1_3):
    """A connected blocking client that has shaken hands with it."""
    context = trusting()
    context.maximum_version = version
    return context.wrap_socket(dial(listener), server_hostname="one.test")


def trusting():
    """What a client needs that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def read_all(sock):
    """What comes until the end."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def talk(sock, data):
    """Send, then receive as many bytes."""
    sock.sendall(data)
    back = b""
    while len(back) < len(data) and (piece := sock.recv(65536)):
        back += piece
    return back
