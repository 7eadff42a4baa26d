"""Errors in routes are in ``tests/golden``; here is what a vocabulary may and may not bring about."""

from types import SimpleNamespace

import pytest

from tinfront.config import option
from tinfront.config.load import loads
from tinfront.config.option import Option
from tinfront.errors import ConfigError

REST = "[listen:http]\naddress = :80\n[site:demo]\ndefault = yes\n"


class Words:
    """A vocabulary of handlers alone, which counts how often each is looked up."""

    def __init__(self, **handlers):
        self._handlers = handlers
        self.asked = []

    def handlers(self):
        return list(self._handlers)

    def filters(self):
        return []

    def handler(self, word):
        self.asked.append(word)
        return self._handlers[word]

    def filter(self, word):
        raise LookupError(word)


def handler(*rows, **more):
    return SimpleNamespace(OPTIONS=rows, make=None, **more)


ONE = handler(Option("one", option.word, required=True), Option("deep", option.boolean, False))
TWO = handler(Option("two", option.word, required=True), Option("wide", option.boolean, False))


def test_only_the_handler_that_is_named_is_looked_up():
    words = Words(one=ONE, two=TWO)
    config = loads(REST + "[route:demo /]\none = x", words)
    assert set(words.asked) == {"one"}
    assert config.sites[0].routes[0].settings == {"one": "x", "deep": False}


def test_others_are_asked_to_explain_an_unknown_option():
    words = Words(one=ONE, two=TWO)
    with pytest.raises(ConfigError, match="it is an option of two, but this route is answered by one"):
        loads(REST + "[route:demo /]\none = x\nwide = yes", words)
    assert set(words.asked) == {"one", "two"}


def test_core_options_are_not_the_handlers():
    greedy = handler(Option("one", option.word, required=True), Option("body_limit", option.word, "mine"))
    (route,) = loads(REST + "[route:demo /]\none = x\nbody_limit = 2k", Words(one=greedy)).sites[0].routes
    assert route.body_limit == 2048
    assert route.settings == {"one": "x"}


def test_a_check_is_asked_once_all_options_are_sound():
    def check(settings):
        seen.append(settings)
        if settings["deep"]:
            yield "deep", "cannot be"

    seen = []
    words = Words(one=handler(*ONE.OPTIONS, check=check))
    loads(REST + "[route:demo /]\none = x", words)
    assert seen == [{"one": "x", "deep": False}]
    with pytest.raises(ConfigError, match=r"site.ini:7: \[route:demo /\] deep: cannot be"):
        loads(REST + "[route:demo /]\none = x\ndeep = yes", words)
    seen.clear()
    with pytest.raises(ConfigError, match="neither yes nor no"):
        loads(REST + "[route:demo /]\none = x\ndeep = maybe", words)
    assert seen == []


def test_any_option_may_refer_to_an_app():
    rows = (Option("one", option.app_name, required=True), Option("other", option.app_name))
    words = Words(one=handler(*rows))
    text = REST + "[app:a]\nwsgi = m:a\n[route:demo /]\none = a\n"
    assert loads(text, words).sites[0].routes[0].settings == {"one": "a", "other": None}
    with pytest.raises(ConfigError, match=r"site.ini:9: \[route:demo /\] other: there is no \[app:b\]"):
        loads(text + "other = b", words)


@pytest.mark.parametrize("header", ["route:demo /", "route: demo  /", "route:demo\t/"])
def test_headers_may_be_spaced(header, vocabulary):
    (route,) = loads(REST + f"[{header}]\nrespond = 200", vocabulary).sites[0].routes
    assert (route.site, route.kind, route.pattern) == ("demo", "prefix", "/")


# --- an application that a route names directly

APP_HANDLER = handler(Option("app", option.app_name, required=True))


def with_routes(*sections, **more):
    text = "[listen:http]\naddress = :80\n[site:demo]\n" + "".join(f"[route:demo {each}\n" for each in sections)
    return loads(text, Words(app=APP_HANDLER), **more)


def test_an_application_beside_the_file():
    config = with_routes("/]\napp = shop.wsgi:application", "/again]\napp = shop.wsgi:application", directory="/srv")
    assert list(config.apps) == ["shop.wsgi:application"]
    [app] = config.apps.values()
    assert (app.wsgi, app.path) == ("shop.wsgi:application", ("/srv",))
    assert [route.settings["app"] for route in config.sites[0].routes] == [app.name] * 2


def test_what_is_no_application():
    with pytest.raises(ConfigError) as caught:
        with_routes("/]\napp = shop:", "/a]\napp = shop")
    assert [line.partition(" app: ")[2] for line in caught.value.findings] == [
        '"shop:" is not of the form package.module:object or package.module:factory()',
        "there is no [app:shop]",
    ]


def test_the_same_name_in_two_directories(tmp_path):
    """Each would be found beside the file that names it, so they are not the same application."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.ini").write_text("[route:demo /b]\napp = shop:app\n")
    with pytest.raises(ConfigError, match=r"is that of .* already: write an \[app:NAME\] for each"):
        with_routes("/a]\napp = shop:app\n[server]\ninclude = sub/more.ini", directory=str(tmp_path))
