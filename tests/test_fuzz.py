"""The corpora of ``make fuzz``, replayed without its machinery: what was found once stays mended."""

from pathlib import Path

import pytest
from hypothesis import given

from fuzz.__main__ import NAMES, main
from fuzz.targets import TARGETS
from tests.wire.test_differences import streams

ROOT = Path(__file__).parent.parent
INPUTS = sorted((ROOT / "fuzz" / "corpus").glob("*/*"))


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus(path):
    data = path.read_bytes()
    assert len(data) <= 4096
    TARGETS[path.parent.name](data)


@given(streams())
def test_damaged_streams_hold_what_the_target_asks_for(stream):
    TARGETS["head"](stream)


def test_each_target_has_something_to_begin_with():
    assert {path.parent.name for path in INPUTS} == set(TARGETS) == set(NAMES)
    assert all((ROOT / "fuzz" / f"{name}.dict").exists() for name in NAMES)


def test_a_target_that_does_not_exist(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fuzz", "nothing"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "there is no target nothing" in capsys.readouterr().err


def test_a_target_can_break(monkeypatch):
    monkeypatch.setattr("fuzz.targets.HeadParser.parse", lambda self, data: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        TARGETS["head"](b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
