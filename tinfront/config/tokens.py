"""The INI text as sections and options with their lines. Called by ``files.py``; knows no option by name.

A comment stands on a line of its own. A line that is indented deeper than its option continues it. A header ends at
the last ``]`` of its line, so that it may hold a regular expression. Only ``=`` separates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tinfront.config.finding import Findings
from tinfront.config.model import Place

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNDECODED = re.compile(r"[\ud800-\udfff]")
_OPTION_NAME = re.compile(r"[A-Za-z][\w.-]*")


@dataclass(slots=True)
class Entry:
    """One option as written.

    :ivar lines: its value, as pairs of place and text without blanks around it; empty lines are left out.
    """

    name: str
    place: Place
    lines: list[tuple[Place, str]] = field(default_factory=list)


@dataclass(slots=True)
class Section:
    """One section as written.

    :ivar header: what stands between the brackets; empty for the lines before the first section.
    :ivar directory: what relative paths in it are relative to.
    :ivar broken: the header could not be read, so its options mean nothing.
    """

    header: str
    place: Place
    entries: list[Entry] = field(default_factory=list)
    directory: str = ""
    broken: bool = False

    @property
    def title(self) -> str:
        """The section as findings name it."""
        return f"[{self.header}]" if self.header else ""


def tokenise(text: str, file: str, findings: Findings) -> list[Section]:
    """Cut ``text`` into sections; the first has no header. Whatever cannot be read is noted and left out.

    Bytes that were not UTF-8 are expected as lone surrogates, as ``errors="surrogateescape"`` makes them.
    """
    sections = [Section("", Place(file, 1))]
    entry: Entry | None = None
    indent = 0
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.removesuffix("\r")
        place = Place(file, number)
        stripped = line.strip(" \t")
        if not stripped or stripped[0] in "#;":
            continue
        if problem := _unreadable(stripped):
            findings.add(place, sections[-1].title, problem)
            continue
        depth = _depth(line)
        if entry is not None and depth > indent:
            entry.lines.append((place, stripped))
            continue
        indent = depth
        if stripped[0] == "[":
            sections.append(_header(stripped, place, findings))
            entry = None
        else:
            entry = _option(stripped, place, sections[-1], findings)
    return sections


def _depth(line: str) -> int:
    wide = line.expandtabs(8)
    return len(wide) - len(wide.lstrip(" "))


def _unreadable(line: str) -> str:
    if _UNDECODED.search(line):
        return "not UTF-8"
    if found := _CONTROL.search(line):
        return f"control character \\x{ord(found[0]):02x}"
    return ""


def _header(line: str, place: Place, findings: Findings) -> Section:
    header, bracket, rest = line[1:].rpartition("]")
    if not bracket:
        findings.add(place, "", f'the section header "{line}" has no closing ]')
        return Section(line[1:], place, broken=True)
    section = Section(header.strip(), place)
    if rest.strip():
        hint = "; comments stand on their own lines" if rest.strip()[0] in "#;" else ""
        findings.add(place, section.title, f'"{rest.strip()}" stands behind the closing ]{hint}')
    return section


def _option(line: str, place: Place, section: Section, findings: Findings) -> Entry:
    name, equals, value = line.partition("=")
    name, value = name.strip(), value.strip()
    entry = Entry(name, place, [(place, value)] if value else [])
    if not equals:
        hint = "; only = separates" if ":" in line else ""
        findings.add(place, section.title, f'"{line}" is neither a section header nor an option (name = value){hint}')
    elif not _OPTION_NAME.fullmatch(name):
        findings.add(place, section.title, f'"{name}" is not the name of an option')
    else:
        section.entries.append(entry)
    return entry
