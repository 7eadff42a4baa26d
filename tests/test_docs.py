"""Pages that are rendered are what the source renders."""

from pathlib import Path

from tinfront.catalog import discover
from tinfront.config.docs import render

DOCS = Path(__file__).parent.parent / "docs"


def test_the_option_reference_is_up_to_date():
    assert (DOCS / "options.md").read_text("utf-8") == render(discover()), "run: make docs"
