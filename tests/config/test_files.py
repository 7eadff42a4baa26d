import pytest

from tinfront.config import files
from tinfront.config.files import Reader
from tinfront.config.finding import Findings
from tinfront.errors import ConfigError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(tmp_path, **texts):
    for name, text in texts.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".ini").write_text(text)


def read(path):
    findings = Findings()
    reader = Reader(findings)
    reader.read(path, path)
    try:
        findings.raise_if_any()
    except ConfigError as error:
        return [section.header for section in reader.sections], list(error.findings)
    return [section.header for section in reader.sections], []


def test_included_sections_take_their_place_in_order(tmp_path):
    write(
        tmp_path,
        main="[server]\ninclude =\n  conf.d/*.ini\n  last.ini\n[site:main]\n",
        last="[site:last]",
        conf__d="",
    )
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "20.ini").write_text("[site:twenty]")
    (tmp_path / "conf.d" / "10.ini").write_text("[site:ten]")
    assert read("main.ini") == (["server", "site:ten", "site:twenty", "site:last", "site:main"], [])


def test_before_the_first_section(tmp_path):
    write(tmp_path, main="include = a.ini\ninclude = b.ini\n[site:main]", a="[site:a]", b="[site:b]")
    assert read("main.ini") == (["site:a", "site:b", "site:main"], [])


def test_patterns_and_paths_are_relative_to_the_file_that_names_them(tmp_path):
    write(tmp_path, main="include = sub/a.ini", sub__a="include = b.ini\n[site:a]", sub__b="[site:b]\nx")
    findings = Findings()
    reader = Reader(findings)
    reader.read("main.ini", str(tmp_path / "main.ini"))
    assert [section.directory for section in reader.sections] == [str(tmp_path / "sub")] * 2
    with pytest.raises(ConfigError, match=r"^sub/b\.ini:2: "):
        findings.raise_if_any()


def test_a_pattern_may_match_nothing_a_name_must(tmp_path):
    write(tmp_path, main="include = conf.d/*.ini\n  nope.ini\n[server]")
    assert read("main.ini") == (["server"], ["main.ini:2: include: nope.ini cannot be read: No such file or directory"])


def test_the_main_file_cannot_be_read(tmp_path):
    assert read("main.ini") == ([], ["main.ini:1: cannot be read: No such file or directory"])
    assert read(".") == ([], [".:1: cannot be read: Is a directory"])


def test_cycles(tmp_path):
    write(tmp_path, main="include = a.ini\n[site:main]", a="include = main.ini\n[site:a]")
    assert read("main.ini") == (["site:a", "site:main"], ["a.ini:1: include: main.ini includes itself"])
    write(tmp_path, self="include = *elf.ini")
    assert read("self.ini") == ([], ["self.ini:1: include: self.ini includes itself"])


def test_a_cycle_through_a_link(tmp_path):
    write(tmp_path, main="include = link.ini\n[site:main]")
    (tmp_path / "link.ini").symlink_to("main.ini")
    assert read("main.ini") == (["site:main"], ["main.ini:1: include: link.ini includes itself"])


def test_a_file_is_included_once(tmp_path):
    write(tmp_path, main="include = a.ini\n  a.ini", a="[site:a]")
    assert read("main.ini") == (["site:a"], ["main.ini:2: include: a.ini is included already"])


def test_include_elsewhere_does_nothing_here(tmp_path):
    write(tmp_path, main="[site:a]\ninclude = nope.ini")
    assert read("main.ini") == (["site:a"], [])


def test_options_without_a_section(tmp_path):
    write(tmp_path, main="grace = 3s\n[server]")
    assert read("main.ini") == (["server"], ["main.ini:1: grace: no section has been opened yet"])


def test_bytes_that_are_not_utf8(tmp_path):
    (tmp_path / "main.ini").write_bytes(b"[server]\naccess_log = \xff\n[site:\xc3\xa4]\n")
    assert read("main.ini") == (["server", "site:ä"], ["main.ini:2: [server]: not UTF-8"])


def test_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FILE_MAX", 100)
    monkeypatch.setattr(files, "_FILES_MAX", 3)
    write(tmp_path, main="include = *.ini\n", a="[site:a]", b="x" * 101, c="[site:c]")
    assert read("main.ini") == (
        ["site:a"],
        [
            "main.ini:1: include: b.ini is larger than 100 bytes",
            "main.ini:1: include: c.ini is one more than 3 files",
            "main.ini:1: include: main.ini includes itself",
        ],
    )
