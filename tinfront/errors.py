"""Every error that one room may raise to another. Each knows the status a client would see and a reason code.

The reason code is one lower-case word with dashes. It stands in the error page, in the access log and in the error
log, so that "why did I get this 400?" has one answer to search for. ``docs/reasons.md`` lists them.
"""

from __future__ import annotations


class TinfrontError(Exception):
    """Base of all errors below."""


class ConfigError(TinfrontError):
    """The configuration cannot be used. Carries every finding, not only the first.

    :ivar findings: one readable line each, ``FILE:LINE: [section] option: what is wrong``.
    """

    def __init__(self, *findings: str) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


class ProtocolError(TinfrontError):
    """The client sent something that HTTP does not allow or that a limit forbids.

    :ivar status: the answer's status code.
    :ivar reason: the reason code, for example ``bad-header``.
    :ivar line: method, target and version, as far as they were understood, where there is no ``RequestHead``. Bounded;
        method and version are harmless, the target may hold any character.
    """

    line = ("-", "-", "-")

    def __init__(self, status: int, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.status = status
        self.reason = reason
        self.detail = detail


class BodyTooLarge(ProtocolError):
    """The request body is over the route's ``body_limit`` (413)."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, "body-too-large", f"the body is larger than body_limit ({limit} bytes)")


class SpoolFull(ProtocolError):
    """There is no room left to buffer this body, in memory or on disk (503)."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(503, "spool-full", detail)


class ClientGone(TinfrontError):
    """The client left before its answer was complete."""


class StopNow(SystemExit):
    """Raised in an app, wherever it is, when its worker is told a second time to stop."""


class BodyLost(ClientGone, OSError):
    """The rest of a request body that an app reads while it comes will never come. An app may see it as OSError."""
