"""The options of a ``[listen:NAME]``, most of which are limits; see ``schema``."""

from __future__ import annotations

from collections.abc import Mapping

from tinfront.config import option as kinds
from tinfront.config.address import addresses, proxies
from tinfront.config.model import Limits, Listener
from tinfront.config.option import Option

_MEBI = 1024**2

# The model holds the defaults; the rows only repeat them.
_LISTENER = Listener("")
_LIMITS = Limits()

_LIMIT = kinds.size_between(64, 16 * _MEBI)

LIMITS: Mapping[str, str] = {
    "header_line_max": "line",
    "header_field_max": "field",
    "header_max": "head",
    "header_fields_max": "fields",
    "header_timeout": "head_timeout",
    "body_timeout": "body_timeout",
    "body_rate": "body_rate",
    "body_rate_grace": "body_rate_grace",
    "send_timeout": "send_timeout",
    "keepalive_timeout": "keepalive_timeout",
    "keepalive_requests": "keepalive_requests",
    "keepalive_time": "keepalive_time",
    "linger_time": "linger_time",
    "linger_timeout": "linger_timeout",
    "handshake_timeout": "handshake_timeout",
    "filter_timeout": "filter_timeout",
}
"""The options of a listener that are fields of ``model.Limits``, and their names there."""

LISTEN = (
    Option(
        "address",
        addresses,
        (),
        "Where to listen. * is all addresses; systemd: takes a socket that systemd opened, by name; fd: one that was "
        "inherited, by number.",
    ),
    Option("endpoint", kinds.text, None, "A Twisted endpoint string to listen on, in place of addresses."),
    Option("tls", kinds.boolean, _LISTENER.tls, "Whether clients speak TLS, with the certificates of the sites."),
    Option(
        "backlog",
        kinds.integer_between(1, 65535),
        _LISTENER.backlog,
        "How many connections the kernel may hold until they are accepted.",
    ),
    Option(
        "connections_per_address",
        kinds.integer_between(0),
        _LISTENER.connections_per_address,
        "How many connections one address may have open; more are closed. IPv6 counts by /64. Zero: any number.",
    ),
    Option(
        "trusted_proxies",
        proxies,
        _LISTENER.trusted_proxies,
        "The proxies that may say whose address and scheme are those of the client; others' fields are dropped.",
    ),
    Option(
        "proxy_headers",
        kinds.choice("x-forwarded", "forwarded"),
        _LISTENER.proxy_headers,
        "Which fields of trusted proxies are believed: X-Forwarded-For and its relatives, or Forwarded (RFC 7239).",
    ),
    Option(
        "proxy_protocol",
        kinds.boolean,
        _LISTENER.proxy_protocol,
        "Whether every connection begins with a header of the PROXY protocol; trusted_proxies must name the senders.",
    ),
    Option("header_line_max", _LIMIT, _LIMITS.line, "The longest request line; a longer one is answered 414."),
    Option(
        "header_field_max", _LIMIT, _LIMITS.field, "The longest line of a header field; a longer one is answered 431."
    ),
    Option("header_max", _LIMIT, _LIMITS.head, "The largest head of a request; a larger one is answered 431."),
    Option(
        "header_fields_max",
        kinds.integer_between(1, 10000),
        _LIMITS.fields,
        "How many header fields a request may have; more are answered 431.",
    ),
    Option(
        "header_timeout",
        kinds.positive,
        _LIMITS.head_timeout,
        "The time a client has for the whole head of a request, from its first byte; then 408.",
    ),
    Option(
        "body_timeout",
        kinds.positive,
        _LIMITS.body_timeout,
        "The time within which more of a body must come; then 408.",
    ),
    Option(
        "body_rate",
        kinds.size,
        _LIMITS.body_rate,
        "The bytes a second that a request body must come with on average; a slower one is answered 408. Zero: none.",
    ),
    Option("body_rate_grace", kinds.not_negative, _LIMITS.body_rate_grace, "How long body_rate is not asked for."),
    Option(
        "send_timeout",
        kinds.positive,
        _LIMITS.send_timeout,
        "The time within which a client must take more of a response; then the connection is cut.",
    ),
    Option(
        "keepalive_timeout",
        kinds.not_negative,
        _LIMITS.keepalive_timeout,
        "How long a connection may wait for its next request. Zero closes after each response.",
    ),
    Option(
        "keepalive_requests",
        kinds.integer_between(1),
        _LIMITS.keepalive_requests,
        "How many requests one connection may carry.",
    ),
    Option(
        "keepalive_time", kinds.positive, _LIMITS.keepalive_time, "How old a connection may grow between two requests."
    ),
    Option(
        "linger_time",
        kinds.not_negative,
        _LIMITS.linger_time,
        "How long in all to read on from a client that was refused, so that it gets to see the answer.",
    ),
    Option("linger_timeout", kinds.not_negative, _LIMITS.linger_timeout, "How long to wait for more while reading on."),
    Option(
        "handshake_timeout", kinds.positive, _LIMITS.handshake_timeout, "The time a client has for its TLS handshake."
    ),
    Option(
        "filter_timeout",
        kinds.positive,
        _LIMITS.filter_timeout,
        "How long the request filters of a route may let a request wait, all together; then it is answered 504.",
    ),
)
