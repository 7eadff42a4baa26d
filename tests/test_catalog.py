import importlib
import subprocess
import sys

import pytest

from tinfront.catalog import Catalog, discover, explain
from tinfront.config.load import loads
from tinfront.config.option import Option, word
from tinfront.errors import ConfigError
from tinfront.maker import FilterMaker, HandlerMaker

REST = "[listen:http]\naddress = 127.0.0.1:80\n[site:demo]\ndefault = yes\n[route:demo /]\nrespond = 200\n"


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A package of plugins of its own, and a place for the modules that they name."""
    name = f"plugins_{tmp_path.name}"
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    class Plugins:
        directory = package

        def file(self, stem, text):
            (package / f"{stem}.py").write_text(text)

        def module(self, stem, text):
            (tmp_path / f"{stem}.py").write_text(text)
            importlib.invalidate_caches()

        def discover(self):
            importlib.invalidate_caches()
            return discover(importlib.import_module(name))

    yield Plugins()
    for module in set(sys.modules) - before:
        del sys.modules[module]


GOOD = "from tinfront.config.option import Option, word\nOPTIONS = ({},)\ndef make(*parts): return None\n"
HANDLER = GOOD.format("Option('greet', word, doc='A word.', required=True)")
FILTER = GOOD.format("Option('set', word, doc='A word.')")
MAKERS = "from tinfront.maker import FilterMaker, HandlerMaker\n"


def test_what_ships_can_be_used():
    catalog = discover()
    assert catalog.broken == ()
    assert {"static", "app", "redirect", "respond", "ready"} <= set(catalog.handlers())
    assert {"headers", "redirect_https"} <= set(catalog.filters())
    for name in catalog.handlers():
        assert name in {row.name for row in catalog.handler(name).OPTIONS}
    for name in catalog.filters():
        assert callable(catalog.filter(name).make)


def test_discovery_imports_no_handler():
    script = (
        "import sys\nfrom tinfront.catalog import discover\ndiscover()\n"
        "found = [name for name in sys.modules if name.startswith(('tinfront.handlers', 'tinfront.filters'))]\n"
        "assert not found, found\nassert 'twisted.internet.reactor' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_third_party_puts_its_plugins_beside_ours(tmp_path):
    (tmp_path / "tinfront" / "plugins").mkdir(parents=True)
    (tmp_path / "tinfront" / "plugins" / "third.py").write_text(
        MAKERS + "greet = FilterMaker('greet', 'third_party')\n"
    )
    (tmp_path / "third_party.py").write_text(FILTER)
    script = (
        f"import sys\nsys.path.append({str(tmp_path)!r})\nfrom tinfront.catalog import discover\n"
        "catalog = discover()\nassert 'static' in catalog.handlers()\nassert catalog.filter('greet').make({}) is None\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_words_are_found_and_modules_imported_when_used(plugins):
    plugins.file("one", MAKERS + "a = HandlerMaker('greet', 'the_handler')\nb = FilterMaker('greet', 'the_filter')\n")
    plugins.module("the_handler", HANDLER)
    plugins.module("the_filter", FILTER)
    catalog = plugins.discover()
    assert (catalog.handlers(), catalog.filters()) == (["greet"], ["greet"])
    assert "the_handler" not in sys.modules
    assert catalog.handler("greet").OPTIONS[0] == Option("greet", word, None, "A word.", required=True)
    assert catalog.filter("greet").__name__ == "the_filter"
    with pytest.raises(LookupError):
        catalog.handler("great")
    with pytest.raises(LookupError):
        catalog.filter("great")


def test_a_broken_plugin_file_costs_only_those_who_miss_its_words(plugins, capfd):
    plugins.file("good", MAKERS + "a = HandlerMaker('greet', 'the_handler')\n")
    plugins.file("bad", "# two lines\nimport no_such_module_anywhere\n")
    plugins.file("worse", "x = (\n")
    plugins.module("the_handler", HANDLER)
    catalog = plugins.discover()
    assert catalog.handler("greet")
    assert sorted(catalog.broken) == [
        f"{plugins.directory}/bad.py:2: ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        f"{plugins.directory}/worse.py:1: SyntaxError: '(' was never closed",
    ]
    with pytest.raises(ConfigError) as caught:
        catalog.handler("great")
    assert str(caught.value).startswith('there is no handler "great", did you mean "greet"?; but not every plugin')
    assert f"{plugins.directory}/bad.py:2: ModuleNotFoundError" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "\nimport no_such_module_anywhere\n",
            "{file}:2: ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        ),
        ("def f():\n    1 / 0\nf()\n", "{file}:3: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", "{file}:1: SystemExit: 3"),
        ("x = (\n", "{file}:1: SyntaxError: '(' was never closed"),
        ("OPTIONS = ()\n", "the_module has no function make"),
        ("def make(settings): ...\n", "the_module has no OPTIONS, a tuple of Option rows"),
        ("OPTIONS = ('greet',)\ndef make(settings): ...\n", "the_module has no OPTIONS, a tuple of Option rows"),
        ("OPTIONS = ()\nmake = 3\n", "the_module has no function make"),
        ("OPTIONS = ()\ndef make(settings): ...\n", 'its OPTIONS have no row "greet"'),
        (None, "ModuleNotFoundError: No module named 'the_module'"),
    ],
)
def test_a_broken_module_is_explained(plugins, text, cause):
    plugins.file("one", MAKERS + "a = HandlerMaker('greet', 'the_module')\n")
    if text is not None:
        plugins.module("the_module", text)
    catalog = plugins.discover()
    with pytest.raises(ConfigError) as caught:
        catalog.handler("greet")
    cause = cause.replace("{file}", f"{plugins.directory.parent}/the_module.py")
    assert str(caught.value) == f'the handler "greet" cannot be used: {cause}'


def test_it_is_an_error_in_the_configuration_that_names_it(plugins):
    plugins.module("the_module", "import no_such_module_anywhere\n")
    catalog = Catalog(
        [
            HandlerMaker("respond", "tinfront.handlers.respond"),
            HandlerMaker("greet", "the_module"),
            FilterMaker("shout", "the_module"),
        ]
    )
    loads(REST, catalog)  # nobody names the broken ones
    text = REST + "filters = shout, quiet\n[route:demo /x]\ngreet = you\n[filter:f]\ntype = shout\n"
    with pytest.raises(ConfigError) as caught:
        loads(text, catalog)
    cause = f"cannot be used: {plugins.directory.parent}/the_module.py:1: ModuleNotFoundError"
    lines = [
        line.replace(" No module named 'no_such_module_anywhere'", "").rstrip(":") for line in caught.value.findings
    ]
    assert lines == [
        f'site.ini:7: [route:demo /] filters: the filter "shout" {cause}',
        'site.ini:7: [route:demo /] filters: there is no "quiet"',
        f'site.ini:9: [route:demo /x] greet: the handler "greet" {cause}',
        f'site.ini:11: [filter:f] type: the filter "shout" {cause}',
    ]


def test_an_object_in_a_module_is_a_type_of_filter(plugins):
    plugins.module("my_filters", FILTER.replace("OPTIONS", "class Shout:\n    OPTIONS").replace("\ndef", "\n    def"))
    catalog = Catalog([])
    assert catalog.filter("my_filters:Shout").OPTIONS[0].name == "set"
    with pytest.raises(ConfigError, match='my_filters has no "shout", did you mean "Shout"'):
        catalog.filter("my_filters:shout")
    with pytest.raises(ConfigError, match="No module named 'her_filters'"):
        catalog.filter("her_filters:Shout")
    with pytest.raises(ConfigError, match="my_filters:word has no OPTIONS"):
        catalog.filter("my_filters:word")


def test_a_word_that_two_claim_is_nobodys():
    makers = [FilterMaker("a", "one"), FilterMaker("a", "two"), FilterMaker("a", "one")]
    with pytest.raises(ConfigError, match='the filter "a" is offered by several plugins: one, two'):
        Catalog(makers).filter("a")


def test_the_same_plugin_found_twice_is_one(plugins):
    plugins.module("one", FILTER)
    assert Catalog([FilterMaker("a", "one"), FilterMaker("a", "one")]).filter("a")


def test_the_cache_of_twisted_does_not_hide_what_is_broken(plugins, capfd):
    plugins.file("bad", "1 / 0\n")
    plugins.file("good", MAKERS + "a = FilterMaker('a', 'b')\n")
    for _ in range(2):
        catalog = plugins.discover()
        assert catalog.filters() == ["a"]
        assert catalog.broken == (f"{plugins.directory}/bad.py:1: ZeroDivisionError: division by zero",)


def test_explain_without_a_traceback():
    assert explain(ValueError("x"), None) == "ValueError: x"


def test_a_filter_is_found_by_the_name_of_its_module():
    assert discover().filter("tinfront.filters.headers").make
