"""From INI text to the model, or to the full list of what is wrong with it. Called by ``cli``, ``tap`` and ``reload``.

The files are read (``files.py``), each section's options are parsed by their rows (``block.py``), the model is put
together here, and what contradicts itself is found by ``checks.py``. Nothing stops at the first error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from tinfront.config import checks, option
from tinfront.config.address import parse_address
from tinfront.config.app_options import APP
from tinfront.config.block import Block
from tinfront.config.files import Reader
from tinfront.config.finding import Findings, did_you_mean
from tinfront.config.listen_options import LIMITS
from tinfront.config.model import App, Config, Limits, Listener, Place, Route, Server, Site
from tinfront.config.routes import RouteReader, read_filter
from tinfront.config.schema import NAME, SECTIONS
from tinfront.config.source import DISK, Source
from tinfront.config.tokens import Section
from tinfront.config.vocabulary import Vocabulary
from tinfront.errors import ConfigError


def load(path: str, vocabulary: Vocabulary, source: Source = DISK) -> Config:
    """Read the configuration in the file at ``path``.

    :param source: where it, and what it includes, is read.
    :raises ConfigError: with everything that is wrong with it.
    """
    findings = Findings()
    reader = Reader(findings, source)
    reader.read(path, path)
    if not reader.sections:
        findings.raise_if_any()
    return _Builder(reader.sections, vocabulary, findings).build(path, os.path.dirname(os.path.abspath(path)))


def loads(text: str, vocabulary: Vocabulary, name: str = "site.ini", directory: str = "") -> Config:
    """Read the configuration in ``text``.

    :param name: what the text is called in errors.
    :param directory: what relative paths are relative to; the working directory if empty.
    :raises ConfigError: with everything that is wrong with it.
    """
    findings = Findings()
    reader = Reader(findings)
    directory = os.path.abspath(directory)
    reader.read_text(text, name, directory)
    return _Builder(reader.sections, vocabulary, findings).build(name, directory)


def control_socket(path: str) -> str | None:
    """What the file at ``path`` says for ``control``, whatever else may be wrong with it.

    :raises ConfigError: the file cannot be read.
    """
    findings = Findings()
    reader = Reader(findings)
    reader.read(path, path)
    if not reader.sections:
        findings.raise_if_any()
    for section in reader.sections:
        if section.header.strip() == "server":
            block = Block(section, "", Findings())
            block.parse(SECTIONS["server"].options)
            found: str | None = block.values["control"]
            return found
    return None


def single_app(wsgi: str, *, bind: Sequence[str], workers: int, threads: int, vocabulary: Vocabulary) -> Config:
    """A configuration without a file: one app, found from the working directory, that answers everything.

    :param bind: addresses as in ``[listen:NAME]``; none is 127.0.0.1:8000.
    :raises ConfigError: with everything that is wrong with the arguments.
    """
    directory = os.getcwd()
    findings: list[str] = []
    addresses = []
    for text in bind or ["127.0.0.1:8000"]:
        try:
            addresses.append(parse_address(text, directory))
        except ValueError as error:
            findings.append(f"bind: {error}")
    rows = {row.name: row.kind for row in APP}
    for name, text in (("wsgi", wsgi), ("workers", str(workers)), ("threads", str(threads))):
        try:
            rows[name].read(text, directory)
        except ValueError as error:
            findings.append(f"{name}: {error}")
    if findings:
        raise ConfigError(*findings)
    settings = option.settings(vocabulary.handler("app").OPTIONS, {"app": "app"}, directory)
    route = Route("app", "prefix", "/", "app", settings)
    return Config(
        directory,
        listeners=(Listener("http", tuple(addresses)),),
        sites=(Site("app", default=True, routes=(route,)),),
        apps={"app": App("app", wsgi, (directory,), workers=workers, threads=threads)},
    )


class _Builder:
    """Makes the model of all sections."""

    def __init__(self, sections: list[Section], vocabulary: Vocabulary, findings: Findings) -> None:
        self._findings = findings
        self._vocabulary = vocabulary
        self._blocks: dict[str, dict[str, Block]] = {word: {} for word in SECTIONS}
        for section in sections:
            if not section.broken:
                self._sort_in(section)

    def build(self, file: str, directory: str) -> Config:
        """Parse every section, then check the whole.

        :raises ConfigError: with everything that is wrong.
        """
        blocks = self._blocks
        for word in ("server", "listen", "site", "app"):
            for block in blocks[word].values():
                block.parse(SECTIONS[word].options)
                block.reject_unknown(SECTIONS[word].options)
        _settle_default(list(blocks["site"].values()))
        apps = {name: App(name, **block.values, place=block.place) for name, block in blocks["app"].items()}
        filters = {name: read_filter(block, self._vocabulary) for name, block in blocks["filter"].items()}
        routes = RouteReader(self._vocabulary, blocks["site"], apps, filters).read(blocks["route"].values())
        checks.check(blocks, Place(file, 1), self._findings)
        self._findings.raise_if_any()
        return Config(
            directory,
            _server(blocks["server"].get("")),
            tuple(_listener(block) for block in blocks["listen"].values()),
            tuple(_site(block, routes[name]) for name, block in blocks["site"].items()),
            apps,
            filters,
            Place(file, 1),
        )

    def _sort_in(self, section: Section) -> None:
        """Find out what kind of section it is and what it is called."""
        word, _, name = (part.strip() for part in section.header.partition(":"))
        if word not in SECTIONS:
            first, _, rest = section.header.partition(" ")
            hint = f', did you mean "{first}:{rest.strip()}"?' if first in SECTIONS else did_you_mean(word, SECTIONS)
            self._findings.add(section.place, section.title, f"unknown section{hint}")
            return
        block = Block(section, name, self._findings)
        if word == "server":
            if name:
                block.complain("", "the section is written [server]")
        elif not name:
            block.complain("", f"has no name, expected {SECTIONS[word].form}")
            return
        elif word == "route":
            name = f"{section.place.file}:{section.place.line}"  # routes.py tells which are the same
        elif not NAME.fullmatch(name):
            block.complain("", f'"{name}" is not a name: use letters, digits, _, . and -')
        known = self._blocks[word].setdefault(name, block)
        if known is not block:
            block.complain("", f"the section is given twice, first at {known.place.file}:{known.place.line}")
            block.parse(SECTIONS[word].options)


def _settle_default(sites: list[Block]) -> None:
    """A site alone, of which nothing is said, answers everybody."""
    if len(sites) == 1 and sites[0].given.keys().isdisjoint(("hosts", "default")):
        sites[0].values["default"] = True


def _server(block: Block | None) -> Server:
    if block is None:
        return Server()
    return Server(**{name: value for name, value in block.values.items() if name != "include"})


def _listener(block: Block) -> Listener:
    limits = Limits(**{field: block.values[name] for name, field in LIMITS.items()})
    others = {name: value for name, value in block.values.items() if name not in LIMITS and name != "address"}
    return Listener(block.name, block.values["address"], **others, limits=limits, place=block.place)


def _site(block: Block, routes: tuple[Route, ...]) -> Site:
    values = dict(block.values)
    if values["certificate"] not in {None, "development"} and values["certificate_key"] is None:
        values["certificate_key"] = values["certificate"]
    return Site(block.name, **values, routes=routes, place=block.place)
