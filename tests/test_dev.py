"""Changes on disk become reloads."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from tinfront import dev
from tinfront.dev import Watch


class Site:
    """One app, which knows its files; counts reloads."""

    def __init__(self, *files: Path) -> None:
        self.reloads = 0
        self.files = list(files)
        self.pools = {"a": SimpleNamespace(app=SimpleNamespace(path=()), current=self)}

    def sources(self) -> Any:
        return SimpleNamespace(looks={str(file): None for file in self.files}) if self.files else None

    def reload(self) -> None:
        self.reloads += 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a.py"
    file.write_text("a = 1")
    return file


def watching(site: Site, *files: Path) -> Watch:
    watch = Watch(site, Clock(), map(str, files))
    watch.look()
    return watch


def looks(watch: Watch, site: Site) -> int:
    """Reloads by two looks, of which the second sees nothing new."""
    before = site.reloads
    watch.look()
    once = site.reloads - before
    watch.look()
    assert site.reloads == before + once
    return once


def test_what_is_as_it_was_is_no_reason(file: Path) -> None:
    site = Site(file)
    assert looks(watching(site), site) == 0


def test_a_changed_file(file: Path) -> None:
    site = Site(file)
    watch = watching(site)
    file.write_text("a = 12")
    assert looks(watch, site) == 1


def test_the_configuration(file: Path, tmp_path: Path) -> None:
    ini = tmp_path / "site.ini"
    ini.touch()
    site = Site(file)
    watch = watching(site, ini)
    ini.write_text("[server]\n")
    assert looks(watch, site) == 1


def test_a_file_that_goes_and_comes_back(file: Path) -> None:
    site = Site(file)
    watch = watching(site)
    file.unlink()
    assert looks(watch, site) == 1
    file.write_text("a = 2")
    assert looks(watch, site) == 1


def test_a_new_module_beside_the_others(file: Path) -> None:
    site = Site(file)
    watch = watching(site)
    file.with_name("b.py").touch()
    assert looks(watch, site) == 1


def test_what_a_reload_has_imported_is_no_reason_for_another(file: Path, tmp_path: Path) -> None:
    site = Site(file)
    watch = watching(site)
    other = tmp_path / "package" / "other.py"
    other.parent.mkdir()
    other.touch()
    site.files.append(other)
    assert looks(watch, site) == 0
    other.write_text("b = 1")
    assert looks(watch, site) == 1


def test_an_app_whose_files_nobody_knows(file: Path) -> None:
    site = Site()
    site.pools["a"].app.path = (str(file.parent), "/missing")
    watch = watching(site)
    file.write_text("a = 12")
    assert looks(watch, site) == 1


def test_it_looks_twice_a_second(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev.importlib, "import_module", _missing)
    clock, site = Clock(), Site(file)
    watch = Watch(site, clock)
    watch.start()
    file.write_text("a = 12")
    clock.advance(0.5)
    assert site.reloads == 1
    watch.stop()
    assert not clock.getDelayedCalls()


def _missing(name: str) -> None:
    raise ImportError(name)


class FromThread(Clock):
    """Calls from threads are made there."""

    def callFromThread(self, act: Any) -> None:
        act()


def test_with_watchfiles_it_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its directories are listened to; the files are looked at when it has news."""
    asked: list[tuple[str, ...]] = []

    def listen(*directories: str, stop_event: Any, **_: Any) -> Any:
        asked.append(directories)
        file.write_text("a = 12")
        yield {("modified", str(file))}
        assert stop_event.wait(20)

    monkeypatch.setattr(dev.importlib, "import_module", lambda name: SimpleNamespace(watch=listen))
    site = Site(file)
    watch = Watch(site, FromThread())
    watch.start()
    deadline = time.monotonic() + 20
    while not site.reloads and time.monotonic() < deadline:
        os.sched_yield()
    watch.stop()
    assert site.reloads == 1
    assert asked == [(str(file.parent),)]
