"""Option rows, and the kinds of value they take.

An option is declared once, as a row; the row feeds the loader, its error messages and the reference page. Core rows
are in ``schema.py``, those of a handler or filter beside the code that reads them, as ``OPTIONS``. A kind turns text
into a value, or raises ValueError with a message that a user can act on.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tinfront.config.finding import did_you_mean


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value is written.

    :ivar name: for people, with an article: ``a size such as 8k or 10m``.
    :ivar parse: (text, directory) to value; relative paths belong to that directory. Raises ValueError.
    :ivar show: value to text, such that parsing it gives the value again.
    :ivar split: cuts one line into pieces, each parsed alone; None: the option takes a single value.
    :ivar collect: makes the option's value of the parsed pieces. Raises ValueError.
    :ivar blank: whether a single value may be empty.
    :ivar refers: ``app`` if the value is the name of such a section, which must then exist.
    """

    name: str
    parse: Callable[[str, str], Any]
    show: Callable[[Any], str] = str
    split: Callable[[str], list[str]] | None = None
    collect: Callable[[list[Any]], Any] = tuple
    blank: bool = False
    refers: str = ""

    def read(self, text: str, directory: str = "") -> Any:
        """Parse a whole value, its lines separated by newlines.

        :raises ValueError: the text is no such value.
        """
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        if self.split is not None:
            return self.collect([self.parse(piece, directory) for line in lines for piece in self.split(line)])
        if len(lines) > 1:
            raise ValueError("takes one value on one line")
        if not lines and not self.blank:
            raise ValueError(f"has no value, expected {self.name}")
        return self.parse(lines[0] if lines else "", directory)


@dataclass(frozen=True, slots=True)
class Option:
    """One row: everything about one option.

    :ivar default: the parsed value that holds if the option is not given.
    :ivar doc: sentences for the reference page.
    """

    name: str
    kind: Kind
    default: Any = None
    doc: str = ""
    required: bool = field(default=False, kw_only=True)


def settings(options: Iterable[Option], given: Mapping[str, str] | None = None, directory: str = "") -> dict[str, Any]:
    """The settings that ``options`` make of texts by name: parsed, with defaults for all others.

    :raises ValueError: a bad value, an unknown name, or a required option is missing.
    """
    rows = {row.name: row for row in options}
    texts = dict(given or {})
    for name in texts:
        if name not in rows:
            raise ValueError(f"unknown option {name}{did_you_mean(name, rows)}")
    for row in rows.values():
        if row.required and row.name not in texts:
            raise ValueError(f"{row.name} is required")
    return {name: row.kind.read(texts[name], directory) if name in texts else row.default for name, row in rows.items()}


