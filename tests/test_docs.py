"""Pages that are rendered are what the source renders."""

from pathlib import Path

from tinfront.catalog import discover
from tinfront.config.docs import render
from tinfront.config.load import loads

DOCS = Path(__file__).parent.parent / "docs"
README = DOCS.parent / "README.md"


def test_the_option_reference_is_up_to_date():
    assert (DOCS / "options.md").read_text("utf-8") == render(discover()), "run: make docs"


def test_the_file_that_the_readme_begins_with_is_right():
    text = README.read_text("utf-8").partition("```ini\n")[2].partition("```")[0]
    assert text.count("\n") == 5
    config = loads(text, discover())
    assert [app.wsgi for app in config.apps.values()] == ["mysite.wsgi:application"]
    assert config.sites[0].default
