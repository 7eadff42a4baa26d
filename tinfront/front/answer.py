"""What happens to a response between the handler and the wire: its filters, and that head and body agree.

Functions for ``exchange``, apart only so that the life of a request there can be read in one go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tinfront.http.message import Body, FileSlice, ResponseHead
from tinfront.routing.table import BoundRoute

if TYPE_CHECKING:
    from tinfront.front.exchange import Exchange


def bodiless(method: str, status: int) -> bool:
    """Whether no body is sent, whatever there is (RFC 9112 section 6.3)."""
    return method == "HEAD" or status in (204, 304)


def filtered(exchange: Exchange, route: BoundRoute, head: ResponseHead, body: Body) -> tuple[ResponseHead, Body, Any]:
    """Ask each response filter once; only those that return a transform touch the body.

    :returns: head, body, and the transforms that are still to be applied, nearest to the handler first.
    """
    if head.block is not None:
        head = head.copy()
    transforms = []
    for on_response in route.response_filters:
        transform = on_response(exchange, head)
        if transform is not None:
            transforms.append(transform)
    if transforms:
        head.length = None
        if type(body) is bytes and not bodiless(exchange.head.method, head.status):
            return head, change(transforms, body, True), []  # known whole: its new length will be known, too
    return head, body, transforms


def change(transforms: Iterable[Any], data: bytes, last: bool) -> bytes:
    """What body transforms make of some bytes; after the ``last``, each one's rest goes through those behind it."""
    for transform in transforms:
        if data:
            data = transform.feed(data)
        if last:
            data += transform.finish()
    return data


def fit(method: str, head: ResponseHead, body: bytes) -> tuple[ResponseHead, bytes]:
    """Make length and body agree; where no body is sent, the length may speak of the one that a GET would get."""
    without = bodiless(method, head.status)
    if (without and head.length is None and body) or (not without and head.length != len(body)):
        head = head.copy()
        head.length = len(body)
    return head, b"" if without else body


def send_file(exchange: Exchange, head: ResponseHead, piece: FileSlice) -> bytes | None:
    """Send a file with its head past the transport, as far as the kernel takes it; most leave in this one go.

    :returns: what is left of the head (then ``exchange.sent`` is 0); None if there is no way past.
    """
    connection = exchange.connection
    bypass = connection.bypass()
    if bypass is None or not head.length or head.length != piece.length or bodiless(exchange.head.method, head.status):
        return None
    codec = connection.codec
    data: bytes = codec.send_head(exchange.stream_id, head, False)
    exchange.status = head.status
    if codec.raw_bodies:
        data, exchange.sent = bypass.send_at_once(data, piece)
        if exchange.sent == piece.length:
            codec.send_body(exchange.stream_id, b"", True)
    return data


def discard(body: Body) -> None:
    """Nobody will send this body: whoever makes it may stop."""
    if not isinstance(body, (bytes, FileSlice, list)):
        body.stop()


def report(exchange: Exchange, status: int, detail: str) -> None:
    """One line that says why; the access log only has the code."""
    log = exchange.connection.terms.log
    (log.debug if status in (404, 405) else log.info)(
        '{peer} "{method} {target}" {status} {reason}: {detail} [{id}]',
        peer=exchange.peer[0] or "unix:",
        method=exchange.head.method,
        target=exchange.head.target,
        status=status,
        reason=exchange.reason,
        detail=detail or "-",
        id=exchange.request_id,
    )
