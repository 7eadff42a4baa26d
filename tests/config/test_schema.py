"""The rows and the model must tell the same story."""

from dataclasses import fields

import pytest

from tinfront.config.address import show_address
from tinfront.config.app_options import APP
from tinfront.config.listen_options import LIMITS, LISTEN
from tinfront.config.model import App, Limits, Listener, Route, Server, Site
from tinfront.config.schema import ROUTE, SECTIONS, SERVER, SITE

ROWS = [(word, row) for word, section in SECTIONS.items() for row in section.options]


def names(record):
    return {field.name for field in fields(record)}


def test_each_field_of_the_model_has_its_row():
    assert names(Server) == {row.name for row in SERVER} - {"include"}
    assert names(App) - {"name", "place"} == {row.name for row in APP}
    assert names(Site) - {"name", "place", "routes"} == {row.name for row in SITE}
    assert names(Route) >= {row.name for row in ROUTE}
    renamed = {"name", "place", "limits", "addresses"}
    assert {row.name for row in LISTEN} == names(Listener) - renamed | {"address", *LIMITS}
    assert names(Limits) == set(LIMITS.values())


def test_defaults_are_those_of_the_model():
    for rows, record in ((SERVER, Server()), (APP, App("", "")), (SITE, Site("")), (ROUTE, Route("", "", "", ""))):
        for row in rows:
            if row.name != "include" and not row.required:
                assert row.default == getattr(record, row.name), row.name
    by_name = {row.name: row.default for row in LISTEN}
    assert {name: getattr(Limits(), field) for name, field in LIMITS.items()} == {
        name: by_name[name] for name in LIMITS
    }
    assert by_name["address"] == Listener("").addresses
    for name in names(Listener) & by_name.keys() - {"endpoint"}:
        assert by_name[name] == getattr(Listener(""), name), name


@pytest.mark.parametrize(("word", "row"), ROWS, ids=lambda item: getattr(item, "name", item))
def test_each_row_is_documented(word, row):
    assert row.doc.endswith("."), (word, row.name)
    assert row.doc[0].isupper()
    assert row.kind.name


@pytest.mark.parametrize(
    ("word", "row"),
    [(word, row) for word, row in ROWS if row.default is not None and not row.required],
    ids=lambda item: getattr(item, "name", item),
)
def test_each_default_can_be_written(word, row):
    assert row.kind.read(row.kind.show(row.default)) == row.default


def test_names_are_unique_within_a_section():
    for section in SECTIONS.values():
        assert len({row.name for row in section.options}) == len(section.options)


def test_access_log_is_a_place_or_a_word():
    log = next(row.kind for row in SERVER if row.name == "access_log")
    assert [log.read(text, "/base") for text in ("-", "off", "log/a")] == ["-", "off", "/base/log/a"]
    style = next(row.kind for row in SERVER if row.name == "access_log_format")
    assert [style.read(text) for text in ("combined", "json", "%(h)s x")] == ["combined", "json", "%(h)s x"]
    with pytest.raises(ValueError, match='did you mean "combined"'):
        style.read("combine")


def test_addresses_of_a_listener_are_shown_as_written():
    kind = next(row.kind for row in LISTEN if row.name == "address")
    assert [show_address(address) for address in kind.read("*:80\nfd:3")] == ["*:80", "fd:3"]
