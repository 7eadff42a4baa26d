"""docs/strictness.md is true: each test it names exists, and each refusal of the parser is on the page."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "strictness.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| Rule", "| ---"))
]
TESTS = sorted(set(re.findall(r"`(tests/\S+?\.py::\S+?)`", PAGE)))
REFUSING = (*sorted((ROOT / "tinfront" / "wire").glob("*.py")), ROOT / "tinfront/http/target.py")


def answers():
    """Status and reason of all refusals in the rooms that read requests."""
    found = set()
    for path in REFUSING:
        text = path.read_text("utf-8")
        found.update(re.findall(r'ProtocolError\(\s*(\d{3}), "([a-z0-9.-]+)"', text))
        found.update(("400", reason) for reason in re.findall(r'_line_end\([^"]*"([a-z-]+)"\)', text))
    text = (ROOT / "tinfront/filters/encoded_slashes.py").read_text("utf-8")
    found.update(re.findall(r'refuse\((\d{3}), "([a-z-]+)"', text))
    return sorted(found)


def defined(path, names):
    """Whether a file has the function, or the class and its method."""
    nodes = ast.parse(path.read_text("utf-8")).body
    for name in names:
        inner = [node for node in nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name]
        if not inner:
            return False
        nodes = inner[0].body
    return True


def test_the_patterns_find_something():
    assert {("400", "bad-chunk"), ("400", "bad-trailer"), ("505", "bad-version"), ("400", "encoded-slash")} <= set(
        answers()
    )
    assert len(ROWS) > 40
    assert all(len(row) == 4 for row in ROWS)


@pytest.mark.parametrize("name", TESTS)
def test_each_test_that_is_named_exists(name):
    file, *names = name.split("::")
    assert names[-1].startswith("test_")
    assert (ROOT / file).exists()
    assert defined(ROOT / file, names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_each_rule_has_a_section_an_answer_and_a_test(row):
    rule, section, answer, test = row
    assert rule
    assert re.fullmatch(r"((9110|9112|9113|3875|3986) [\d., ]+)?", section)
    assert re.fullmatch(r"(|none|\*goes on\*|\d{3}( `[a-z0-9.-]+`)?(, (or none|\*goes on\*))?)", answer)
    assert test.strip("`") in TESTS


@pytest.mark.parametrize("answer", answers(), ids="-".join)
def test_each_refusal_is_on_the_page(answer):
    status, reason = answer
    assert any(row[2].startswith(f"{status} `{reason}`") for row in ROWS)
