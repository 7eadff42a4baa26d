"""Opening beneath a root: nothing leads out of it, whichever way it is opened."""

import ctypes
import errno
import os
import stat
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.handlers import static_files
from tinfront.handlers.static_files import LOOK, Root, kernel_confines, open_by_steps

SECRET = b"secret"


@pytest.fixture
def tree(tmp_path):
    """A root with links of all sorts, and a secret beside it."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "deep.txt").write_bytes(SECRET)
    root = tmp_path / "root"
    (root / "sub" / "sub2").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"a")
    (root / "sub" / "b.txt").write_bytes(b"b")
    (root / "inner").symlink_to("sub/b.txt")
    (root / "sub" / "up").symlink_to("../a.txt")
    (root / "absolute").symlink_to(root / "a.txt")
    (root / "absolute_dir").symlink_to(root / "sub")
    (root / "leaves").symlink_to("../secret.txt")
    (root / "leaves_dir").symlink_to("../outside")
    (root / "leaves_absolute").symlink_to(tmp_path / "secret.txt")
    (root / "leaves_and_returns").symlink_to("../root/a.txt")
    (root / "loop").symlink_to("loop")
    (root / "magic").symlink_to("/proc/self/root" + str(tmp_path / "secret.txt"))
    return root


@pytest.fixture(params=["kernel", "steps"])
def make_root(request, tree):
    if request.param == "kernel" and not kernel_confines():
        pytest.skip("openat2 is not to be had here")

    def make(symlinks="inside", path=tree):
        root = Root(str(path), symlinks)
        root.confined = request.param == "kernel"
        root.check(0.0)
        return root

    return make


def read(root, name):
    file = root.open(name)
    return os.pread(file.fd, 100, 0)


def code(root, name, flags=None):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
        root.open(name) if flags is None else root.open(name, flags)
    return caught.value.errno


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"a.txt", b"a"),
        (b"/a.txt", b"a"),
        (b"///a.txt", b"a"),
        (b"sub/b.txt", b"b"),
        (b"sub//b.txt", b"b"),
    ],
)
@pytest.mark.parametrize("symlinks", ["inside", "no", "any"])
def test_plain_files_open(make_root, symlinks, name, content):
    assert read(make_root(symlinks), name) == content


@pytest.mark.parametrize(
    "name", [b"inner", b"sub/up", b"absolute", b"absolute_dir/b.txt", b"absolute_dir/up", b"leaves_and_returns"]
)
def test_links_that_stay_inside_are_followed(make_root, name):
    assert read(make_root(), name) in (b"a", b"b")
    assert code(make_root("no"), name) in (errno.ELOOP, errno.ENOTDIR)
    assert read(make_root("any"), name) in (b"a", b"b")


@pytest.mark.parametrize("name", [b"leaves", b"leaves_absolute", b"leaves_dir/deep.txt"])
def test_links_that_leave_are_followed_only_where_any_is(make_root, name):
    assert code(make_root(), name) == errno.EXDEV
    assert code(make_root("no"), name) in (errno.ELOOP, errno.ENOTDIR)
    assert read(make_root("any"), name) == SECRET


@pytest.mark.parametrize("name", [b"../secret.txt", b"sub/../../secret.txt", b"/../secret.txt", b".."])
def test_dots_do_not_climb_out(make_root, name):
    for symlinks in ("inside", "no", "any"):
        assert code(make_root(symlinks), name) == errno.EXDEV


def test_magic_links_lead_nowhere(make_root):
    for symlinks in ("inside", "no"):
        assert code(make_root(symlinks), b"magic") in (errno.ELOOP, errno.EXDEV)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"missing", {errno.ENOENT}),
        (b"a.txt/x", {errno.ENOTDIR}),
        (b"loop", {errno.ELOOP}),
        (b"x" * 300, {errno.ENAMETOOLONG}),
        (b"x/" * 3000, {errno.ENAMETOOLONG, errno.ENOENT}),
        (b"a.txt\0", {errno.ENOENT}),
        (b"\0", {errno.ENOENT}),
    ],
)
def test_what_cannot_be_opened(make_root, name, expected):
    for symlinks in ("inside", "no", "any"):
        assert code(make_root(symlinks), name) in expected


def test_a_fifo_does_not_block(make_root, tree):
    os.mkfifo(tree / "fifo")
    file = make_root().open(b"fifo")
    assert stat.S_ISFIFO(os.fstat(file.fd).st_mode)


def test_the_root_itself_opens_as_a_directory(make_root, tree):
    for name in (b"", b"/"):
        for flags in (os.O_RDONLY, LOOK):
            file = make_root().open(name, flags)
            assert os.path.samestat(os.fstat(file.fd), tree.stat())


def test_descriptors_are_closed_in_children_and_when_let_go(make_root):
    root = make_root()
    file = root.open(b"sub/b.txt")
    number = file.fd
    assert not os.get_inheritable(number)
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_steps_leave_no_descriptor_behind(tree):
    directory = os.open(tree, os.O_PATH)
    before = len(os.listdir("/proc/self/fd"))
    os.close(open_by_steps(directory, b"sub/sub2", os.O_RDONLY))
    for name in (b"sub/missing/x", b"a.txt/x", b"sub/b.txt/x/y"):
        with pytest.raises(OSError):  # noqa: PT011 - any will do
            open_by_steps(directory, name, os.O_RDONLY)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(directory)


def test_the_kernel_is_asked_again_when_it_was_unsure(tree, monkeypatch):
    answers = [-1, -1, 77]
    monkeypatch.setattr(static_files, "_syscall", lambda *arguments: answers.pop(0))
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.EAGAIN)
    assert static_files.openat2(3, b"x", os.O_RDONLY, 0) == 77
    answers[:] = [-1] * 100
    with pytest.raises(BlockingIOError):
        static_files.openat2(3, b"x", os.O_RDONLY, 0)
    assert answers


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_sandbox_without_openat2(tree, monkeypatch, code):
    monkeypatch.setattr(static_files, "_syscall", lambda *arguments: -1)
    monkeypatch.setattr(ctypes, "get_errno", lambda: code)
    root = Root(str(tree))
    root.check(0.0)
    assert not root.confined
    assert read(root, b"sub/b.txt") == b"b"


def test_another_system(monkeypatch):
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert not kernel_confines()


def test_a_root_that_is_a_file(make_root, tree):
    root = make_root(path=tree / "a.txt")
    assert root.is_file
    assert root.name == b"a.txt"
    assert read(root, b"") == b"a"
    assert code(root, b"x") == errno.ENOTDIR


def test_a_root_that_comes_later(make_root, tmp_path):
    root = make_root(path=tmp_path / "later")
    assert code(root, b"a.txt") == errno.ENOENT
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.txt").write_bytes(b"new")
    root.check(0.5)
    assert code(root, b"a.txt") == errno.ENOENT
    root.check(1.0)
    assert read(root, b"a.txt") == b"new"


def test_a_swapped_link_is_noticed_within_a_second(make_root, tmp_path):
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "a.txt").write_text(release)
    (tmp_path / "current").symlink_to("one")
    root = make_root(path=tmp_path / "current")
    assert read(root, b"a.txt") == b"one"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    root.check(0.9)
    assert read(root, b"a.txt") == b"one"
    root.check(1.1)
    assert read(root, b"a.txt") == b"two"
    (tmp_path / "current").unlink()
    root.check(2.2)
    assert code(root, b"a.txt") == errno.ENOENT


pieces = st.sampled_from(
    (
        *(b"a.txt", b"sub", b"up", b"inner", b"absolute", b"absolute_dir", b"leaves", b"leaves_dir", b"deep.txt"),
        *(b"leaves_absolute", b"leaves_and_returns", b"loop", b"magic", b"..", b".", b"", b"secret.txt", b"\0"),
    )
)


@given(st.lists(pieces | st.binary(max_size=5), max_size=8), st.sampled_from(["inside", "no"]), st.booleans())
def test_no_name_reads_anything_outside(tree, parts, symlinks, walking):
    root = Root(str(tree), symlinks)
    root.confined &= not walking
    root.check(0.0)
    try:
        file = root.open(b"/".join(parts))
    except OSError:
        return
    where = os.readlink(f"/proc/self/fd/{file.fd}")
    assert where == str(tree) or where.startswith(f"{tree}/")
