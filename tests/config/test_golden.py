"""Every ``tests/golden/NAME.ini`` gives what ``NAME.model`` shows, or the errors in ``NAME.errors``."""

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from tinfront.config.load import load
from tinfront.config.model import Place
from tinfront.errors import ConfigError

GOLDEN = Path(__file__).parent.parent / "golden"


def plain(value):
    """The model as JSON can hold it; fields that have their default are left out."""
    if is_dataclass(value):
        return {
            field.name: plain(getattr(value, field.name))
            for field in fields(value)
            if not isinstance(getattr(value, field.name), Place)
            and getattr(value, field.name) != field.default
            and getattr(value, field.name) not in ((), {})
        }
    if isinstance(value, re.Pattern):
        return f"re {value.pattern}"
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item not in (None, (), "", False)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def outcome(name, vocabulary):
    """The suffix of the expected file and what belongs in it."""
    try:
        config = load(name, vocabulary)
    except ConfigError as error:
        return ".errors", "".join(f"{line}\n" for line in error.findings).replace(str(GOLDEN), "$HERE")
    text = json.dumps(plain(config), indent=1, ensure_ascii=False)
    return ".model", text.replace(str(GOLDEN), "$HERE") + "\n"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.ini")), ids=lambda path: path.stem)
def test_golden(path, vocabulary, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    suffix, text = outcome(path.name, vocabulary)
    assert text == path.with_suffix(suffix).read_text()
    assert not path.with_suffix({".errors": ".model", ".model": ".errors"}[suffix]).exists()


def test_there_are_goldens_of_both_kinds():
    suffixes = [path.suffix for path in GOLDEN.iterdir()]
    assert suffixes.count(".ini") == suffixes.count(".model") + suffixes.count(".errors")
    assert suffixes.count(".model") >= 5
    assert suffixes.count(".errors") >= 10
