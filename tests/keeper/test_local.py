"""Binding, adopting, reading keys and starting nurseries."""

import errno
import os
import resource
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from tinfront.config.model import Address
from tinfront.interfaces import IKeeper
from tinfront.keeper import local as keeper_module
from tinfront.keeper.local import LocalKeeper, raise_descriptor_limit


@pytest.fixture
def keeper():
    keeper = LocalKeeper({})
    yield keeper
    keeper.close()


def test_it_is_a_keeper(keeper):
    assert verifyObject(IKeeper, keeper)


def test_tcp(keeper):
    with keeper.bind(Address("tcp", "127.0.0.1", 0), 7) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not sock.getblocking()
        assert not sock.get_inheritable()


def test_ipv6_is_ipv6_only(keeper):
    try:
        sock = keeper.bind(Address("tcp", "::1", 0), 7)
    except OSError:
        pytest.skip("no IPv6 here")
    with sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_port_in_use(keeper):
    with keeper.bind(Address("tcp", "127.0.0.1", 0), 7) as sock, pytest.raises(OSError, match="in use"):
        keeper.bind(Address("tcp", "127.0.0.1", sock.getsockname()[1]), 7)


def test_a_unix_socket_is_open_to_all(keeper, tmp_path):
    path = tmp_path / "s"
    with keeper.bind(Address("unix", path=str(path)), 7):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_stale_unix_socket_is_replaced(keeper, tmp_path):
    address = Address("unix", path=str(tmp_path / "s"))
    keeper.bind(address, 7).close()  # the path stays
    with keeper.bind(address, 7), socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)


def test_a_living_unix_socket_is_not(keeper, tmp_path):
    address = Address("unix", path=str(tmp_path / "s"))
    with keeper.bind(address, 7):
        with pytest.raises(OSError, match="in use") as caught:
            keeper.bind(address, 7)
        assert caught.value.errno == errno.EADDRINUSE
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address.path)


def test_a_living_unix_socket_with_a_full_backlog_is_not_either(keeper, tmp_path):
    address = Address("unix", path=str(tmp_path / "s"))
    with keeper.bind(address, 0), socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)
        with pytest.raises(OSError, match="in use"):
            keeper.bind(address, 7)


def test_a_file_in_the_way_is_left_alone(keeper, tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(OSError, match="not a socket is in the way"):
        keeper.bind(Address("unix", path=str(path)), 7)
    assert path.read_text() == "precious"


def test_a_directory_that_is_missing(keeper, tmp_path):
    with pytest.raises(FileNotFoundError):
        keeper.bind(Address("unix", path=str(tmp_path / "no" / "s")), 7)


def test_a_descriptor_can_be_bound_again_and_again(keeper):
    with socket.create_server(("127.0.0.1", 0)) as passed:
        address = Address("fd", port=os.dup(passed.fileno()))
        os.set_inheritable(address.port, True)
        with keeper.bind(address, 7) as first, keeper.bind(address, 7) as second:
            assert first.getsockname() == second.getsockname() == passed.getsockname()
            assert not first.getblocking()
            assert not os.get_inheritable(address.port)


def test_descriptors_that_are_no_listening_sockets(keeper):
    with pytest.raises(OSError, match="Bad file descriptor"):
        keeper.bind(Address("fd", port=987), 7)
    with open(os.devnull) as file, pytest.raises(OSError, match="is not a socket"):
        keeper.bind(Address("fd", port=file.fileno()), 7)
    with socket.socket() as sock, pytest.raises(OSError, match="is not a listening stream socket"):
        keeper.bind(Address("fd", port=sock.fileno()), 7)
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(OSError, match="is not a listening"):
        keeper.bind(Address("fd", port=sock.fileno()), 7)


def test_systemd_sockets_by_name(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first = _neighbours(one.fileno(), two.fileno())
        monkeypatch.setattr(keeper_module, "FIRST_INHERITED", first)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:admin", "HOME": "/"}
        keeper = LocalKeeper(environ)
        assert environ == {"HOME": "/"}
        assert not os.get_inheritable(first)
        with keeper.bind(Address("systemd", path="admin"), 7) as sock:
            assert sock.getsockname() == two.getsockname()
        with pytest.raises(OSError, match=r"no socket of this name \(it passed admin, web\)"):
            keeper.bind(Address("systemd", path="other"), 7)
        with pytest.raises(OSError, match="no socket of this name"):
            keeper.bind(Address("systemd", path="admin", port=1), 7)
        keeper.close()
        for fd in (first, first + 1):
            try:
                os.close(fd)
            except OSError:
                assert fd == first + 1  # the keeper had adopted that one


def test_systemd_sockets_without_names_are_called_unknown(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as one:
        monkeypatch.setattr(keeper_module, "FIRST_INHERITED", os.dup(one.fileno()))
        keeper = LocalKeeper({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
        with keeper.bind(Address("systemd", path="unknown"), 7) as sock:
            assert sock.getsockname() == one.getsockname()
        keeper.close()


@pytest.mark.parametrize(
    "environ",
    [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}],
)
def test_what_systemd_passed_to_others_is_not_ours(environ):
    keeper = LocalKeeper(environ)
    with pytest.raises(OSError, match="it passed none at all"):
        keeper.bind(Address("systemd", path="unknown"), 7)


def test_keys_are_read_whole(keeper, tmp_path):
    (tmp_path / "k").write_bytes(b"\x00key\xff")
    assert keeper.read_key(str(tmp_path / "k")) == b"\x00key\xff"
    with pytest.raises(FileNotFoundError):
        keeper.read_key(str(tmp_path / "none"))


def test_the_descriptor_limit_is_raised():
    code = (
        "import resource; from tinfront.keeper.local import raise_descriptor_limit;"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard));"
        "assert raise_descriptor_limit() == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[0]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1], timeout=60)


def test_a_limit_that_cannot_be_raised_stays(monkeypatch):
    def refuse(which, limits):
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 200))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == 100


def _neighbours(one, two):
    """Duplicates of two descriptors under numbers that follow each other."""
    first = 200
    os.dup2(one, first, inheritable=True)
    os.dup2(two, first + 1, inheritable=True)
    return first