# --- single values ----------------------------------------------------------------------------------------------------

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_SIZE = re.compile(r"([+-]?[0-9]{1,15})\s*([a-zA-Z]*)")
_SIZE_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_TIME = re.compile(r"([+-]?[0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([a-zA-Z]*)")
_TIME_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME_WORDS = {"sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m"}
_TIME_WORDS |= {"minutes": "m", "hour": "h", "hours": "h", "day": "d", "days": "d", "msec": "ms", "millis": "ms"}
_BOOLEANS = {"yes": True, "on": True, "true": True, "1": True, "no": False, "off": False, "false": False, "0": False}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\x21-\x7e\x80-\xff]([\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")
_MODULE_OBJECT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*(\(\))?")


def _text(text: str, directory: str) -> str:  # noqa: ARG001 - every parser is given the directory
    return text


def _word(text: str, directory: str) -> str:  # noqa: ARG001
    if len(text.split()) != 1 or "," in text:
        raise ValueError(f'"{text}" is not one word')
    return text


def _boolean(text: str, directory: str) -> bool:  # noqa: ARG001
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise ValueError(f'"{text}" is neither yes nor no')
    return value


def _integer(text: str, directory: str) -> int:  # noqa: ARG001
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f'"{text}" is not an integer')
    return int(text)


def _size(text: str, directory: str) -> int:  # noqa: ARG001
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a size: write bytes, or 8k, 10m, 1g')
    number, unit = match.groups()
    if unit.lower() not in _SIZE_UNITS:
        hint = f', did you mean "{number}{unit[0].lower()}"?' if unit[0].lower() in "kmg" else ""
        raise ValueError(f'"{unit}" is not a unit of size, use k, m or g{hint}')
    value = int(number) * _SIZE_UNITS[unit.lower()]
    if value < 0:
        raise ValueError(f'"{text}": a size must not be negative')
    return value


def _seconds(text: str, directory: str) -> float:  # noqa: ARG001
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a time: write 500ms, 30s, 5m, 1h or 7d')
    number, unit = match.groups()
    value = float(number)
    if value < 0:
        raise ValueError(f'"{text}": a time must not be negative')
    if not unit:
        if value:
            raise ValueError(f'"{text}" has no unit of time, did you mean "{number}s"?')
        return 0.0
    if unit not in _TIME_UNITS:
        known = _TIME_WORDS.get(unit.lower(), unit.lower())
        hint = f', did you mean "{number}{known}"?' if known in _TIME_UNITS else ""
        raise ValueError(f'"{unit}" is not a unit of time, use ms, s, m, h or d{hint}')
    # Divided, since 100 * 0.001 is not 0.1.
    return value / 1000 if unit == "ms" else value * _TIME_UNITS[unit]


def _status(text: str, directory: str) -> int:
    value = _integer(text, directory)
    if not 200 <= value <= 599:
        raise ValueError(f"{text} is not a final status, expected 200 to 599")
    return value


def resolve(text: str, directory: str) -> str:
    """An absolute path of ``text``, which is relative to ``directory``."""
    return os.path.abspath(os.path.join(directory, text))


def _existing(text: str, directory: str) -> str:
    path = resolve(text, directory)
    try:
        os.stat(path)
    except PermissionError:
        pass  # whoever opens it later may be allowed to look; here we cannot know
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    return path


def _directory(text: str, directory: str) -> str:
    path = _existing(text, directory)
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(f"{path} is not a directory")
    return path


def _file(text: str, directory: str) -> str:
    path = _existing(text, directory)
    if os.path.isdir(path):
        raise ValueError(f"{path} is a directory, expected a file")
    return path


def compile_regex(text: str) -> re.Pattern[str]:
    """Compile what a user wrote.

    :raises ValueError: it is no regular expression; the message says where.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about spellings that may change their meaning one day
            return re.compile(text)
    except re.error as error:
        at = "" if error.pos is None else f" at character {error.pos + 1}"
        raise ValueError(f'"{text}" is not a regular expression: {error.msg}{at}') from None
    except (OverflowError, RecursionError):
        raise ValueError("the regular expression is too large") from None


def _regex(text: str, directory: str) -> re.Pattern[str]:  # noqa: ARG001
    return compile_regex(text)


def _module_object(text: str, directory: str) -> str:  # noqa: ARG001
    if _MODULE_OBJECT.fullmatch(text) is None:
        bare = re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", text)
        hint = f', did you mean "{text}:application"?' if bare else ""
        raise ValueError(f'"{text}" is not of the form package.module:object or package.module:factory(){hint}')
    return text


def _pair(text: str, directory: str) -> tuple[str, str]:  # noqa: ARG001
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f'"{text}" is not of the form KEY=VALUE')
    return key.strip(), value.strip()


def _header_field(text: str, directory: str) -> tuple[str, str]:  # noqa: ARG001
    name, colon, value = text.partition(":")
    value = value.strip()
    if not colon or _TOKEN.fullmatch(name) is None:
        raise ValueError(f'"{text}" is not of the form Name: value')
    if value and _FIELD_VALUE.fullmatch(value) is None:
        raise ValueError(f'the value of "{name}" has a character that no header field may hold')
    return name, value


def _field_name(text: str, directory: str) -> str:  # noqa: ARG001
    if _TOKEN.fullmatch(text) is None:
        raise ValueError(f'"{text}" is not the name of a header field')
    return text


# --- several values ---------------------------------------------------------------------------------------------------


def split_words(line: str) -> list[str]:
    """Pieces separated by commas or white space."""
    return line.replace(",", " ").split()


def split_lines(line: str) -> list[str]:
    """The line as one piece."""
    return [line]


def _pairs(items: list[tuple[str, str]]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for key, value in items:
        if key in pairs:
            raise ValueError(f'"{key}" is given twice')
        pairs[key] = value
    return pairs


# --- back to text -----------------------------------------------------------------------------------------------------


def _show_boolean(value: bool) -> str:
    return "yes" if value else "no"


def show_size(value: int) -> str:
    """Bytes as the shortest text that parses to the same: ``64k``."""
    for unit in "gmk":
        if value and value % _SIZE_UNITS[unit] == 0:
            return f"{value // _SIZE_UNITS[unit]}{unit}"
    return str(value)


def show_seconds(value: float) -> str:
    """Seconds as a text that parses to the same: ``5m``, ``500ms``."""
    if not value:
        return "0"
    for unit in "dhm":
        if value % _TIME_UNITS[unit] == 0:
            return f"{value / _TIME_UNITS[unit]:.0f}{unit}"
    if value % 1 == 0:
        return f"{value:.0f}s"
    thousands = round(value * 1000)
    return f"{thousands}ms" if thousands / 1000 == value else f"{value:.9f}".rstrip("0") + "s"


def _show_words(value: Iterable[Any]) -> str:
    return ", ".join(str(item) for item in value)


def _show_lines(value: Iterable[Any]) -> str:
    return "\n".join(str(item) for item in value)


def _show_pairs(value: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={item}" for key, item in value.items())


def _show_fields(value: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{name}: {item}" for name, item in value)


def _show_regex(value: re.Pattern[str]) -> str:
    return value.pattern


# --- the kinds --------------------------------------------------------------------------------------------------------

text = Kind("text", _text, blank=True)
word = Kind("a word", _word)
boolean = Kind("yes or no", _boolean, _show_boolean)
integer = Kind("an integer", _integer)
size = Kind("a size such as 8k or 10m", _size, show_size)
seconds = Kind("a time such as 500ms, 30s or 5m", _seconds, show_seconds)
status = Kind("a status from 200 to 599", _status)
path = Kind("a path", resolve)
existing = Kind("the path of an existing file or directory", _existing)
directory = Kind("the path of an existing directory", _directory)
file = Kind("the path of an existing file", _file)
regex = Kind("a regular expression", _regex, _show_regex)
module_object = Kind("package.module:object or package.module:factory()", _module_object)
app_name = Kind("the name of an [app:NAME] section, or package.module:object", _word, refers="app")
words = Kind("words, separated by commas or one a line", _word, _show_words, split_words)
lines = Kind("text, one a line", _text, _show_lines, split_lines)
paths = Kind("paths, one a line", resolve, _show_lines, split_lines)
existing_paths = Kind("existing paths, one a line", _existing, _show_lines, split_lines)
pairs = Kind("KEY=VALUE, one a line", _pair, _show_pairs, split_lines, _pairs)
fields = Kind("Name: value, one a line", _header_field, _show_fields, split_lines)
field_names = Kind("names of header fields, separated by commas or one a line", _field_name, _show_words, split_words)


def choice(*values: str) -> Kind:
    """One of some words."""

    def parse(text: str, directory: str) -> str:  # noqa: ARG001
        if text not in values:
            raise ValueError(f'"{text}" is not one of {", ".join(values)}{did_you_mean(text, values)}')
        return text

    return Kind(f"one of {', '.join(values)}", parse)


def integer_choice(*values: int) -> Kind:
    """One of some integers."""

    def parse(text: str, directory: str) -> int:
        value = _integer(text, directory)
        if value not in values:
            raise ValueError(f"{text} is not one of {', '.join(map(str, values))}")
        return value

    return Kind(f"one of {', '.join(map(str, values))}", parse)


def _between(kind: Kind, low: Any, high: Any) -> Kind:
    bounds = f"at least {kind.show(low)}" if high is None else f"{kind.show(low)} to {kind.show(high)}"

    def parse(text: str, directory: str) -> Any:
        value = kind.parse(text, directory)
        if value < low or (high is not None and value > high):
            raise ValueError(f"{text} is out of bounds, expected {bounds}")
        return value

    return replace(kind, name=f"{kind.name}, {bounds}", parse=parse)


def integer_between(low: int, high: int | None = None) -> Kind:
    """An integer within bounds, both included."""
    return _between(integer, low, high)


def size_between(low: int, high: int | None = None) -> Kind:
    """A size within bounds in bytes, both included."""
    return _between(size, low, high)


def seconds_between(low: float, high: float | None = None) -> Kind:
    """A time within bounds in seconds, both included."""
    return _between(seconds, low, high)


positive = seconds_between(0.001, 365 * 86400.0)
not_negative = seconds_between(0.0, 365 * 86400.0)
