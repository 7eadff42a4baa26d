"""What ``tinfront check`` tries beyond reading the file: all that a start may trip over, as far as it leaves no trace.

Called by ``cli``; ``service`` logs the ``cautions``. Nothing is written, and no app is imported: that runs code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from tinfront.config.model import Config, Place, Site
from tinfront.errors import ConfigError
from tinfront.front.endpoint import parse_endpoint
from tinfront.front.tls import Certificates
from tinfront.keeper.local import LocalKeeper


@dataclass(slots=True)
class Inspection:
    """What has come of it, one readable line each.

    :ivar findings: why the server would not start.
    :ivar notes: what whoever runs the site may want to know, or what could not be looked at.
    """

    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def inspect(config: Config, reactor: Any) -> Inspection:
    """Load certificates and parse endpoint strings. What this user may not read is a note: the server's may."""
    found = Inspection(notes=cautions(config))
    _certificates(config, found)
    _endpoints(config, reactor, found)
    return found


def cautions(config: Config) -> list[str]:
    """What is allowed, and may surprise."""
    return [
        f"{_at(app.place)} [app:{app.name}] mode: an app with mode = threads runs in the process that serves all "
        f"{len(config.sites)} sites: it can slow them all, and end them all"
        for app in config.apps.values()
        if app.mode == "threads" and len(config.sites) > 1
    ]


def _at(place: Place) -> str:
    return f"{place.file}:{place.line}:"


def _certificates(config: Config, found: Inspection) -> None:
    if not any(listener.tls for listener in config.listeners):
        return  # nobody would read them

    @implementer(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "tinfront.tls" and event.get("log_level") is LogLevel.warn:
            found.notes.append(formatEvent(event))

    sites = [site for site in config.sites if _may_read(site, found)]
    globalLogPublisher.addObserver(observe)
    try:
        if sites:
            Certificates(sites, LocalKeeper({}), config.directory).read(sites)
    except ConfigError as error:
        found.findings += error.findings
    finally:
        globalLogPublisher.removeObserver(observe)


def _may_read(site: Site, found: Inspection) -> bool:
    """Whether the site has files that can be looked at; one for development is made at the first start."""
    if site.certificate in {None, "development"}:
        return False
    for option in ("certificate", "certificate_key"):
        path = getattr(site, option) or site.certificate
        try:
            with open(path, "rb"):
                pass
        except PermissionError:
            where = f"{_at(site.place)} [site:{site.name}] {option}"
            found.notes.append(f"{where}: {path} may not be read by this user, and was not checked")
            return False
        except OSError:
            pass  # whoever loads it says so
    return True


def _endpoints(config: Config, reactor: Any, found: Inspection) -> None:
    for listener in config.listeners:
        if listener.endpoint:
            try:
                parse_endpoint(listener, reactor)
            except ConfigError as error:
                # Sockets of systemd are passed to the server alone.
                unknown = isinstance(error.__cause__, PermissionError) or listener.endpoint.startswith("systemd:")
                (found.notes if unknown else found.findings).extend(error.findings)
