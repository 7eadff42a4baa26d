"""The map of the house: every interface, in the order a request meets them.

Interfaces are checked when things are put together, never per request. The words are those of RFC 9110 and nginx.
"""

# zope.interface methods have no self, and their bodies are their docstrings.
# ruff: noqa: N805, D205

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from tinfront.http.message import Body, ResponseHead


# --- below the house: what it asks of the machine -------------------------------------------------------------------


class IDescriptors(Interface):
    """Who watches descriptors. An asyncio event loop is one as it stands; any Twisted reactor can be made one."""

    def add_reader(fd: int, callback: Callable[..., object], *args: Any) -> Any:
        """Call ``callback`` whenever ``fd`` is readable, until ``remove_reader``."""

    def remove_reader(fd: int) -> Any:
        """Stop watching ``fd`` for reading; harmless if it was not watched."""

    def add_writer(fd: int, callback: Callable[..., object], *args: Any) -> Any:
        """Call ``callback`` whenever ``fd`` is writable, until ``remove_writer``."""

    def remove_writer(fd: int) -> Any:
        """Stop watching ``fd`` for writing; harmless if it was not watched."""


class IKeeper(Interface):
    """The one seam through which privileged things are opened, so that another process may do it."""

    def bind(address: Any, backlog: int) -> socket.socket:
        """A listening socket for a ``config.model.Address``.

        :raises OSError: it cannot be bound.
        """

    def read_key(path: str) -> bytes:
        """The contents of a certificate or key file; or an OSError."""

    def open_log(path: str) -> int:
        """A descriptor that appends to a log file, which is made if it is missing; or an OSError."""

    def configuration() -> Any:
        """Where the files of the configuration are read for a reload, a ``config.source.Source``; or an OSError."""

    def start_nursery(app: Any, preload: bool, inherited: Mapping[str, int]) -> Any:
        """Start a nursery for a ``config.model.App``, as its user; returns what has ``pid``, ``poll`` and ``kill``.

        :param inherited: descriptors by the names under which the nursery is told of them.
        :raises OSError: it cannot be started.
        """

    def signal(pid: int, pidfd: int, number: int) -> None:
        """Send a signal to a worker whose nursery is dead, if that is possible; it may be another user's."""


# --- front: bytes to exchanges ----------------------------------------------------------------------------------------


class ITransport(Interface):
    """What a connection needs of the transport below it: a part of ``asyncio.Transport``, with its meanings."""

    def write(data: bytes) -> None:
        """Send soon; what the kernel does not take at once is buffered."""

    def writelines(pieces: Iterable[bytes]) -> None:
        """Send several pieces in order."""

    def get_write_buffer_size() -> int:
        """Bytes written but not yet taken by the kernel."""

    def set_write_buffer_limits(high: int | None = None, low: int | None = None) -> None:
        """The marks at which the connection's ``pause_writing`` and ``resume_writing`` are called."""

    def pause_reading() -> None:
        """Deliver nothing until ``resume_reading``."""

    def resume_reading() -> None:
        """Deliver again."""

    def can_write_eof() -> bool:
        """Whether one direction can be shut alone (not on TLS)."""

    def write_eof() -> None:
        """After what is buffered has left, shut the sending direction; reading goes on."""

    def close() -> None:
        """Send what is buffered, then close."""

    def abort() -> None:
        """Close now; what is buffered is lost."""

    def is_closing() -> bool:
        """Whether the transport is closed or about to be."""

    def get_extra_info(name: str, default: Any = None) -> Any:
        """``socket`` (an object with ``fileno()``, plain TCP and unix only), ``ssl_object``, ``peername``."""


class IConnection(Interface):
    """What a transport drives: the callbacks of ``asyncio.Protocol``, by their names."""

    deadline = Attribute("Monotonic seconds after which the sweep calls ``expire``; a float, compared, never a timer.")
    peer = Attribute("(address, port) of the other side, as its ``Arrival`` had it.")

    def connection_made(transport: Any) -> None:
        """The transport is ready."""

    def data_received(data: bytes) -> None:
        """Bytes came in."""

    def eof_received() -> bool:
        """The peer has shut its sending side. True keeps ours open."""

    def pause_writing() -> None:
        """The transport's buffer is over its high mark."""

    def resume_writing() -> None:
        """The transport's buffer is below its low mark again."""

    def connection_lost(error: Exception | None) -> None:
        """It is over; called exactly once."""

    def expire(now: float) -> None:
        """The deadline has passed."""

    def drain(farewell: float = 0.0) -> None:
        """The server is stopping: close after the current answer.

        If none is due, one more request is answered if it comes within ``farewell`` seconds: it may be on its way.
        """

    def end(detail: str) -> None:
        """The grace of a stop is over: refuse (503 ``stopping``) or cut what is due, and close."""

    def idle_since() -> float:
        """The monotonic second since which nothing has been due; infinity while anything is."""


