"""What all connections of one listener share: where they lead, what they may, what they are made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.logger import Logger

from tinfront.config.model import Limits
from tinfront.front.pages import Pages
from tinfront.front.proxies import NOBODY, Proxies
from tinfront.front.report import Report
from tinfront.front.spool import Budget
from tinfront.routing.table import Table
from tinfront.wire.codec import Preamble
from tinfront.wire.h1_head import HeadParser


@dataclass(slots=True)
class Terms:
    """Terms of service, so to speak.

    :ivar table: hosts and routes.
    :ivar limits: bounds and deadlines.
    :ivar parser: of heads, with its memo.
    :ivar preamble: status line, Server and Date; someone calls its ``tick`` once a second.
    :ivar pages: error pages.
    :ivar budget: disk space for bodies.
    :ivar memory_max: bytes of one body, each way, that stay in memory.
    :ivar file_max: bytes of one response that may wait on disk.
    :ivar descriptors: ``IDescriptors``.
    :ivar call_soon: runs a callable in a later turn of the loop.
    :ivar codec_for: an ``ICodec`` for a transport by what its handshake agreed on, or None for HTTP/1.
    :ivar certificate_of: the certificate a transport's handshake used, or None; comparable with that of a site.
    :ivar proxies: whose word on their clients is taken.
    :ivar observers: ``on_finish`` methods for exchanges that found no route.
    :ivar report: says in the error log why an exchange was refused or cut; its ``tick`` comes once a second.
    """

    table: Table
    limits: Limits
    parser: HeadParser
    preamble: Preamble
    pages: Pages
    budget: Budget
    memory_max: int
    file_max: int
    descriptors: Any
    call_soon: Callable[[Callable[[], Any]], Any]
    codec_for: Callable[[Any], Any] | None = None
    certificate_of: Callable[[Any], object] = lambda _: None
    proxies: Proxies = NOBODY
    observers: tuple[Callable[[Any], None], ...] = ()
    clock: Callable[[], float] = time.monotonic
    log: Logger = field(default_factory=lambda: Logger(namespace="tinfront"))
    report: Report = field(default_factory=lambda: Report(Logger(namespace="tinfront")))
