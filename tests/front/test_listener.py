"""The listener: binding, counting, sweeping, draining."""

import errno
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.rig import Rig, dial, port_of, talk
from tinfront.config.model import Address, Limits
from tinfront.errors import ConfigError
from tinfront.front.listener import BETWEEN_PARTS, CannotListen
from tinfront.front.roll import PART

LOCAL = Address("tcp", "127.0.0.1", 0)


@pytest.fixture(params=["uvloop", "asyncio", "reactor"])
def rig(request):
    rig = Rig(request.param)
    yield rig
    rig.close()


@pytest.fixture
def fast():
    rig = Rig("uvloop")
    yield rig
    rig.close()


def test_the_kernel_queues_before_the_start(rig):
    listener = rig.make(LOCAL)
    listener.privilegedStartService()
    with dial(listener) as client:
        assert listener.roll.accepted == 0
        listener.startService()
        assert rig.run(talk, client, b"early") == b"early"


def test_the_start_alone_binds_too(fast):
    listener = fast.make(LOCAL)
    listener.startService()
    with dial(listener) as client:
        assert fast.run(talk, client, b"x") == b"x"


def test_bound_and_urls_name_the_real_port(fast, tmp_path):
    listener = fast.listen(LOCAL, Address("unix", path=str(tmp_path / "s")))
    port = port_of_text(listener.bound[0])
    assert port > 0
    assert listener.bound == [f"127.0.0.1:{port}", f"unix:{tmp_path}/s"]
    assert listener.urls() == [f"http://127.0.0.1:{port}", f"unix:{tmp_path}/s"]


def test_a_star_is_both_families_on_one_port(fast):
    listener = fast.listen(Address("tcp", "", 0))
    ports = {port_of_text(name) for name in listener.bound}
    assert len(ports) == 1
    assert listener.bound[0].startswith("0.0.0.0:")
    if len(listener.bound) > 1:
        assert listener.bound[1].startswith("[::]:")


def test_a_port_in_use_is_named_with_the_cause(fast):
    taken = port_of(fast.listen())
    with pytest.raises(CannotListen) as caught:
        fast.make(LOCAL, Address("tcp", "127.0.0.1", taken)).privilegedStartService()
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{taken}: address already in use"
    assert caught.value.errno == errno.EADDRINUSE


def test_nothing_stays_bound_if_one_address_fails(fast):
    taken = port_of(fast.listen())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    listener = fast.make(Address("tcp", "127.0.0.1", free), Address("tcp", "127.0.0.1", taken))
    with pytest.raises(CannotListen):
        listener.privilegedStartService()
    assert listener.bound == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free), 1)


def test_a_name_that_does_not_resolve(fast):
    with pytest.raises(CannotListen, match=r"^cannot listen on no\.such\.invalid:80: "):
        fast.make(Address("tcp", "no.such.invalid", 80)).privilegedStartService()


def test_counts(rig):
    listener = rig.listen()
    client, connection = rig.connect(listener)
    assert (listener.roll.accepted, listener.roll.current, rig.capacity.used) == (1, 1, 1)
    assert list(listener.connections) == [connection]
    client.close()
    rig.until(lambda: connection.lost)
    assert (listener.roll.accepted, listener.roll.current, rig.capacity.used) == (1, 0, 0)
    assert not listener.connections


def test_the_sweep_expires_only_what_is_overdue(rig):
    listener = rig.listen()
    clients = [rig.connect(listener) for _ in range(3)]
    clients[1][1].deadline = 99.0
    listener.sweep(now=100.0)
    assert [connection.calls for _, connection in clients] == [["made"], ["made", "expire"], ["made"]]
    rig.until(lambda: clients[1][1].lost)
    for client, _ in clients:
        client.close()


def test_a_sweep_with_much_to_look_at_lets_others_have_their_turn(fast):
    listener = fast.listen()
    clients = [fast.connect(listener) for _ in range(PART + 1)]
    for _, connection in clients:
        connection.deadline = 0.0
    fast.reactor.advance(1.0)
    assert [connection.calls[-1] for _, connection in clients] == ["expire"] * PART + ["made"]
    fast.reactor.advance(BETWEEN_PARTS)
    assert clients[-1][1].calls == ["made", "expire"]
    fast.until(lambda: all(connection.lost for _, connection in clients))
    for client, _ in clients:
        client.close()


def test_a_listener_may_end_in_the_middle_of_a_sweep(fast):
    listener = fast.listen()
    clients = [fast.connect(listener) for _ in range(PART + 1)]
    for _, connection in clients:
        connection.deadline = 0.0
    fast.reactor.advance(1.0)
    ended = listener.stopService()
    fast.until(lambda: ended.called)
    assert fast.reactor.getDelayedCalls() == []
    for client, _ in clients:
        client.close()