class ICodec(Interface):
    """Between a connection and the wire; the one place where HTTP/1, 2 and 3 meet. Not a plugin point.

    Pure: no socket, no clock. Methods that send return bytes for the transport. A *stream* carries one exchange;
    HTTP/1 has one at a time and numbers them, HTTP/2 has many.
    """

    multiplexed = Attribute("True: many streams at once, each with its windows, and reading never stops for one alone.")
    whole_max = Attribute("Body bytes up to which an answer may leave by ``send_response``.")
    raw_bodies = Attribute("True while a body may bypass ``send_body``, as by sendfile, but for the last, empty call.")
    closing = Attribute("True: the connection must be closed once the running responses are complete.")
    unread = Attribute("True if the client may still be sending what nobody will read.")
    until_close = Attribute("True while a body goes out that only the end of the connection ends.")
    stream_id = Attribute("The newest stream.")
    held = Attribute("Bytes that are not understood yet: a part of a message, or what is pipelined behind one. Sized.")

    def receive(data: bytes) -> Iterable[tuple[int, Any]]:
        """Take bytes (none: go on with what is held back).

        :returns: pairs of stream id and event. An event is a ``RequestHead``; ``bytes`` of a body; ``END`` after the
            last of a request that has a body (a head of length 0 has no END); ``RESET`` if the client gave the stream
            up; ``WINDOW`` if it takes more of a response's body; a ``Reply`` to be sent; or a ``ProtocolError``,
            after which nothing more is understood of that stream, or, if that is 0, of the whole connection.
        """

    def send_response(stream_id: int, head: ResponseHead, body: bytes) -> bytes:
        """A whole response at once; ``head.length`` is set. For HEAD, 204 and 304 no body bytes leave."""

    def send_head(stream_id: int, head: ResponseHead, end: bool) -> bytes:
        """An interim (1xx) or final head; ``end`` if no body follows."""

    def send_body(stream_id: int, data: bytes, end: bool) -> bytes:
        """Body bytes, never more than ``window``; ``end`` with the last, which may be empty."""

    def window(stream_id: int) -> int:
        """Body bytes that may be sent now; HTTP/1 has no limit and answers a large number."""

    def consumed(stream_id: int, count: int) -> bytes:
        """The exchange has taken ``count`` body bytes: the peer may send as many more. Asked only if ``multiplexed``.

        What is not taken when a stream ends, the codec counts as taken for the connection.
        """

    def reset(stream_id: int, error: str) -> bytes | None:
        """Give up one stream. None: only closing the connection can tell the peer (HTTP/1)."""

    def close(error: str) -> bytes:
        """Say goodbye to the whole connection (GOAWAY, or nothing)."""


# --- front: the exchange, all that a plugin may touch -----------------------------------------------------------------


class IBody(Interface):
    """A request body, complete and sealed (memory, or an unlinked temporary file)."""

    live = Attribute("False.")
    length = Attribute("Bytes.")

    def data() -> bytes | None:
        """The bytes, if the body is held in memory; else None."""

    def fileno() -> int:
        """A descriptor of the body, read-only for whoever it is passed to; held in memory, it becomes a memfd."""

    def close() -> None:
        """Give memory, disk space and descriptor back. Harmless twice."""


class IBodyReceiver(Interface):
    """What a handler that streams reads a request body with."""

    def feed(data: bytes) -> None:
        """A piece, never empty."""

    def finish() -> None:
        """That was all of it."""

    def lost() -> None:
        """The rest will never come: the client has left, sent what is no body, or the exchange has ended before."""


