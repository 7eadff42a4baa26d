"""What ``test_local`` does not show of opening things."""

import errno
import fcntl
import os
import stat

import pytest

from tinfront.config.model import Address
from tinfront.keeper.ports import bind, open_key, open_log, remove_stale


def test_the_mode_of_a_unix_socket_is_not_the_umask_s(tmp_path):
    path = tmp_path / "s"
    before = os.umask(0o077)
    try:
        with bind(Address("unix", path=str(path)), 7):
            assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    remove_stale(str(path))
    assert not path.exists()
    remove_stale(str(path))


def test_a_log_is_appended_to(tmp_path):
    path = tmp_path / "log"
    for text in (b"one\n", b"two\n"):
        fd = open_log(str(path))
        os.write(fd, text)
        assert os.get_blocking(fd)
        assert not os.get_inheritable(fd)
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
        os.close(fd)
    assert path.read_text() == "one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) & 0o137 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root owns a directory of root's")
def test_a_link_is_followed_where_only_root_can_have_put_it(tmp_path):
    (tmp_path / "log").symlink_to("target")
    tmp_path.chmod(0o755)
    os.close(open_log(str(tmp_path / "log")))
    assert (tmp_path / "target").exists()
    for mode, owner in ((0o777, 0), (0o775, 0), (0o755, 65534)):
        tmp_path.chmod(mode)
        os.chown(tmp_path, owner, 0)
        with pytest.raises(OSError, match="symbolic") as caught:
            open_log(str(tmp_path / "log"))
        assert caught.value.errno == errno.ELOOP


def test_a_key_is_a_file(tmp_path):
    (tmp_path / "k").write_bytes(b"key")
    fd = open_key(str(tmp_path / "k"))
    assert os.read(fd, 10) == b"key"
    os.close(fd)
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match="is not a file"):
            open_key(str(other))
