from importlib import import_module

from tinfront.maker import FilterMaker, HandlerMaker
from tinfront.plugins import tinfront_builtin

MAKERS = [item for item in vars(tinfront_builtin).values() if isinstance(item, FilterMaker | HandlerMaker)]


def test_each_module_is_called_like_its_word_and_keeps_the_contract():
    assert len(MAKERS) >= 7
    for maker in MAKERS:
        assert maker.module.rpartition(".")[2] == maker.name
        module = import_module(maker.module)
        assert isinstance(module.OPTIONS, tuple)
        assert callable(module.make)


def test_each_word_is_claimed_once():
    words = [(type(maker), maker.name) for maker in MAKERS]
    assert len(set(words)) == len(words)
