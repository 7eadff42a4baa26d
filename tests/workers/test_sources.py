"""Files of an app's code, and whether they have changed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tinfront.workers.sources import FILES_MAX, Sources, listed


def known(*paths: object, began: int | None = None) -> Sources:
    return parsed("\0".join(map(str, [time.time_ns() + 10**9 if began is None else began, *paths])).encode())


def parsed(data: bytes) -> Sources:
    fd = os.memfd_create("test")
    os.write(fd, data)
    try:
        return Sources(fd)
    finally:
        os.close(fd)


def test_a_list_has_the_modules_that_are_not_pythons_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mine")
    module.__file__ = str(tmp_path / "mine.py")
    (tmp_path / "mine.py").touch()
    monkeypatch.setitem(sys.modules, "mine", module)
    monkeypatch.setitem(sys.modules, "strange", None)  # type: ignore[arg-type]
    fd = listed(time.time_ns() + 10**9)
    sources = Sources(fd)
    os.close(fd)
    assert sources.looks[module.__file__] is not None
    assert pytest.__file__ in sources.looks
    assert os.__file__ not in sources.looks
    assert sources.changed() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_text("longer than before"),
        lambda file: os.utime(file, (1, 1)),
        lambda file: file.unlink(),
        lambda file: (file.rename(file.with_suffix(".old")), file.write_text("as long")),
    ],
)
def test_a_change(tmp_path: Path, change: Callable[[Path], object]) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    for file in (one, two):
        file.write_text("as long")
        os.utime(file, (1000, 1000))
    sources = known(one, two)
    assert sources.changed() == []
    change(two)
    assert sources.changed() == [str(two)]


def test_what_was_written_while_it_was_imported_may_be_newer_than_what_was_read(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.touch()
    assert known(file, began=file.stat().st_mtime_ns - 1).changed() == [str(file)]
    assert known(file, began=file.stat().st_mtime_ns).changed() == []


def test_what_cannot_be_seen_may_have_changed(tmp_path: Path) -> None:
    assert known(tmp_path / "missing.py").changed() == [str(tmp_path / "missing.py")]


def test_a_list_that_makes_no_sense(tmp_path: Path) -> None:
    assert parsed(b"").looks == {}
    assert parsed(b"soon\0/a\xff\0").changed() == ["/a\udcff", ""]
    assert len(parsed(b"1" + b"".join(b"\0/%d" % number for number in range(FILES_MAX + 9))).looks) == FILES_MAX
