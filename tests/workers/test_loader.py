"""Which app ``wsgi = …`` names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinfront.workers.loader import load, prepare


@pytest.fixture(autouse=True)
def restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("loaded_"):
            del sys.modules[name]


def test_paths_come_first_and_once(tmp_path: Path) -> None:
    last = sys.path[-1]
    prepare([str(tmp_path), last])
    assert sys.path[:2] == [str(tmp_path), last]
    assert sys.path.count(last) == 1
    prepare([str(tmp_path), last])
    assert sys.path.count(str(tmp_path)) == 1


def test_the_directory_is_entered(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    prepare([], str(tmp_path / "sub"))
    assert os.getcwd() == str(tmp_path / "sub")
    with pytest.raises(FileNotFoundError):
        prepare([], str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("loaded_site:application", "plain"),
        ("loaded_site", "plain"),
        ("loaded_site:holder.app", "held"),
        ("loaded_site:make()", "made"),
        ("loaded_site : application ", "plain"),
    ],
)
def test_names(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "loaded_site.py").write_text(
        "def application(environ, start_response): return 'plain'\n"
        "class holder:\n    app = staticmethod(lambda environ, start_response: 'held')\n"
        "def make(): return lambda environ, start_response: 'made'\n"
    )
    prepare([str(tmp_path)])
    assert load(name)({}, None) == told


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("loaded_none:app", ImportError),
        ("loaded_text:missing", AttributeError),
        ("loaded_text:text", TypeError),
        ("loaded_text:text()", TypeError),
    ],
)
def test_what_is_no_app(tmp_path: Path, name: str, error: type[Exception]) -> None:
    (tmp_path / "loaded_text.py").write_text("text = 'not an app'\n")
    prepare([str(tmp_path)])
    with pytest.raises(error):
        load(name)
