import pytest

from tinfront.config.app_options import APP


def kind(name):
    return next(row.kind for row in APP if row.name == name)


def test_workers_auto_counts_the_processors_that_are_granted(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5})
    monkeypatch.setattr("tinfront.config.cores._groups", lambda *_: ())
    assert kind("workers").read("auto") == 3
    assert kind("workers").read("7") == 7
    for bad in ("0", "-1", "many"):
        with pytest.raises(ValueError, match=bad):
            kind("workers").read(bad)


def test_a_mask_is_octal():
    assert [kind("umask").read(text) for text in ("022", "0o27", "0", "777")] == [0o22, 0o27, 0, 0o777]
    assert kind("umask").show(0o7) == "007"
    for bad in ("8", "-1", "1000", "rwx", "0x1", "00022"):
        with pytest.raises(ValueError, match="in octal"):
            kind("umask").read(bad)


def environment(path, version="version = 3.12.1"):
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").touch()
    (path / "pyvenv.cfg").write_text(f"home = /usr/bin\n{version}\n")
    return str(path)


def test_a_virtual_environment(tmp_path):
    for number, version in enumerate(("version = 3.11.0", "version_info = 3.14.0.final.0", "")):
        path = environment(tmp_path / str(number), version)
        assert kind("virtualenv").read(path) == path


def test_what_is_no_virtual_environment(tmp_path):
    with pytest.raises(ValueError, match=r"no pyvenv\.cfg in it"):
        kind("virtualenv").read(str(tmp_path))
    with pytest.raises(ValueError, match=r"is of Python 3\.9\.2, but workers need 3\.11 or later"):
        kind("virtualenv").read(environment(tmp_path / "old", "version = 3.9.2"))
    path = environment(tmp_path / "torn")
    (tmp_path / "torn" / "bin" / "python").unlink()
    with pytest.raises(ValueError, match="no bin/python"):
        kind("virtualenv").read(path)
