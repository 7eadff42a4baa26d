"""docs/reasons.md knows every reason code that the source may give."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATTERNS = (
    r'ProtocolError\(\s*\d{3}, "([a-z0-9.-]+)"',
    r'(?:refuse|_refuse)\([^")]{0,60}?\d{3}, "([a-z0-9.-]+)"',
    r'(?:abort|fail|cut)\(\s*"([a-z][a-z-]+)"',
    r'\([45]\d\d, "([a-z-]+)"',
)


def codes():
    found = {}
    for path in (ROOT / "tinfront").rglob("*.py"):
        text = path.read_text("utf-8")
        for pattern in PATTERNS:
            for match in re.finditer(pattern, text):
                found.setdefault(match[1], path.name)
    return found


def test_the_patterns_find_something():
    assert {"bad-header", "poison", "send-timeout", "no-route"} <= codes().keys()


@pytest.mark.parametrize("code", sorted(codes()))
def test_each_code_is_explained(code):
    assert f"`{code}`" in (ROOT / "docs" / "reasons.md").read_text("utf-8"), codes()[code]
