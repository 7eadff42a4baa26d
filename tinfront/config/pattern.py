r"""The pattern in the header of a route: ``/static/``, ``= /health`` or ``~ ^/u/\d+$``. Used by ``routes.py``."""

from __future__ import annotations

import re
from urllib.parse import unquote

from tinfront.config.option import compile_regex


def parse_pattern(text: str) -> tuple[str, str]:
    """The kind of a pattern and the pattern itself, as the path of a request will show it.

    A request's path is the latin-1 text of its decoded bytes (``http.target``); so is what is returned.

    :raises ValueError: it can never match, or is no pattern at all.
    """
    if not text:
        raise ValueError("has no pattern, expected [route:SITE PATTERN]")
    if text.startswith("~*"):
        raise ValueError(f'"{text}" is not a pattern, did you mean "~ (?i){text[2:].strip()}"?')
    if text.startswith("~"):
        regex = text[1:].strip()
        compile_regex(regex)
        as_sent = _as_sent(regex)
        compile_regex(as_sent)
        return "regex", as_sent
    kind, path = ("exact", text[1:].strip()) if text.startswith("=") else ("prefix", text)
    if path.startswith("^~"):
        raise ValueError(f'"{path}" is not a pattern, did you mean "{path[2:].strip()}" or "~ ^{path[2:].strip()}"?')
    if not path.startswith("/"):
        raise ValueError(f'"{text}" is not a pattern: it begins with neither /, = nor ~, did you mean "/{path}"?')
    if "?" in path:
        raise ValueError(f'"{path}": a pattern sees the path only, nothing from the ? on')
    if re.search(r"%[0-9A-Fa-f]{2}", path):
        raise ValueError(f'"{path}" is compared with the decoded path, did you mean "{unquote(path)}"?')
    if {".", ".."} & set(path.split("/")):
        raise ValueError(f'"{path}" can never match: the segments . and .. are resolved first')
    return kind, _as_sent(path)


def show_pattern(kind: str, pattern: str) -> str:
    """The text that parses to this kind and pattern."""
    text = pattern.encode("latin-1").decode("utf-8", "replace")
    return {"prefix": "", "exact": "= ", "regex": "~ "}[kind] + text


def _as_sent(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")