class IBodyFlow(Interface):
    """A request body on its way through: ``exchange.body`` for handlers that stream."""

    live = Attribute("True: there is no ``data`` yet, only what will come.")
    length = Attribute("Bytes that have come so far.")

    def read(receiver: Any) -> None:
        """Give all that comes to an ``IBodyReceiver``, beginning at once."""

    def pause() -> None:
        """Take nothing more until ``resume``: the client has to wait."""

    def resume() -> None:
        """Go on."""


class IExchange(Interface):
    """One request and its response."""

    head = Attribute("``RequestHead``.")
    site = Attribute("The ``routing.table.SiteTable`` that claims the host, or None.")
    route = Attribute("The ``routing.table.BoundRoute`` found, or None.")
    peer = Attribute("(address, port) of the client, be it by a trusted proxy's word; address is '' for unix sockets.")
    secure = Attribute("True if the client speaks https, be it to a trusted proxy.")
    body = Attribute("``IBody``; for handlers that stream ``IBodyFlow``; None if the request has none.")
    number = Attribute("Counts all exchanges of this process.")
    request_id = Attribute("``number`` as a text that is unique over restarts; in logs, error pages and environ.")
    started = Attribute("Monotonic seconds at which the head was complete.")
    local = Attribute("(host, port) of the side that was connected to; port is 0 for unix sockets.")
    queued = Attribute("Monotonic seconds at which a pool took the exchange; 0.0 if none did.")
    claimed = Attribute("Monotonic seconds at which a worker began; 0.0 if none did.")
    answered = Attribute("Monotonic seconds at which the answer's head was there.")
    pid = Attribute("Process id of the worker that answered; 0 if none did.")
    retries = Attribute("How often the exchange was given to another worker because one died.")
    when_gone = Attribute("A callable that takes the exchange, called if the client leaves before its answer; or None.")
    when_shut = Attribute(
        "The same if it shuts its side, and has most likely left; returns whether to take it for that."
    )
    finished = Attribute("True once nothing more can be answered: done, cut, or the client has left.")

    def respond(head: ResponseHead, body: Body) -> None:
        """Answer. Exactly once; the response filters see it on its way.

        Ignored if the exchange is ``finished`` or has been answered; a producer is told to ``stop`` then.
        """

    def refuse(status: int, reason: str, detail: str = "", fields: Iterable[tuple[str, str]] = ()) -> None:
        """Answer with an error page. ``reason`` is a code such as ``queue-full``; ``detail`` goes to the log only.
        A 503 without ``Retry-After`` among its ``fields`` gets one of a second.

        If the head of another answer has already left, the response is cut so that the client sees it was cut.
        """

    def abort(reason: str, detail: str = "") -> None:
        """Cut the response: the client sees that it is incomplete. ``reason`` as in ``refuse``."""


class IRequestFilter(Interface):
    """Sees a request before its body is read."""

    def on_request(exchange: Any) -> Any:
        """None: go on. An ``Answer`` (head, body): answer now. A Deferred of either: wait."""


class IResponseFilter(Interface):
    """Sees every response of its routes, error pages included."""

    def on_response(exchange: Any, head: ResponseHead) -> Any:
        """Edit ``head``, then return None, or an ``IBodyTransform`` to see the body. Asked once per response."""


class IBodyTransform(Interface):
    """Changes a response body on its way."""

    def feed(data: bytes) -> bytes:
        """Take some, give some; b"" is fine."""

    def finish() -> bytes:
        """The last bytes."""


class IHandler(Interface):
    """Answers an exchange."""

    streams = Attribute("False: called with the body sealed. True: called on the head, ``exchange.body`` then flows.")

    def handle(exchange: Any) -> None:
        """Call ``exchange.respond`` or ``exchange.refuse``, now or later."""


class IObserver(Interface):
    """Told at the end of every exchange: the access log, counters."""

    def on_finish(exchange: Any) -> None:
        """The exchange is over; nothing may change."""


class IOutbox(Interface):
    """Where a producer puts a response body; it absorbs the slow client."""

    def write(data: bytes) -> None:
        """Take a piece. At the high mark it calls the producer's ``pause``; later ``resume``."""

    def write_file(piece: Any) -> None:
        """Take a ``FileSlice``."""

    def finish() -> None:
        """The body is complete."""

    def fail(reason: str, detail: str = "") -> None:
        """The body will never be complete: cut the response. Whoever says so is not told to ``stop``."""


