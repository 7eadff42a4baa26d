"""Findings: what is wrong with a configuration, where, and what may have been meant.

They are collected while the loader goes on, and raised all at once in the order of files and lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tinfront.config.model import Place
from tinfront.errors import ConfigError


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """``, did you mean "x"?`` for the candidate nearest to ``word``; empty if none is near."""
    if len(word) > 60:  # comparing is quadratic, and nobody mistypes that much
        return ""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(word.lower(), by_lower, 1, 0.6)
    return f', did you mean "{by_lower[near[0]]}"?' if near else ""


class Findings:
    """Collects findings, so that nothing stops at the first."""

    __slots__ = ("_files", "_found")

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._found: list[tuple[int, int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def open(self, file: str) -> None:
        """Note that ``file`` is read now: findings are sorted in the order in which files were read."""
        self._files.setdefault(file, len(self._files))

    def add(self, place: Place, where: str, message: str) -> None:
        """Note one finding. ``where`` is ``[section]`` or ``[section] option``, or empty."""
        self.open(place.file)
        line = f"{place.file}:{place.line}: {where}{': ' if where else ''}{message}"
        self._found.append((self._files[place.file], place.line, line))

    def raise_if_any(self) -> None:
        """End here if something was found.

        :raises ConfigError: with every finding, by file and line.
        """
        if self._found:
            self._found.sort(key=lambda found: found[:2])
            raise ConfigError(*(line for _, _, line in self._found))
