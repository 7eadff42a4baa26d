from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench.faults.servers import Crew, tinfront_ini, write_app
from bench.peers import Place


@pytest.mark.parametrize("version", [1, 12])
def test_the_version_is_written_into_the_code(tmp_path: Path, version: int) -> None:
    write_app(tmp_path, version)
    text = (tmp_path / "app.py").read_text()
    ast.parse(text)
    assert f"\nVERSION = {version} " in text
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]


def test_no_two_versions_have_the_same_size(tmp_path: Path) -> None:
    sizes = set()
    for version in range(1, 25):
        write_app(tmp_path, version)
        sizes.add((tmp_path / "app.py").stat().st_size)
    assert len(sizes) == 24


def test_broken_code_raises_when_it_is_imported(tmp_path: Path) -> None:
    write_app(tmp_path, 2, broken=True)
    with pytest.raises(ImportError, match="broken on purpose"):
        exec((tmp_path / "app.py").read_text(), {})


def test_both_sides_are_told_the_same() -> None:
    crew = Crew(workers=3, threads=4, timeout=2.0, env={"A": "b"})
    assert crew.for_tinfront() == "workers = 3\nthreads = 4\ntimeout = 2000ms\nenv =\n    A=b\n\n"
    settings: dict[str, object] = {}
    exec(crew.for_gunicorn(), settings)
    assert (settings["workers"], settings["threads"], settings["timeout"]) == (3, 4, 2)
    assert (settings["worker_class"], settings["raw_env"]) == ("gthread", ["A=b"])


def test_the_file_has_a_control_socket_and_the_rows_lines(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path, tmp_path, tmp_path / "c.pem", tmp_path / "c.key", 1, 2)
    text = tinfront_ini(place, Crew(preload=False, more="max_rss = 1m"))
    assert "[server]\ncontrol = control\n" in text
    assert text.endswith("preload = no\nmax_rss = 1m\n")
