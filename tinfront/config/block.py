"""One section with its options parsed by their rows. Made by ``load.py``, looked at again by ``checks.py``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinfront.config.finding import Findings, did_you_mean
from tinfront.config.model import Place
from tinfront.config.option import Kind, Option
from tinfront.config.schema import SECTIONS
from tinfront.config.tokens import Entry, Section


class Block:
    """A section, what it is called, and the values of its options.

    :ivar name: what follows the colon in its header.
    :ivar values: of the options parsed so far; a default stands for what is missing and for what could not be parsed,
        except that a list keeps its good items.
    :ivar given: the options that were written, well or badly.
    """

    __slots__ = ("_bad", "_findings", "given", "name", "section", "values")

    def __init__(self, section: Section, name: str, findings: Findings) -> None:
        self.section = section
        self.name = name
        self._findings = findings
        self.values: dict[str, Any] = {}
        self._bad: set[str] = set()
        self.given: dict[str, Entry] = {}
        for entry in section.entries:
            first = self.given.setdefault(entry.name, entry)
            if first is not entry and entry.name != "include":
                self._bad.add(entry.name)
                findings.add(
                    entry.place, f"{section.title} {entry.name}", f"is given twice, first in line {first.place.line}"
                )

    @property
    def place(self) -> Place:
        """Where the section begins."""
        return self.section.place

    def complain(self, option: str, message: str, place: Place | None = None) -> None:
        """Note what is wrong with an option; with the section as a whole if ``option`` is empty."""
        if place is None:
            place = self.given[option].place if option in self.given else self.section.place
        self._findings.add(place, f"{self.section.title} {option}".rstrip(), message)

    def parse(self, rows: Iterable[Option]) -> dict[str, Any]:
        """Parse the options of these rows, note what is wrong with them, and return their values."""
        found = {row.name: self._value(row) for row in rows}
        self.values |= found
        return found

    def sound(self, *options: str) -> bool:
        """Whether all of these could be parsed, or were not given: else their values are not worth a look."""
        return self._bad.isdisjoint(options)

    def reject_unknown(self, rows: Iterable[Option], hints: dict[str, str] | None = None) -> None:
        """Note every option that no row declares. ``hints`` say of some names where they belong."""
        known = [row.name for row in rows]
        for name in self.given:
            if name not in known:
                hint = (hints or {}).get(name) or _elsewhere(name) or did_you_mean(name, known)
                self.complain(name, f"unknown option{hint}")

    def _value(self, row: Option) -> Any:
        entry = self.given.get(row.name)
        if entry is None:
            if row.required:
                self._bad.add(row.name)
                self.complain(row.name, f"is missing, expected {row.kind.name}")
            return row.default
        items = []
        for place, piece in self._pieces(row.kind, entry):
            try:
                items.append(row.kind.parse(piece, self.section.directory))
            except ValueError as error:
                hint = "; comments stand on their own lines" if " ;" in piece or " #" in piece else ""
                self._fail(entry, f"{error}{hint}", place)
        if row.kind.split is None:
            return row.default if entry.name in self._bad else items[0]
        try:
            return row.kind.collect(items)
        except ValueError as error:
            self._fail(entry, str(error), entry.place)
            return row.default

    def _pieces(self, kind: Kind, entry: Entry) -> list[tuple[Place, str]]:
        if kind.split is not None:
            return [(place, piece) for place, line in entry.lines for piece in kind.split(line)]
        if len(entry.lines) > 1:
            self._fail(entry, "takes one value on one line", entry.lines[1][0])
        elif not entry.lines:
            if kind.blank:
                return [(entry.place, "")]
            self._fail(entry, f"has no value, expected {kind.name}", entry.place)
        return entry.lines

    def _fail(self, entry: Entry, message: str, place: Place) -> None:
        self._bad.add(entry.name)
        self.complain(entry.name, message, place)


def _elsewhere(name: str) -> str:
    """Where an option belongs that was written in the wrong kind of section."""
    forms = [rows.form for rows in SECTIONS.values() if any(row.name == name for row in rows.options)]
    return f"; it belongs in {' or '.join(forms)}" if forms else ""
