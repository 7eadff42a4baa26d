"""How ``access_log_format`` is written: a word, or a text with atoms. Read by ``schema``; ``front.atoms`` fills them.

An atom is ``%(name)s``, as gunicorn has them; ``%({name}i)s`` stands for a header of the request.
"""

from __future__ import annotations

import re

from tinfront.config.finding import did_you_mean

WORDS = ("combined", "json")
"""Formats that have a name."""

ATOMS = (*"hltrmUqHsbBfaTMDLpu", "id", "reason", "site")
"""What may stand in ``%(…)s``, besides ``{name}i``."""

find_atoms = re.compile(r"%\((?:\{([^}]+)\}i|(\w+))\)s").finditer
"""The atoms of a format: group 1 is the name of a header, or group 2 the name of an atom."""


def parse_log_format(text: str, directory: str) -> str:  # noqa: ARG001 - every parser is given the directory
    """The format as it was given.

    :raises ValueError: it is neither a known word nor has it atoms, or some of them are unknown.
    """
    if "%" not in text and text not in WORDS:
        hint = did_you_mean(text, WORDS)
        raise ValueError(f'"{text}" is neither combined nor json, nor a format with atoms such as %(h)s{hint}')
    unknown = [match[0] for match in find_atoms(text) if match[2] is not None and match[2] not in ATOMS]
    if unknown:
        known = " ".join(sorted(ATOMS, key=str.lower))
        atoms = "atom" if len(unknown) == 1 else "atoms"
        raise ValueError(f"unknown {atoms} {', '.join(unknown)}; known are {known} and {{name}}i")
    return text