class IBodyProducer(Interface):
    """A response body that comes piece by piece. Its length, if known, is ``head.length``."""

    unbuffered = Attribute(
        "True: it is told to ``pause`` when the client is slow, not when a disk is full. False if missing."
    )

    def start(outbox: Any) -> None:
        """Begin to write into the ``IOutbox``; called once, right after the head has been accepted."""

    def pause() -> None:
        """Write no more until ``resume``; a piece that is already on its way is still taken."""

    def resume() -> None:
        """Go on."""

    def stop() -> None:
        """Nobody wants the rest, or any of it (then ``start`` was never called): write no more, free what is held."""


# --- workers ----------------------------------------------------------------------------------------------------------


class IWorkerPool(Interface):
    """Runs a WSGI application. Providers are Twisted services as well; ``stopService`` waits for running jobs."""

    ready = Attribute("True when at least one worker can answer.")
    shed = Attribute("Counts of exchanges that were never run: ``full``, ``timeout``, ``gone`` (``order.Shed``).")

    def submit(exchange: Any, script_name: str, unbuffered: bool = False) -> None:
        """Run the app for this exchange; its answer goes to ``exchange.respond``.

        ``exchange.body`` is an ``IBody``, or an ``IBodyFlow`` which the app reads as it comes. ``script_name`` is the
        mount point without its trailing slash. ``unbuffered``: what the app yields leaves at once. At the bound of the
        queue the answer is 503 ``queue-full`` with Retry-After.
        """

    def cancel(exchange: Any) -> None:
        """The client has left: forget the exchange. If no worker has claimed it, none will."""

    def shut(exchange: Any) -> bool:
        """The client has shut its side. It may still read, but most have left.

        The app is told if it asks. True: no worker has begun, and others wait for one; ``cancel`` will follow.
        """

    def load() -> tuple[int, int, int]:
        """How many slots are (busy, idle), and how many exchanges are waiting."""

    def oldest_wait() -> float:
        """Seconds for which the oldest of them has waited; 0.0 if none does."""


class IReply(Interface):
    """A gateway's way out, given to it once per job. Called from one thread at a time. May block for back-pressure.

    ``fields`` are the checked headers, ``workers.headers.Fields``.
    """

    unbuffered = Attribute("True: every chunk is to leave at once, whatever the app's headers say.")

    def send(status: str, fields: Any, body: bytes, length: int | None) -> None:
        """The whole answer. ``length``: the announced one where no body leaves (HEAD, 304), else ``len(body)``."""

    def start(status: str, fields: Any, data: bytes, length: int | None) -> None:
        """The head and some body; more follows. ``length`` as the app gave it, or None.

        :raises ClientGone: nobody wants the rest.
        """

    def write(data: bytes) -> None:
        """More body.

        :raises ClientGone: nobody wants the rest.
        """

    def send_file(status: str, fields: Any, fd: int, offset: int, length: int) -> None:
        """The whole answer, its body being a run of a regular file (``wsgi.file_wrapper``)."""

    def finish(data: bytes) -> None:
        """The last of a started body; the job is done."""

    def fail(reason: str, detail: str) -> None:
        """The app failed: an error page if nothing has been started, else the answer is cut."""


# --- plugins ----------------------------------------------------------------------------------------------------------


class IMaker(Interface):
    """What a plugin file exports: strings only, so that finding plugins imports nothing."""

    name = Attribute("The word used in the ini, e.g. 'compress'.")
    module = Attribute(
        "Dotted name, imported only if a site uses it. It provides OPTIONS, a tuple of config.option.Option rows, and "
        "make(settings) (filters), or make(settings, parts) (handlers)."
    )


class IFilterMaker(IMaker):
    """Makes filters: ``[filter:NAME] type = name``. ``make(settings)`` returns an object that provides one or more
    of ``IRequestFilter``, ``IResponseFilter`` and ``IObserver``; ``settings`` maps option names to parsed values.
    """


class IHandlerMaker(IMaker):
    """Makes handlers: the option ``name = …`` in a ``[route:…]`` chooses it, and its other OPTIONS stand beside it.

    ``make(settings, parts)`` returns an ``IHandler``. ``parts`` is a ``routing.chain.Parts``: the route's model, and
    the running pools by name.
    """
