"""From a file, or a text, to the sections of it and of all that it includes. Called by ``load.py``.

``include = conf.d/*.ini`` stands before the first section or in ``[server]``; the sections of the files it names
take their place behind the section that it stands in.
"""

from __future__ import annotations

import os

from tinfront.config.finding import Findings
from tinfront.config.model import Place
from tinfront.config.source import DISK, FILE_MAX, Source
from tinfront.config.tokens import Entry, Section, tokenise

_FILES_MAX = 1000


class Reader:
    """Reads a configuration's files, each once.

    :param source: where they come from.
    :ivar sections: all sections so far, in order; those without a header are left out.
    """

    def __init__(self, findings: Findings, source: Source = DISK) -> None:
        self.sections: list[Section] = []
        self._findings = findings
        self._source = source
        self._open: list[str] = []  # absolute paths of the files that include one another just now
        self._seen: set[str] = set()

    def read(self, file: str, path: str, place: Place | None = None) -> None:
        """Read the file at ``path``; ``file`` is its name in findings, ``place`` where it is included."""
        real = os.path.realpath(path)
        if place is not None and not self._may_include(file, real, place):
            return
        self._seen.add(real)
        try:
            data = self._source.read(path)
        except OSError as error:
            self._complain(place, file, f"cannot be read: {error.strerror}")
            return
        if len(data) > FILE_MAX:
            self._complain(place, file, f"is larger than {FILE_MAX} bytes")
            return
        self._open.append(real)
        self.read_text(data.decode("utf-8", "surrogateescape"), file, os.path.dirname(os.path.abspath(path)))
        self._open.pop()

    def read_text(self, text: str, file: str, directory: str) -> None:
        """Read ``text``, which is named ``file`` in findings; paths in it are relative to ``directory``."""
        self._findings.open(file)
        for section in tokenise(text, file, self._findings):
            section.directory = directory
            includes = [entry for entry in section.entries if entry.name == "include"]
            if section.header:
                self.sections.append(section)
            else:
                for entry in section.entries:
                    if entry.name != "include":
                        self._findings.add(entry.place, "", f"{entry.name}: no section has been opened yet")
            if section.header in {"", "server"}:
                for entry in includes:
                    self._include(entry, file, directory)

    def _include(self, entry: Entry, file: str, directory: str) -> None:
        for place, pattern in entry.lines:
            if any(character in pattern for character in "*?["):
                found = self._source.match(pattern, directory)
            else:
                found = [pattern]
            for name in found:
                self.read(os.path.join(os.path.dirname(file), name), os.path.join(directory, name), place)

    def _may_include(self, file: str, real: str, place: Place) -> bool:
        if real in self._open:
            self._complain(place, file, "includes itself")
        elif real in self._seen:
            self._complain(place, file, "is included already")
        elif len(self._seen) >= _FILES_MAX:
            self._complain(place, file, f"is one more than {_FILES_MAX} files")
        else:
            return True
        return False

    def _complain(self, place: Place | None, file: str, message: str) -> None:
        """Where the file is included, or, of the main file, in its first line."""
        if place is None:
            self._findings.add(Place(file, 1), "", message)
        else:
            self._findings.add(place, "include", f"{file} {message}")
