"""The sections of the INI file and their options. Read by ``load.py`` and ``docs.py``.

A route has, besides its rows here, the options of its handler; a filter those of its type.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tinfront.config import option as kinds
from tinfront.config.address import addresses, hosts, proxies, unix_path
from tinfront.config.finding import did_you_mean
from tinfront.config.model import App, Limits, Listener, Route, Server
from tinfront.config.option import Kind, Option, resolve

_MEBI = 1024**2
_DAY = 86400.0

# The model holds the defaults; the rows only repeat them.
_SERVER = Server()
_LISTENER = Listener("")
_LIMITS = Limits()
_ROUTE = Route("", "", "", "")
_APP = App("", "")


def _workers(text: str, directory: str) -> int:
    if text == "auto":
        return len(os.sched_getaffinity(0))
    value = kinds.integer_between(1, 1024).parse(text, directory)
    assert isinstance(value, int)
    return value


def _certificate(text: str, directory: str) -> str:
    return text if text == "development" else str(kinds.file.parse(text, directory))


def _log(text: str, directory: str) -> str:
    return text if text in {"-", "off"} else resolve(text, directory)


def _log_format(text: str, directory: str) -> str:  # noqa: ARG001 - every parser is given the directory
    if "%" not in text and text not in {"combined", "json"}:
        hint = did_you_mean(text, ("combined", "json"))
        raise ValueError(f'"{text}" is neither combined nor json, nor a format with atoms such as %(h)s{hint}')
    return text


def _filter_type(text: str, directory: str) -> str:
    if ":" in text and text.endswith("()"):
        raise ValueError(f'"{text}" is not of the form package.module:object; it is not called')
    return str((kinds.module_object if ":" in text else kinds.word).parse(text, directory))


def _positive(low: float = 0.001) -> Kind:
    return kinds.seconds_between(low, 365 * _DAY)


_NOT_NEGATIVE = _positive(0.0)
_LIMIT = kinds.size_between(64, 16 * _MEBI)

SERVER = (
    Option(
        "include",
        kinds.lines,
        (),
        "More files to read: names or patterns such as conf.d/*.ini, one a line, relative to the file that names "
        "them. May also stand before the first section.",
    ),
    Option(
        "access_log",
        Kind("a path, - (standard output) or off", _log),
        _SERVER.access_log,
        "Where each exchange is logged.",
    ),
    Option(
        "access_log_format",
        Kind("combined, json, or a format with atoms such as %(h)s", _log_format),
        _SERVER.access_log_format,
        "How each exchange is logged: in the combined form of nginx and Apache, as one JSON object a line, or in a "
        "form of your own with the atoms of gunicorn.",
    ),
    Option(
        "error_pages",
        kinds.directory,
        _SERVER.error_pages,
        "A directory with pages of your own for errors, such as 404.html. Without it they are plain and short.",
    ),
    Option("server_header", kinds.boolean, _SERVER.server_header, "Whether responses name the server in Server."),
    Option(
        "grace",
        _NOT_NEGATIVE,
        _SERVER.grace,
        "How long running exchanges may go on once the server has been told to stop.",
    ),
    Option(
        "spool_dir",
        kinds.directory,
        _SERVER.spool_dir,
        "The directory of the temporary files of large bodies. Without it the system's is taken.",
    ),
    Option("spool_memory", kinds.size, _SERVER.spool_memory, "A body larger than this goes to a temporary file."),
    Option(
        "spool_max",
        kinds.size,
        _SERVER.spool_max,
        "What the bodies of all exchanges together may take on disk. Beyond it requests are answered 503.",
    ),
    Option(
        "response_file_max",
        kinds.size,
        _SERVER.response_file_max,
        "What one response may take on disk while its client is slow. Beyond it the worker waits.",
    ),
    Option("static_cache", kinds.size, _SERVER.static_cache, "Memory for small static files that are asked for often."),
    Option(
        "connections_max",
        kinds.integer_between(0),
        _SERVER.connections_max,
        "How many clients may be connected. Zero takes what the limit on open files allows.",
    ),
    Option(
        "control",
        Kind("the path of a unix socket", unix_path),
        _SERVER.control,
        "The unix socket on which tinfront status, reload and stop talk to the server. Without it there is none.",
    ),
)

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
        _positive(),
        _LIMITS.head_timeout,
        "The time a client has for the whole head of a request, from its first byte; then 408.",
    ),
    Option(
        "body_timeout", _positive(), _LIMITS.body_timeout, "The time within which more of a body must come; then 408."
    ),
    Option(
        "body_rate",
        kinds.size,
        _LIMITS.body_rate,
        "The bytes a second that a request body must come with on average; a slower one is answered 408. Zero: none.",
    ),
    Option("body_rate_grace", _NOT_NEGATIVE, _LIMITS.body_rate_grace, "How long body_rate is not asked for."),
    Option(
        "send_timeout",
        _positive(),
        _LIMITS.send_timeout,
        "The time within which a client must take more of a response; then the connection is cut.",
    ),
    Option(
        "keepalive_timeout",
        _NOT_NEGATIVE,
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
        "keepalive_time", _positive(), _LIMITS.keepalive_time, "How old a connection may grow between two requests."
    ),
    Option(
        "linger_time",
        _NOT_NEGATIVE,
        _LIMITS.linger_time,
        "How long in all to read on from a client that was refused, so that it gets to see the answer.",
    ),
    Option("linger_timeout", _NOT_NEGATIVE, _LIMITS.linger_timeout, "How long to wait for more while reading on."),
    Option("handshake_timeout", _positive(), _LIMITS.handshake_timeout, "The time a client has for its TLS handshake."),
)

SITE = (
    Option(
        "hosts",
        hosts,
        (),
        "The names the site answers for, without port. *.demo.test stands for all names below demo.test.",
    ),
    Option(
        "default",
        kinds.boolean,
        False,
        "Whether the site answers for hosts that no site names. Without such a site they are answered "
        "404, over TLS 421.",
    ),
    Option(
        "certificate",
        Kind("a path, or development", _certificate),
        None,
        "The site's certificate chain, a PEM file. With development a self-signed one is made at the first start.",
    ),
    Option(
        "certificate_key",
        kinds.file,
        None,
        "The key of the certificate, a PEM file. Without it the key is looked for in the certificate's file.",
    ),
    Option(
        "encoded_slashes",
        kinds.choice("pass", "reject"),
        "pass",
        "What becomes of a path with an encoded slash (%2F) or backslash (%5C). With pass it is decoded like any other "
        "character, so that routes, files and PATH_INFO see a slash, as with nginx and gunicorn; the target as it was "
        "sent is in REQUEST_URI. With reject the answer is 400. One beside a dot segment is always rejected.",
    ),
)

ROUTE = (
    Option(
        "filters",
        kinds.words,
        (),
        "What requests and responses pass through, in order: names of [filter:NAME] sections, or of types of filter "
        "that need no options.",
    ),
    Option("body_limit", kinds.size, _ROUTE.body_limit, "The largest body of a request; a larger one is answered 413."),
    Option("access_log", kinds.boolean, _ROUTE.access_log, "Whether exchanges of this route are logged."),
)

APP = (
    Option("wsgi", kinds.module_object, None, "The WSGI application, or a factory of it.", required=True),
    Option("path", kinds.existing_paths, (), "Directories in which the application and its packages are found."),
    Option("chdir", kinds.directory, None, "The working directory of the application."),
    Option("env", kinds.pairs, {}, "Variables of the application's environment."),
    Option(
        "mode",
        kinds.choice("prefork", "threads"),
        "prefork",
        "Whether the application runs in processes of its own, or in threads of the server.",
    ),
    Option(
        "workers",
        Kind("an integer of at least 1, or auto", _workers),
        _APP.workers,
        "How many processes run the application. With auto it is one for each processor that may be used.",
    ),
    Option(
        "threads",
        kinds.integer_between(1, 1024),
        _APP.threads,
        "How many requests each process runs at once; with mode = threads, how many in all.",
    ),
    Option(
        "timeout",
        _NOT_NEGATIVE,
        _APP.timeout,
        "The time from the start of a request to the first byte of its response; then 504 and a new worker. Zero: "
        "none.",
    ),
    Option(
        "startup_timeout",
        _positive(),
        _APP.startup_timeout,
        "The time within which a worker must be ready.",
    ),
    Option(
        "queue_max",
        kinds.integer_between(1, 1000000),
        _APP.queue_max,
        "How many requests may wait for a worker; more are answered 503 at once.",
    ),
    Option(
        "queue_timeout",
        _positive(),
        _APP.queue_timeout,
        "How long a request may wait for a worker; then it is answered 503.",
    ),
    Option(
        "queue_newest_after",
        _NOT_NEGATIVE,
        _APP.queue_newest_after,
        "When the oldest request has waited this long, the newest is served first, until there is time for the others "
        "again: under lasting overload some clients are served quickly, in place of all too late. Zero: never.",
    ),
    Option(
        "queue_fair",
        kinds.boolean,
        _APP.queue_fair,
        "Whether clients take turns when all workers are busy, so that one with many connections cannot keep the "
        "others waiting. A client is an address, or the /64 of an IPv6 address.",
    ),
    Option(
        "preload",
        kinds.boolean,
        _APP.preload,
        "Whether the application is imported once, before the workers are forked, so that they share its memory.",
    ),
)

FILTER = (
    Option(
        "type",
        Kind("a type of filter, or package.module:object", _filter_type),
        None,
        "What the filter does. Its other options are those of its type.",
        required=True,
    ),
)


@dataclass(frozen=True, slots=True)
class SectionRows:
    """One kind of section: how its header is written, what it is for, and its options."""

    form: str
    doc: str
    options: tuple[Option, ...]


SECTIONS: Mapping[str, SectionRows] = {
    "server": SectionRows("[server]", "What holds for the whole server.", SERVER),
    "listen": SectionRows("[listen:NAME]", "Where clients connect, and how patient the server is there.", LISTEN),
    "site": SectionRows("[site:NAME]", "A virtual host.", SITE),
    "route": SectionRows(
        "[route:SITE PATTERN]",
        "A part of a site. `/static/` is a prefix, `= /health` an exact path, `~ ^/u/\\d+$` a regular expression. An "
        "exact path wins over all, then the first expression that matches, then the longest prefix. One more option "
        "names the handler that answers, and the handler's options stand beside it.",
        ROUTE,
    ),
    "app": SectionRows("[app:NAME]", "A WSGI application and the workers that run it.", APP),
    "filter": SectionRows("[filter:NAME]", "Changes what passes through the routes that name it.", FILTER),
}

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What the NAME of a section may be."""
