"""Error pages: status, reason code and request id, as HTML or, where the client prefers it, JSON.

A directory of one's own pages may hold ``404.html`` (one status), ``error.html`` (all others), and the same with
``.json``. ``{status}``, ``{phrase}``, ``{reason}``, ``{hint}`` and ``{request_id}`` are filled in; other braces are
left alone.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from tinfront.errors import ConfigError
from tinfront.http.accept import prefers_json
from tinfront.http.message import ResponseHead
from tinfront.http.status import reason as phrase_of

_PAGE_MAX = 256 * 1024
_NAME = re.compile(r"(error|[45]\d\d)\.(html|json)").fullmatch
_SLOT = re.compile(r"\{(status|phrase|reason|hint|request_id)\}")

HINTS = {
    "app-not-ready": "The application is starting, or could not be started.",
    "app-timeout": "The application did not answer in time.",
    "body-timeout": "The request body did not arrive in time.",
    "body-too-large": "The request body is larger than body_limit allows here.",
    "body-too-slow": "The request body arrived too slowly.",
    "head-timeout": "The request did not arrive in time.",
    "head-too-large": "The headers of the request are larger than header_max allows.",
    "header-too-long": "A header of the request is longer than header_field_max allows.",
    "line-too-long": "The address is longer than header_line_max allows.",
    "http2-on-plain-port": "This port speaks HTTP/1.1. HTTP/2 is agreed on by ALPN, over TLS.",
    "no-host": "The request does not say which host it is for.",
    "queue-full": "The site is busy. Please try again in a moment.",
    "queue-timeout": "The site is busy. Please try again in a moment.",
    "spool-full": "The server has no room for the request body now. Please try again later.",
    "stopping": "The server is being restarted. Please try again in a moment.",
    "tls-on-plain-port": "This port speaks plain HTTP: use http:// in the address.",
    "too-many-headers": "The request has more headers than header_fields_max allows.",
    "unknown-host": "No site of this server has that name.",
    "wrong-certificate": "That site has to be asked for on a connection of its own.",
}
"""What tells a visitor, or whoever runs the site, what to do next. The details are for the log."""

_HTML = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {phrase}</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 36rem; margin: 18vh auto 0; padding: 0 1.5rem }
h1 { font-size: 1.5rem; font-weight: 600; margin: 0 0 .25rem }
p { margin: .25rem 0; opacity: .75 }
code { font: .875rem ui-monospace, monospace }
</style>
<h1>{status} {phrase}</h1>
<p>{hint}</p>
<p><small><code>{reason}</code>, request <code>{request_id}</code></small></p>
</html>
"""

_HTML_WITHOUT_HINT = _HTML.replace("<p>{hint}</p>\n", "")


class Pages:
    """All error pages of a server."""

    def __init__(self, directory: str | None = None) -> None:
        """Read the pages of ``directory``, if there is one.

        :raises ConfigError: it cannot be read, or a page is larger than 256 KiB.
        """
        self._own: dict[tuple[str, str], str] = {}
        if directory is not None:
            self._read(directory)

    def _read(self, directory: str) -> None:
        try:
            for name in sorted(os.listdir(directory)):
                match = _NAME(name)
                if match is None:
                    continue
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    text = file.read(_PAGE_MAX + 1)
                if len(text) > _PAGE_MAX:
                    raise ConfigError(f"{directory}/{name}: an error page may have {_PAGE_MAX} characters at most")
                self._own[match[1], match[2]] = text
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"error_pages = {directory}: {error}") from error

    def make(self, exchange: Any, status: int, reason: str) -> tuple[ResponseHead, bytes]:
        """The page for one refused exchange."""
        values = {
            "status": status,
            "phrase": phrase_of(status),
            "reason": reason,
            "hint": HINTS.get(reason, ""),
            "request_id": exchange.request_id,
        }
        if prefers_json(exchange.head.fields.get("accept")):
            kind, media = "json", "application/json"
        else:
            kind, media = "html", "text/html; charset=utf-8"
        template = self._own.get((str(status), kind)) or self._own.get(("error", kind))
        if template is None and kind == "json":
            text = json.dumps(values) + "\n"
        else:
            text = _SLOT.sub(
                lambda match: str(values[match[1]]), template or (_HTML if values["hint"] else _HTML_WITHOUT_HINT)
            )
        body = text.encode("utf-8")
        fields = [("Content-Type", media), ("Cache-Control", "no-store"), ("X-Request-ID", exchange.request_id)]
        return ResponseHead(status, fields, len(body)), b"" if exchange.head.method == "HEAD" else body