def test_one_connection_that_fails_to_expire_does_not_save_the_next(fast):
    listener = fast.listen()
    first, second = fast.connect(listener), fast.connect(listener)
    first[1].deadline = second[1].deadline = 0.0
    first[1].expire = lambda now: 1 / 0
    listener.sweep(now=1.0)
    assert second[1].calls == ["made", "expire"]
    fast.until(lambda: first[1].lost and second[1].lost)
    for client, _ in (first, second):
        client.close()


def test_the_sweep_comes_once_a_second(fast):
    listener = fast.listen()
    client, connection = fast.connect(listener)
    connection.deadline = 0.0
    fast.reactor.advance(1.0)
    assert connection.calls == ["made", "expire"]
    fast.until(lambda: connection.lost)
    client.close()


def test_drain_asks_all_and_fires_when_the_last_is_gone(rig):
    listener = rig.listen()
    client, connection = rig.connect(listener)
    connection.drain = lambda farewell: connection.calls.append("drain")
    gone = listener.drain(30)
    assert connection.calls == ["made", "drain"]
    assert not gone.called
    connection.transport.close()
    rig.until(lambda: gone.called)
    client.close()


def test_drain_cuts_at_the_end_of_the_grace(fast):
    listener = fast.listen()
    client, connection = fast.connect(listener)
    connection.drain = lambda farewell: None
    gone = listener.drain(30)
    fast.reactor.advance(29)
    fast.spin()
    assert not gone.called
    fast.reactor.advance(1)
    fast.until(lambda: gone.called)
    assert connection.lost
    client.close()


def test_hurry_says_why_and_leaves_the_last_words(fast):
    listener = fast.listen()
    client, connection = fast.connect(listener)
    connection.end = connection.calls.append
    listener.hurry("no patience")
    assert connection.calls == ["made", "no patience"]
    fast.spin()
    assert not connection.lost
    fast.reactor.advance(0.5)
    fast.until(lambda: connection.lost)
    client.close()


def test_drain_of_nobody_fires_at_once(fast):
    assert fast.listen().drain(30).called


def test_what_the_kernel_had_queued_is_still_served(rig):
    listener = rig.make(LOCAL)
    listener.privilegedStartService()
    listener.startService()
    port = port_of(listener)
    clients = [dial(listener) for _ in range(70)]  # more than a batch
    gone = listener.drain(30)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
    assert [rig.run(talk, client, b"late") for client in clients] == [b"late"] * 70
    listener.sweep(now=0.0)  # now they are asked to go
    rig.until(lambda: gone.called)
    assert listener.roll.accepted == 70
    for client in clients:
        client.close()


def test_at_the_bound_clients_wait_in_the_kernel(rig):
    rig.capacity.limit = 2
    listener = rig.listen()
    first, connection = rig.connect(listener)
    connection.drain = lambda: connection.calls.append("asked")
    second, _ = rig.connect(listener)
    third = dial(listener)
    third.sendall(b"may I?")
    rig.until(lambda: rig.capacity.pauses)  # nobody is idle
    listener.sweep(now=1e11)
    assert "asked" not in connection.calls
    connection.idle = 0.0
    listener.sweep(now=1e12)
    assert "asked" in connection.calls
    assert listener.roll.current <= 2
    first.close()
    assert rig.run(third.recv, 10) == b"may I?"
    assert listener.roll.refused == 0
    second.close()
    third.close()


def test_at_the_bound_the_idlest_makes_room_at_once(rig):
    rig.capacity.limit = 3
    listener = rig.listen()
    clients = [rig.connect(listener) for _ in range(3)]
    for (_, connection), idle in zip(clients, (30.0, 10.0, 20.0), strict=True):
        connection.idle = idle
    newcomers = []
    for gone in ([1], [1, 2], [0, 1, 2]):
        newcomers.append(dial(listener))
        newcomers[-1].sendall(b"may I?")
        assert rig.run(newcomers[-1].recv, 10) == b"may I?"
        assert [number for number, (_, connection) in enumerate(clients) if connection.lost] == gone
    assert listener.roll.closed_idle == 3
    assert rig.capacity.pauses == 0
    for client in (*newcomers, *(client for client, _ in clients)):
        client.close()


def test_running_out_of_descriptors_pauses_and_loses_nobody():
    outcome = _run_in_child(
        """
        import os, resource, socket
        rig = Rig("uvloop")
        listener = rig.listen()
        warm, _ = rig.connect(listener)
        clients = [dial(listener) for _ in range(10)]
        used = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        for _ in range(20): rig.spin()
        held = listener.roll.current
        assert held < 11, held
        assert os.open("/dev/null", os.O_RDONLY) > 0   # a spare one is there for who is being served
        done = 0
        while done < 10:
            for client in list(clients):
                client.settimeout(0.01)
                try:
                    client.sendall(b"x")
                    if rig.run(client.recv, 1) == b"x":
                        client.close(); clients.remove(client); done += 1
                except TimeoutError:
                    rig.reactor.advance(0.5)
        print("all served")
        warm.close()
        rig.close()
        """
    )
    assert outcome == "all served"


