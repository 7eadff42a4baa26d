"""The page that lists a directory."""

import os
import re
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest

from tinfront.handlers import static_listing
from tinfront.handlers.static_listing import listing


class Links(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.tags = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.found += [value for name, value in attrs if name == "href"]


def make_page(directory, path="/files/", dotfiles=False):
    fd = os.open(directory, os.O_RDONLY)
    try:
        return listing(fd, path, dotfiles).decode()
    finally:
        os.close(fd)


def test_directories_first_then_files_by_name(tmp_path):
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text("12345")
    (tmp_path / "sub").mkdir()
    page = make_page(tmp_path)
    assert Links(page).found == ["../", "./sub/", "./a.txt", "./b.txt"]
    assert page.count("<td>5</td>") == 2
    assert re.search(r"<td>\d{4}-\d\d-\d\d \d\d:\d\d</td>", page)
    assert "<title>Index of /files/</title>" in page


def test_the_root_has_no_way_up(tmp_path):
    assert Links(make_page(tmp_path, "/")).found == []


@pytest.mark.parametrize(
    "name",
    [
        b"<script>alert(1)</script>",
        b"javascript:alert(1)",
        b'"onclick="x',
        b"a&b;",
        b"%2e%2e",
        b"\xff\xfe",
        b"\xc3\xa4",
        b"a?b#c",
        b"\\\\evil",
        b"{path}",
        b"new\nline",
    ],
)
def test_names_are_only_names(tmp_path, name):
    name = name.replace(b"/", b"_")
    (tmp_path / os.fsdecode(name)).write_text("")
    links = Links(make_page(tmp_path))
    assert not links.tags & {"script"}
    _, link = links.found
    target = urlsplit(urljoin("http://demo.test/files/", link))
    assert target.netloc == "demo.test"
    assert target.query == target.fragment == ""
    assert unquote_to_bytes(target.path) == b"/files/" + name


def test_the_path_is_escaped(tmp_path):
    page = make_page(tmp_path, "/<b>\xc3\xa4\xff{rows}/")
    assert "Index of /&lt;b&gt;\u00e4\ufffd{rows}/" in page
    assert "b" not in Links(page).tags


def test_hidden_names(tmp_path):
    (tmp_path / ".env").write_text("")
    assert ".env" not in make_page(tmp_path)
    assert "./.env" in make_page(tmp_path, dotfiles=True)


def test_a_link_tells_nothing_of_its_target(tmp_path):
    (tmp_path / "target").write_text("x" * 12345)
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").symlink_to("../target")
    (tmp_path / "dir" / "up").symlink_to("..")
    page = make_page(tmp_path / "dir")
    assert Links(page).found == ["../", "./file", "./up"]
    assert "12345" not in page


def test_the_page_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(static_listing, "LISTED_MAX", 3)
    for number in range(3):
        (tmp_path / str(number)).write_text("")
    assert "Only the first" not in make_page(tmp_path)
    (tmp_path / "3").write_text("")
    page = make_page(tmp_path)
    assert "Only the first 3 entries" in page
    assert len(Links(page).found) == 4


def test_a_file_that_goes_while_the_page_is_made(tmp_path):
    class Entry:
        name = "gone"

        def is_dir(self, follow_symlinks):
            return False

        def is_symlink(self):
            return False

        def stat(self, follow_symlinks):
            raise FileNotFoundError

    rank, name, row = static_listing._row(Entry())
    assert (rank, name) == (1, "gone")
    assert row == '<tr><td><a href="./gone">gone</a></td><td></td><td></td></tr>\n'
