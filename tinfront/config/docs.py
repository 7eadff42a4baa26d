"""The reference page of all options, as Markdown, rendered from the rows that the loader reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tinfront.config.option import Option
from tinfront.config.schema import SECTIONS
from tinfront.config.vocabulary import Vocabulary

_INTRODUCTION = """\
# Options

A configuration is one INI file, and what it includes. Comments stand on lines of their own, behind `#` or `;`. An
indented line continues the value above it. Sizes are written `8k`, `10m`, `1g` or in bytes, times `500ms`, `30s`, `5m`,
`1h` or `7d`, switches `yes` or `no`. Relative paths are relative to the file in which they stand.
"""


def render(vocabulary: Vocabulary) -> str:
    """The page: the core sections, then every handler and every filter that the vocabulary knows.

    :raises ConfigError: a handler or filter cannot be imported.
    """
    return "\n".join(_lines(vocabulary)) + "\n"


def _lines(vocabulary: Vocabulary) -> Iterator[str]:
    yield _INTRODUCTION
    for rows in SECTIONS.values():
        yield f"## `{rows.form}`\n\n{rows.doc}\n"
        yield from _table(rows.options)
    yield "## Handlers\n\nThe option that is named like the handler makes it answer the route.\n"
    for word in sorted(vocabulary.handlers()):
        module = vocabulary.handler(word)
        yield f"### `{word}`\n\n{_summary(module)}"
        yield from _table(module.OPTIONS)
    yield "## Filters\n\nA `[filter:NAME]` section with `type` and these options.\n"
    for word in sorted(vocabulary.filters()):
        module = vocabulary.filter(word)
        yield f"### `type = {word}`\n\n{_summary(module)}"
        yield from _table(module.OPTIONS)


def _table(rows: Iterable[Option]) -> Iterator[str]:
    rows = list(rows)
    if not rows:
        yield "It has no options.\n"
        return
    yield "| Option | Value | Default | Meaning |\n| --- | --- | --- | --- |"
    for row in rows:
        yield f"| `{row.name}` | {_cell(row.kind.name)} | {_cell(default_text(row))} | {_cell(row.doc)} |"
    yield ""


def default_text(row: Option) -> str:
    """The default as one would write it, with its unit."""
    if row.required:
        return "required"
    if row.default is None or row.default in ((), {}, ""):
        return "none"
    return f"`{row.kind.show(row.default)}`"


def _summary(module: object) -> str:
    """The first paragraph of the module's docstring."""
    paragraph = " ".join((module.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")
    return f"{paragraph}\n" if paragraph else ""


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