def test_accepting_resumes_after_a_pause_even_if_nobody_closes(fast):
    listener = fast.listen()
    failing = [OSError(errno.EMFILE, "Too many open files")]
    acceptor = listener._acceptors[0]
    real = acceptor.socket

    class Exhausted:
        def accept(self):
            if failing:
                raise failing.pop()
            return real.accept()

        def __getattr__(self, name):
            return getattr(real, name)

    acceptor.socket = Exhausted()
    client = dial(listener)
    fast.until(lambda: not failing)
    for _ in range(3):
        fast.spin()
    assert listener.roll.accepted == 0
    fast.reactor.advance(0.5)
    fast.until(lambda: listener.roll.accepted == 1)
    client.close()


def test_a_client_that_left_in_the_queue_is_no_trouble(rig):
    listener = rig.make(LOCAL)
    listener.privilegedStartService()
    dial(listener).close()
    listener.startService()
    with dial(listener) as client:
        assert rig.run(talk, client, b"next") == b"next"
    rig.until(lambda: listener.roll.current == 0)


def test_unix_sockets_are_removed_at_the_end_unless_another_took_the_path(fast, tmp_path):
    path = tmp_path / "s"
    first = fast.listen(Address("unix", path=str(path)))
    first.stop_accepting()
    assert not path.exists()
    second = fast.listen(Address("unix", path=str(path)))
    path.unlink()
    path.write_text("mine")
    second.stop_accepting()
    assert path.read_text() == "mine"


def test_a_successor_takes_the_sockets_over(rig, tmp_path):
    addresses = LOCAL, Address("unix", path=str(tmp_path / "s"))
    old = rig.listen(*addresses)
    bound = old.bound
    client, connection = rig.connect(old)
    new = rig.make(*addresses, limits=Limits(line=1000))
    new.inherit(old)
    new.privilegedStartService()
    assert new.bound == bound
    new.startService()
    gone = old.drain(30)
    rig.until(lambda: gone.called)
    assert connection.lost
    client.close()
    with dial(new) as fresh:
        assert rig.run(talk, fresh, b"new") == b"new"
    assert (tmp_path / "s").exists()
    assert new.roll.accepted == 1
    new.stop_accepting()
    assert not (tmp_path / "s").exists()


def test_an_inherited_descriptor(rig):
    with socket.create_server(("127.0.0.1", 0)) as passed:
        listener = rig.listen(Address("fd", port=os.dup(passed.fileno())))
        with dial(listener) as client:
            assert rig.run(talk, client, b"fd") == b"fd"


def test_systemd_sockets_of_one_name_are_all_taken(fast):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        fast.keeper._named = {"web": [os.dup(one.fileno()), os.dup(two.fileno())]}
        listener = fast.listen(Address("systemd", path="web"))
        assert [port_of_text(name) for name in listener.bound] == [s.getsockname()[1] for s in (one, two)]


def test_a_missing_systemd_socket_is_named(fast):
    with pytest.raises(CannotListen, match=r"^cannot listen on systemd:web: systemd passed no socket of this name"):
        fast.make(Address("systemd", path="web")).privilegedStartService()


def test_tls_without_a_certificate_is_a_config_error(fast):
    listener = fast.make(LOCAL)
    object.__setattr__(listener.model, "tls", True)
    with pytest.raises(ConfigError, match="no site has a certificate"):
        listener.privilegedStartService()


def port_of_text(name):
    return int(name.rpartition(":")[2])


def _run_in_child(code):
    root = Path(__file__).parents[2]
    program = "from tests.rig import Rig, dial\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=root, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_an_heir_that_never_starts_has_taken_nothing(rig, tmp_path):
    path = tmp_path / "s"
    old = rig.listen(LOCAL, Address("unix", path=str(path)))
    bound = old.bound
    new = rig.make(LOCAL, Address("unix", path=str(path)), Address("tcp", "127.0.0.1", 0))
    new.inherit(old)
    new.privilegedStartService()
    assert new.bound[:2] == bound
    assert new.stopService().called
    assert path.exists()
    with dial(old) as client:
        assert rig.run(talk, client, b"as before") == b"as before"
    assert rig.capacity.rolls == [old.roll]


def test_what_the_kernel_has_queued_is_the_heirs(rig):
    old = rig.listen(LOCAL)
    new = rig.make(LOCAL, limits=Limits(line=1000))
    new.inherit(old)
    new.privilegedStartService()
    with dial(old) as queued:
        new.startService()
        gone = old.drain(30)
        assert gone.called
        assert rig.run(talk, queued, b"x") == b"x"
    assert (old.roll.accepted, new.roll.accepted) == (0, 1)
