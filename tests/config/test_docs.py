from tinfront import catalog
from tinfront.config import docs, option
from tinfront.config.option import Option
from tinfront.config.schema import SECTIONS


def test_every_row_is_on_the_page(vocabulary):
    page = docs.render(vocabulary)
    for section in SECTIONS.values():
        assert f"## `{section.form}`" in page
        for row in section.options:
            assert f"| `{row.name}` |" in page
    assert "### `respond`\n\nA fixed answer.\n" in page
    assert "### `type = quiet`\n\nNothing.\n\nIt has no options.\n" in page
    assert "| `tag` | a word | required | The tag. |" in page
    assert "| `header_timeout` | a time such as 500ms, 30s or 5m, 1ms to 365d | `30s` |" in page


def test_defaults_have_their_units():
    rows = {
        "`64k`": Option("a", option.size, 65536),
        "`500ms`": Option("a", option.seconds, 0.5),
        "`no`": Option("a", option.boolean, False),
        "`0`": Option("a", option.integer, 0),
        "none": Option("a", option.words, ()),
        "required": Option("a", option.word, required=True),
    }
    assert {text: docs.default_text(row) for text, row in rows.items()} == {text: text for text in rows}


def test_tables_cannot_be_broken_by_what_stands_in_them(vocabulary):
    for line in docs.render(vocabulary).splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") == 5


def test_every_option_that_ships_is_documented():
    found = catalog.discover()
    modules = [found.handler(word) for word in found.handlers()] + [found.filter(word) for word in found.filters()]
    assert modules
    for module in modules:
        assert module.__doc__
        for row in module.OPTIONS:
            assert row.doc.endswith("."), row.name
    assert docs.render(found).startswith("# Options\n")
