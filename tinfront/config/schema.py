"""The sections of the INI file and their options. Read by ``load.py`` and ``docs.py``.

A route has, besides its rows here, the options of its handler; a filter those of its type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tinfront.config import accounts
from tinfront.config import option as kinds
from tinfront.config.address import hosts, unix_path
from tinfront.config.app_options import APP
from tinfront.config.listen_options import LISTEN
from tinfront.config.logformat import parse_log_format
from tinfront.config.model import Route, Server
from tinfront.config.option import Kind, Option, resolve

_MEBI = 1024**2

# The model holds the defaults; the rows only repeat them.
_SERVER = Server()
_ROUTE = Route("", "", "", "")


def _certificate(text: str, directory: str) -> str:
    return text if text == "development" else str(kinds.file.parse(text, directory))


def _log(text: str, directory: str) -> str:
    return text if text in {"-", "off"} else resolve(text, directory)


def _filter_type(text: str, directory: str) -> str:
    if ":" in text and text.endswith("()"):
        raise ValueError(f'"{text}" is not of the form package.module:object; it is not called')
    return str((kinds.module_object if ":" in text else kinds.word).parse(text, directory))


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
        Kind("combined, json, or a format with atoms such as %(h)s", parse_log_format),
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
        kinds.not_negative,
        _SERVER.grace,
        "How long running exchanges may go on once the server has been told to stop.",
    ),
    Option(
        "drain_delay",
        kinds.not_negative,
        _SERVER.drain_delay,
        "How long clients are still accepted once the server has been told to stop. A ready route answers 503 from the "
        "beginning, so that a balancer in front can send its clients elsewhere meanwhile.",
    ),
    Option(
        "spool_dir",
        kinds.directory,
        _SERVER.spool_dir,
        "The directory of the temporary files of large bodies. Without it the system's is taken.",
    ),
    Option("spool_memory", kinds.size, _SERVER.spool_memory, "A body larger than this goes to a temporary file."),
    Option(
        "spool_memory_max",
        kinds.size,
        _SERVER.spool_memory_max,
        "What the bodies of all exchanges together may take in memory. Beyond it they go to temporary files at once.",
    ),
    Option(
        "spool_max",
        kinds.size,
        _SERVER.spool_max,
        "What the bodies of all exchanges together may take on disk. Beyond it requests are answered 503, and "
        "responses that wait for a slow client are cut after 5 s.",
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
    Option(
        "user",
        accounts.user,
        _SERVER.user,
        "Started as root, the server goes on as this user once it has opened ports, keys and logs. What needs root "
        "later, as at a reload, a small process beside it does. Without it the server stays who has started it.",
    ),
    Option("group", accounts.group, _SERVER.group, "The group that goes with user. Without it the user's own."),
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
        "404, over TLS 421. The only site of a configuration is the default one, unless it has hosts.",
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
