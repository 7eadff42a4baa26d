"""From addresses to doors, with a keeper that does what the test says."""

import errno
import os
import socket
from contextlib import suppress

import pytest

from tinfront.config.model import Address
from tinfront.front.sockets import UNSENT, CannotListen, open_doors, show
from tinfront.keeper.local import LocalKeeper


class Keeper:
    """Binds on loopback whatever is asked for; some hosts fail."""

    def __init__(self, **failing):
        self.failing = failing
        self.asked = []
        self.opened = []

    def bind(self, address, backlog):
        self.asked.append((address.host, address.port))
        code = self.failing.get({"0.0.0.0": "v4", "::": "v6"}.get(address.host, "other"))
        if code is not None:
            raise OSError(code, os.strerror(code))
        sock = socket.create_server(("127.0.0.1", 0 if address.host == "::" else address.port))
        self.opened.append(sock)
        return sock


def test_a_star_asks_for_both_families_on_one_port():
    keeper = Keeper()
    doors = open_doors(Address("tcp", "", 0), 7, keeper)
    port = doors[0].socket.getsockname()[1]
    assert keeper.asked == [("0.0.0.0", 0), ("::", port)]
    for door in doors:
        door.socket.close()


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
@pytest.mark.parametrize("family", ["v4", "v6"])
def test_a_family_that_is_missing_is_left_out(family, code):
    doors = open_doors(Address("tcp", "", 0), 7, Keeper(**{family: code}))
    assert len(doors) == 1
    doors[0].socket.close()


def test_both_families_missing_is_an_error():
    keeper = Keeper(v4=errno.EAFNOSUPPORT, v6=errno.EAFNOSUPPORT)
    with pytest.raises(CannotListen, match=r"^cannot listen on \*:80: address family not supported"):
        open_doors(Address("tcp", "", 80), 7, keeper)


def test_a_real_error_on_one_family_closes_the_other():
    keeper = Keeper(v6=errno.EADDRINUSE)
    with pytest.raises(CannotListen, match=r"^cannot listen on \*:0: address already in use$"):
        open_doors(Address("tcp", "", 0), 7, keeper)
    assert keeper.opened[0].fileno() == -1


def test_a_low_port_without_privileges_says_what_would_help():
    with pytest.raises(CannotListen) as caught:
        open_doors(Address("tcp", "127.0.0.1", 80), 7, Keeper(other=errno.EACCES))
    text = str(caught.value)
    assert text.startswith("cannot listen on 127.0.0.1:80: permission denied (ports below 1024 need root")
    assert caught.value.errno == errno.EACCES


def test_a_name_is_bound_at_each_of_its_addresses(monkeypatch):
    found = [(2, 1, 6, "", ("127.0.0.1", 80)), (10, 1, 6, "", ("::1", 80, 0, 0)), (2, 1, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
    keeper = Keeper(other=errno.EADDRNOTAVAIL)
    with pytest.raises(CannotListen):
        open_doors(Address("tcp", "two.test", 80), 7, keeper)
    assert keeper.asked == [("127.0.0.1", 80), ("::1", 80)]


def test_accepted_sockets_have_nagle_off_from_the_start():
    (door,) = open_doors(Address("tcp", "127.0.0.1", 0), 7, LocalKeeper({}))
    with door.socket, socket.create_connection(door.socket.getsockname()):
        accepted, _ = _accept(door.socket)
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_only_the_successor_removes_the_path(tmp_path):
    path = tmp_path / "s"
    (door,) = open_doors(Address("unix", path=str(path)), 7, LocalKeeper({}))
    successor = door.successor()
    successor.remove_path()
    assert path.exists()
    door.hand_over(successor)
    door.socket.close()
    door.remove_path()
    assert path.exists()
    successor.socket.close()
    successor.remove_path()
    assert not path.exists()


def test_doors_show_where_they_are(tmp_path):
    keeper = LocalKeeper({})
    (door,) = open_doors(Address("unix", path=str(tmp_path / "s")), 7, keeper)
    assert str(door) == f"unix:{tmp_path}/s"
    door.socket.close()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("tcp", "", 80), "*:80"),
        (Address("tcp", "::1", 80), "[::1]:80"),
        (Address("unix", path="/run/s"), "unix:/run/s"),
        (Address("fd", port=3), "fd:3"),
        (Address("systemd", path="web"), "systemd:web"),
    ],
)
def test_addresses_are_shown_as_they_are_written(address, text):
    assert show(address) == text


def _accept(listening):
    listening.setblocking(True)
    return listening.accept()


def test_the_kernel_takes_only_so_much_for_a_client_that_does_not_read():
    [door] = open_doors(Address("tcp", "127.0.0.1", 0), 7, Keeper())
    with door.socket, socket.create_connection(door.socket.getsockname()):
        accepted, _ = door.socket.accept()
        with accepted:
            accepted.setblocking(False)
            taken = 0
            with suppress(BlockingIOError):
                while taken < 16 * UNSENT:
                    taken += accepted.send(b"x" * 65536)
    assert UNSENT <= taken < 4 * UNSENT
