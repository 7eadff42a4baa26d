"""What a configuration names that may take privileges to open. Read by the keeper's process, which grants nothing else.

It needs no plugins: routes and filters name nothing of the kind. A reading is quick, so it is done again whenever
something is asked for that the last one did not name.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from tinfront.config.block import Block
from tinfront.config.files import Reader
from tinfront.config.finding import Findings
from tinfront.config.model import Address, App, Place
from tinfront.config.schema import SECTIONS
from tinfront.config.source import Recorder

_FRONT_S = frozenset(
    (
        *("place", "workers", "workers_min", "workers_max", "threads", "timeout", "startup_timeout", "queue_max"),
        *("queue_timeout", "queue_newest_after", "queue_fair"),
        *("max_requests", "max_requests_jitter", "max_lifetime", "max_rss"),
    )
)
"""Fields of an app that only the front heeds: they decide neither what is run nor as whom."""

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Charter:
    """One reading. Equal if nothing has changed in what it names.

    :ivar keys: paths of certificates and keys; ``logs`` likewise; ``sockets``: of unix sockets.
    """

    addresses: tuple[Address, ...] = ()
    keys: frozenset[str] = frozenset()
    logs: frozenset[str] = frozenset()
    sockets: frozenset[str] = frozenset()
    apps: Mapping[str, App] = field(default_factory=dict)

    def may_bind(self, asked: Address) -> bool:
        """Whether an address of the configuration stands for this one, which has no name for a host any more."""
        return any(_stands_for(named, asked) for named in self.addresses)

    def app(self, name: str, mark: str) -> App | None:
        """The app of this name, if ``mark`` is its fingerprint."""
        app = self.apps.get(name)
        return app if app is not None and fingerprint(app) == mark else None


def read_charter(path: str) -> Charter:
    """Read the file at ``path``, and what it includes.

    :raises ConfigError: with what is wrong with its sections, routes and filters aside.
    """
    findings = Findings()
    reader = Reader(findings)
    reader.read(path, path)
    found: dict[str, dict[str, Mapping[str, Any]]] = {word: {} for word in ("server", "listen", "site", "app")}
    places: dict[str, Place] = {}
    for section in reader.sections:
        word, _, name = (part.strip() for part in section.header.partition(":"))
        if word in found and not section.broken:
            found[word].setdefault(name, Block(section, name, findings).parse(SECTIONS[word].options))
            if word == "app":
                places.setdefault(name, section.place)
    findings.raise_if_any()
    return _charter(found, places, os.path.dirname(os.path.abspath(path)))


def record(path: str) -> bytes:
    """What is needed to load the file at ``path`` where it cannot be read: a ``source.Record`` answers from it."""
    recorder = Recorder()
    Reader(Findings(), recorder).read(path, path)  # whoever loads it finds what is wrong with it
    return recorder.encode()


def _charter(
    found: Mapping[str, Mapping[str, Mapping[str, Any]]], places: Mapping[str, Place], directory: str
) -> Charter:
    servers = found["server"].values()
    addresses = tuple(address for values in found["listen"].values() for address in values["address"])
    control = {values["control"] for values in servers if values["control"] is not None}
    keys = set()
    for name, values in found["site"].items():
        if values["certificate"] == "development":
            keys.add(development_pem(directory, name))
        elif values["certificate"] is not None:
            keys.add(values["certificate"])
        if values["certificate_key"] is not None:
            keys.add(values["certificate_key"])
    return Charter(
        addresses,
        frozenset(keys),
        frozenset(values["access_log"] for values in servers if values["access_log"] not in {"-", "off"}),
        frozenset(control | {address.path for address in addresses if address.kind == "unix"}),
        {name: App(name, **values, place=places[name]) for name, values in found["app"].items()},
    )


def development_pem(directory: str, site: str) -> str:
    """Where the development certificate of a site lies; ``directory`` is that of the configuration."""
    return os.path.join(directory, ".tinfront", quote(site, safe="") + ".pem")


def fingerprint(app: App) -> str:
    """A text that differs for apps that differ in what is run, or as whom."""
    values = {name: value for name, value in asdict(app).items() if name not in _FRONT_S}
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=repr).encode("ascii")).hexdigest()


def _stands_for(named: Address, asked: Address) -> bool:
    if named.kind != asked.kind:
        return False
    if named.kind != "tcp":
        return named.kind == "unix" and named.path == asked.path
    if named.port != asked.port and (named.port or asked.port < 1024):
        return False  # to listen on "any port" takes no privileges, so one below 1024 is not meant
    if not named.host:
        return asked.host in _EVERYWHERE
    return named.host == asked.host or asked.host in _addresses_of(named.host)


def _addresses_of(host: str) -> Iterable[str]:
    try:
        return {str(sockaddr[0]) for *_, sockaddr in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return ()
