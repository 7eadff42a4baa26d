"""The page that lists a directory, for static routes with ``listing = yes``."""

from __future__ import annotations

import os
import time
from html import escape
from itertools import islice
from typing import Final
from urllib.parse import quote

LISTED_MAX: Final = 10_000
"""Entries of one page; what is beyond is not listed, and the page says so."""

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Index of {path}</title>
<style>body {{ font-family: sans-serif }} td {{ padding-right: 2em }} td:nth-child(2) {{ text-align: right }}</style>
</head>
<body>
<h1>Index of {path}</h1>
<table>
{rows}</table>
{note}</body>
</html>
"""


def listing(directory: int, path: str, dotfiles: bool) -> bytes:
    """The page for an open directory, subdirectories first.

    :param path: its URL path, decoded (latin-1 text); ends with a slash.
    :raises OSError: it cannot be read.
    """
    with os.scandir(directory) as entries:
        seen = list(islice((entry for entry in entries if dotfiles or not entry.name.startswith(".")), LISTED_MAX + 1))
    rows = sorted(_row(entry) for entry in seen[:LISTED_MAX])
    if path.strip("/"):
        rows.insert(0, (0, "", '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n'))
    note = f"<p>Only the first {LISTED_MAX} entries are listed.</p>\n" if len(seen) > LISTED_MAX else ""
    shown = escape(path.encode("latin-1").decode("utf-8", "replace"))
    return _PAGE.format(path=shown, rows="".join(row for _, _, row in rows), note=note).encode()


def _row(entry: os.DirEntry[str]) -> tuple[int, str, str]:
    """(rank, name, HTML) of an entry. A symbolic link is named, but nothing is said of what it leads to."""
    raw = os.fsencode(entry.name)
    name, size, date = raw.decode("utf-8", "replace"), "", ""
    slash = "/" if entry.is_dir(follow_symlinks=False) else ""
    if not entry.is_symlink():
        try:
            stat = entry.stat(follow_symlinks=False)
        except OSError:
            pass  # it has gone meanwhile
        else:
            date = time.strftime("%Y-%m-%d %H:%M", time.gmtime(stat.st_mtime))
            size = "" if slash else str(stat.st_size)
    link = f'<a href="./{quote(raw)}{slash}">{escape(name)}{slash}</a>'  # ./ so that no name reads as a scheme
    return (0 if slash else 1), name, f"<tr><td>{link}</td><td>{size}</td><td>{date}</td></tr>\n"
