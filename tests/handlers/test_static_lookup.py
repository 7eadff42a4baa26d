"""What is the file for a URL?"""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.handlers.static_files import Root
from tinfront.handlers.static_lookup import MISSING, Lookup


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    for name in (
        "index.html",
        "about.html",
        "docs/index.htm",
        "docs/guide.txt",
        "both/index.html",
        "both/index.htm",
        "named.html/index.html",
        ".env",
        ".git/config",
        ".well-known/security.txt",
        ".well-known/.hidden",
        "docs/.well-known/x",
        "docs/..strange",
        "\u00e4.txt",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "empty").mkdir()
    (root / "odd" / "index.html").mkdir(parents=True)
    os.mkfifo(root / "fifo")
    (tmp_path / "secret").write_text("secret")
    return root


def make_lookup(tree, **options):
    given = {"index": ("index.html", "index.htm"), "suffixes": (), "dotfiles": False, **options}
    symlinks = given.pop("symlinks", "inside")
    root = Root(str(tree), symlinks)
    root.check(0.0)
    return Lookup(root, **given)


def code(lookup, path, mount=""):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
        lookup.find(path, mount)
    return caught.value.errno


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", b"//index.html"),
        ("/about.html", b"/about.html"),
        ("/docs/", b"/docs/index.htm"),
        ("/both/", b"/both/index.html"),
        ("/docs/guide.txt", b"/docs/guide.txt"),
        ("//docs//guide.txt", b"//docs//guide.txt"),
        ("/named.html/", b"/named.html/index.html"),
        ("/\xc3\xa4.txt", b"/\xc3\xa4.txt"),
        ("/.well-known/security.txt", b"/.well-known/security.txt"),
    ],
)
def test_files(tree, path, name):
    found = make_lookup(tree).find(path, "")
    assert not found.is_directory
    assert os.path.normpath(found.name.lstrip(b"/")) == os.path.normpath(name.lstrip(b"/"))
    assert os.path.samestat(found.stat, os.stat(os.path.join(os.fsencode(tree), name.lstrip(b"/"))))


@pytest.mark.parametrize("path", ["/docs", "/empty", "/empty/", "/odd/", "/named.html", ""])
def test_directories(tree, path):
    assert make_lookup(tree).find(path, "").is_directory


@pytest.mark.parametrize(
    "path",
    [
        "/missing",
        "/missing/",
        "/about.html/",
        "/about.html/x",
        "/.env",
        "/.git/config",
        "/.git/",
        "/.git",
        "/.well-known",
        "/.well-known/.hidden",
        "//.well-known/security.txt",
        "/docs/.well-known/x",
        "/docs/..strange",
        "/..",
        "/../secret",
        "/docs/../../secret",
        "/./about.html",
        "/docs/.",
        "/fifo",
        "/fifo/",
        "/about.html\0",
        "/" + "x" * 300,
        "*",
        "about.html",
    ],
)
def test_missing(tree, path):
    assert code(make_lookup(tree), path) in MISSING


def test_dotfiles_on_request_but_never_dot_segments(tree):
    lookup = make_lookup(tree, dotfiles=True)
    assert lookup.find("/.env", "").name == b"/.env"
    assert lookup.find("/docs/..strange", "").name == b"/docs/..strange"
    for path in ("/../secret", "/docs/../about.html", "/./about.html", "/docs/..", "/docs/."):
        assert code(lookup, path) == errno.ENOENT


def test_what_follows_the_mount_is_looked_up(tree):
    lookup = make_lookup(tree)
    assert lookup.find("/static/about.html", "/static").name == b"/about.html"
    assert lookup.find("/static/", "/static").name.lstrip(b"/") == b"index.html"
    assert lookup.find("/static", "/static").is_directory
    assert lookup.find("/.hidden/about.html", "/.hidden").name == b"/about.html"
    assert code(lookup, "/static../secret", "/static") == errno.ENOENT
    assert code(lookup, "/staticabout.html", "/static") == errno.ENOENT
    assert code(lookup, "/static/.well-known/security.txt", "/static") == errno.ENOENT


def test_suffixes_are_tried_when_nothing_is_there(tree):
    lookup = make_lookup(tree, suffixes=(".txt", ".html"))
    assert lookup.find("/about", "").name == b"/about.html"
    assert lookup.find("/docs/guide", "").name == b"/docs/guide.txt"
    assert lookup.find("/docs", "").is_directory
    assert code(lookup, "/named", "") == errno.ENOENT
    assert code(lookup, "/about/", "") == errno.ENOENT
    assert code(lookup, "/about.html/", "") == errno.ENOTDIR
    assert code(lookup, "/nothing", "") == errno.ENOENT


def test_no_index(tree):
    assert make_lookup(tree, index=()).find("/both/", "").is_directory


def test_a_single_file_answers_for_its_prefix_only(tree):
    file = tree / "about.html"
    anywhere = make_lookup(file)
    assert anywhere.find("/x/y", "").name == b"about.html"
    prefix = make_lookup(file, pattern="/about")
    assert prefix.find("/about", "/about").name == b"about.html"
    assert code(prefix, "/about/", "/about") == errno.ENOENT
    assert code(prefix, "/about/x", "/about") == errno.ENOENT
    assert make_lookup(file, pattern="/").find("/", "").name == b"about.html"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
def test_permissions(tree):
    (tree / "about.html").chmod(0o600)
    (tree / "both").chmod(0o711)
    (tree / "docs").chmod(0o700)
    for directory in (tree, *list(tree.parents)[:3]):
        directory.chmod(0o755)
    lookup = make_lookup(tree)
    os.seteuid(65534)
    try:
        assert code(lookup, "/about.html") == errno.EACCES
        assert code(lookup, "/docs/guide.txt") == errno.EACCES
        assert lookup.find("/both", "").is_directory
        assert lookup.find("/both/", "").name == b"/both/index.html"
    finally:
        os.seteuid(0)


segments = st.sampled_from(
    ["..", ".", "", "docs", "about.html", "secret", "root", ".git", "config", ".well-known", "\0"]
)


@given(st.lists(segments | st.text(st.characters(max_codepoint=255), max_size=6), max_size=8), st.booleans())
def test_no_path_finds_anything_outside_or_hidden(tree, parts, dotfiles):
    try:
        found = make_lookup(tree, dotfiles=dotfiles).find("/" + "/".join(parts), "")
    except OSError:
        return
    where = os.readlink(f"/proc/self/fd/{found.file.fd}")
    assert where == str(tree) or where.startswith(f"{tree}/")
    if not dotfiles:
        assert "/." not in where[len(str(tree)) :].removeprefix("/.well-known")
