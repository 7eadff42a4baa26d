"""A small vocabulary, so that the tests of the loader do not depend on the handlers and filters that ship."""

from types import SimpleNamespace

import pytest

from tinfront.config import option
from tinfront.config.option import Option
from tinfront.errors import ConfigError


def _check_redirect(settings):
    if settings["status"] == 204:
        yield "status", "a redirect cannot be empty"


def _module(doc, *options, **more):
    return SimpleNamespace(__doc__=doc, OPTIONS=options, make=lambda *_: None, **more)


HANDLERS = {
    "static": _module(
        "Files.",
        Option("static", option.existing, doc="The directory.", required=True),
        Option("expires", option.seconds, None, "How long clients may keep files."),
        Option("dotfiles", option.boolean, False, "Serve names with a dot."),
    ),
    "app": _module("An application.", Option("app", option.app_name, doc="The app.", required=True)),
    "redirect": _module(
        "Elsewhere.",
        Option("redirect", option.text, doc="Where to.", required=True),
        Option("status", option.integer_choice(204, 301, 302), 301, "The status."),
        check=_check_redirect,
    ),
    "respond": _module(
        "A fixed answer.",
        Option("respond", option.status, doc="The status.", required=True),
        Option("body", option.lines, (), "What to send."),
        Option("redirect", option.text, "", "An option that is called like another handler."),
    ),
}
FILTERS = {
    "headers": _module("Fields.", Option("set", option.fields, (), "Fields to set.")),
    "tag": _module("A tag.", Option("tag", option.word, doc="The tag.", required=True)),
    "quiet": _module("Nothing."),
}


class FakeVocabulary:
    def handlers(self):
        return HANDLERS

    def filters(self):
        return FILTERS

    def handler(self, word):
        if word == "broken":
            raise ConfigError("broken.py:3: ImportError: no")
        return HANDLERS[word]

    def filter(self, word):
        if word == "broken":
            raise ConfigError("broken.py:3: ImportError: no")
        return FILTERS["tag"] if word == "my.module:tag" else FILTERS[word]


@pytest.fixture(scope="session")
def vocabulary():
    return FakeVocabulary()
