"""The options of the static handler, and what each does."""

import pytest

from tests.statics import ask, make_handler, make_tree, read
from tinfront.config.option import settings
from tinfront.errors import ConfigError
from tinfront.handlers.static_options import OPTIONS, cache_control


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path)


def test_defaults_send_no_cache_control():
    assert cache_control(settings(OPTIONS, {"static": "/srv"}), None) is None


def test_every_row_is_documented_and_named_once():
    names = [row.name for row in OPTIONS]
    assert len(set(names)) == len(names)
    assert names[0] == "static"
    assert all(row.doc.endswith(".") for row in OPTIONS)
    assert [row.name for row in OPTIONS if row.required] == ["static"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"expires": "30d"}, "max-age=2592000"),
        ({"expires": "0"}, "max-age=0"),
        ({"expires": "off"}, None),
        ({"immutable": "yes"}, "max-age=31536000, immutable"),
        ({"immutable": "yes", "expires": "1h"}, "max-age=3600, immutable"),
        ({"cache_control": "no-store, private"}, "no-store, private"),
        ({"cache_control": ""}, None),
    ],
)
def test_cache_control(tree, options, expected):
    assert ask(make_handler(tree, **options)).fields.get("cache-control") == expected


@pytest.mark.parametrize("options", [{"expires": "1h"}, {"immutable": "yes"}])
def test_cache_control_stands_alone(tree, options):
    with pytest.raises(ConfigError, match=r"site\.ini:7: cache_control"):
        make_handler(tree, cache_control="no-store", **options)


def test_index(tree):
    assert read(ask(make_handler(tree, index="none.html a.txt"), "/")) == b"0123456789"
    assert ask(make_handler(tree, index=""), "/").status == 404


def test_suffixes(tree):
    assert read(ask(make_handler(tree, suffixes=".html, .txt"), "/a")) == b"0123456789"


def test_types(tree):
    handler = make_handler(tree, types=".TXT=text/x-special\nnew = text/x-new", default_type="application/json")
    assert ask(handler).fields["content-type"] == "text/x-special"
    assert ask(handler, "/plain/file").fields["content-type"] == "application/json"
    assert ask(handler, "/").fields["content-type"] == "text/html; charset=utf-8"


def test_dotfiles(tree):
    assert read(ask(make_handler(tree, dotfiles="yes"), "/.env")) == b"secret"


def test_fallback(tree):
    handler = make_handler(tree, fallback="/index.html")
    for path in ("/users/1", "/users/2", "/.env", "/../secret", "/plain/", "/a.txt/"):
        exchange = ask(handler, path)
        assert exchange.status == 200
        assert read(exchange) == b"home"
        assert exchange.fields["content-type"] == "text/html; charset=utf-8"
    assert read(ask(handler, "/a.txt")) == b"0123456789"
    assert len(handler._cache.entries) == 2
    assert ask(handler, "/users/1", if_none_match=exchange.fields["etag"]).status == 304
    assert ask(handler, "/users/1", "POST").status == 405
    assert ask(make_handler(tree, fallback="none.html"), "/users/1").refusal[:2] == (404, "not-found")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("index", "../x"),
        ("index", "a/"),
        ("suffixes", "/x"),
        ("fallback", "../secret"),
        ("expires", "soon"),
        ("expires", "-1s"),
        ("types", "txt"),
        ("types", "txt=plain"),
        ("types", "tar.gz=application/gzip"),
        ("types", "=text/plain"),
        ("default_type", "text"),
        ("cache_control", "a\x01b"),
        ("cache_control", "\u00e4"),
        ("symlinks", "yes"),
    ],
)
def test_bad_values(name, value):
    with pytest.raises(ValueError, match=r"."):
        settings(OPTIONS, {"static": ".", name: value})


def test_options_can_be_shown_and_read_again():
    given = settings(OPTIONS, {"static": "/srv", "expires": "off", "types": "a=b/c", "index": "x y", "suffixes": ".z"})
    for row in OPTIONS:
        assert row.doc
        assert row.kind.read(row.kind.show(given[row.name])) == given[row.name]
    expires = next(row for row in OPTIONS if row.name == "expires")
    assert expires.kind.show(3600.0) == "1h"
