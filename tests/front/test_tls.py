"""TLS on both paths: the right certificate, nothing but TLS, and a reload that disturbs nobody."""

import socket
import ssl

import pytest
import trustme
from zope.interface.verify import verifyObject

from tests.rig import Rig, dial, read_all, talk
from tinfront.config.model import Limits, Place, Site
from tinfront.errors import ConfigError
from tinfront.front.threshold import PLAIN_TEXT_ANSWER
from tinfront.front.tls import FOREIGN, Certificates, Names
from tinfront.interfaces import ITransport
from tinfront.keeper.local import LocalKeeper


@pytest.fixture(params=["uvloop", "asyncio", "reactor"])
def rig(request):
    rig = Rig(request.param)
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def sites(authority, tmp_path):
    """Two sites with certificates of their own, and one without."""
    found = []
    for name, hosts in {"one": ("one.test",), "two": ("two.test", "*.two.test")}.items():
        issue(authority, tmp_path, name, *hosts)
        found.append(Site(name, hosts, name == "two", f"{tmp_path}/{name}.pem", f"{tmp_path}/{name}.key"))
    return (*found, Site("bare", ("bare.test",)))


@pytest.fixture
def certificates(sites, tmp_path):
    return Certificates(sites, LocalKeeper({}), str(tmp_path))


def issue(authority, folder, name, *hosts):
    issued = authority.issue_cert(*hosts)
    (folder / f"{name}.key").write_bytes(issued.private_key_pem.bytes())
    (folder / f"{name}.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))


def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_each_name_gets_its_certificate_and_the_connection_knows_it(rig, authority, certificates):
    listener = rig.listen(certificates=certificates)
    for name, site in (("one.test", "one"), ("two.test", "two"), ("sub.two.test", "two"), ("ONE.test", "one")):
        with rig.run(shake, listener, authority, name) as client:
            assert rig.run(talk, client, b"secret") == b"secret"
            connection = rig.connections[-1]
            assert Certificates.of(connection.transport) == certificates.key_for(site)
            assert connection.arrival.secure is True
            assert connection.transport.get_extra_info("socket") is None
            assert verifyObject(ITransport, connection.transport)
            assert not connection.transport.can_write_eof()
    assert listener.roll.accepted == 4
    assert listener.urls()[0].startswith("https://127.0.0.1:")


@pytest.mark.parametrize("name", [None, "unknown.test", "bare.test"])
def test_other_names_get_the_default_sites_certificate(rig, authority, certificates, name):
    listener = rig.listen(certificates=certificates)
    context = client_context(authority)
    context.check_hostname = False
    with rig.run(shake, listener, authority, name, context):
        rig.until(lambda: rig.connections[-1].transport)
        assert Certificates.of(rig.connections[-1].transport) == certificates.key_for("two")
    assert certificates.key_for("bare") == certificates.key_for("two")
    assert certificates.key_for("nobody") is None


def test_alpn_and_versions(rig, authority, certificates):
    listener = rig.listen(certificates=certificates)
    context = client_context(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with rig.run(shake, listener, authority, "one.test", context) as client:
        assert client.selected_alpn_protocol() == "http/1.1"
        assert client.version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with rig.run(shake, listener, authority, "two.test", context) as client:
        assert client.version() == "TLSv1.2"
        assert client.cipher()[0].startswith("ECDHE-")
        assert client.compression() is None


def test_an_alpn_of_strangers_is_ignored(rig, authority, certificates):
    context = client_context(authority)
    context.set_alpn_protocols(["imap"])
    with rig.run(shake, rig.listen(certificates=certificates), authority, "one.test", context) as client:
        assert client.selected_alpn_protocol() is None


def test_old_versions_are_refused(rig, authority, certificates):
    listener = rig.listen(certificates=certificates)
    context = client_context(authority)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)alert|protocol|version"):
        rig.run(shake, listener, authority, "one.test", context)
    rig.until(lambda: listener.roll.current == 0)
    assert listener.roll.handshake_failed == 1
    assert not listener.roll.pending
    assert all(connection.transport is None for connection in rig.connections)


def test_connection_made_comes_after_the_handshake(rig, authority, certificates):
    listener = rig.listen(certificates=certificates)
    client = dial(listener)
    client.sendall(b"\x16\x03\x01")  # the beginning of a hello
    rig.until(lambda: rig.connections and listener.roll.pending)
    assert rig.connections[0].calls == []
    assert not listener.connections
    client.close()
    rig.until(lambda: listener.roll.current == 0)
    assert listener.roll.handshake_failed == 1
    assert rig.connections[0].calls == []
    assert rig.connections[0].lost == 0


def test_plain_text_is_answered_in_plain_text(rig, certificates):
    listener = rig.listen(certificates=certificates)
    with dial(listener) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: one.test\r\n\r\n")
        answer = rig.run(read_all, client)
        assert answer == PLAIN_TEXT_ANSWER
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"plain HTTP was sent to an HTTPS port" in answer
        rig.run(client.sendall, b"x" * 100_000)  # is read and dropped, not reset
    rig.until(lambda: listener.roll.current == 0)
    assert rig.connections == []


def test_plain_text_lingers_only_so_long(rig, certificates):
    listener = rig.listen(certificates=certificates)
    with dial(listener) as client:
        client.sendall(b"hello?")
        rig.until(lambda: listener.connections)
        listener.sweep()
        assert listener.connections
        listener.sweep(now=1e12)
        rig.until(lambda: listener.roll.current == 0)


def test_silent_clients_are_closed_by_the_sweep(rig, certificates):
    listener = rig.listen(certificates=certificates, limits=Limits(handshake_timeout=5.0))
    with dial(listener) as client:
        rig.until(lambda: listener.roll.pending)
        until = next(iter(listener.roll.pending.values()))
        listener.sweep(now=until - 0.1)
        assert listener.roll.current == 1
        listener.sweep(now=until)
        assert rig.run(client.recv, 1) == b""
    assert listener.roll.current == 0
    assert listener.roll.handshake_failed == 1


def test_a_stuck_handshake_is_cut_by_the_sweep(rig, certificates):
    listener = rig.listen(certificates=certificates)
    with dial(listener) as client:
        client.sendall(b"\x16\x03\x01\x02")
        rig.until(lambda: rig.connections and listener.roll.pending)
        listener.sweep(now=1e12)
        assert rig.run(_read_or_reset, client) == b""
        rig.until(lambda: listener.roll.current == 0)
    assert listener.roll.handshake_failed == 1


def test_drain_closes_silent_clients_and_lets_handshakes_finish(rig, authority, certificates):
    listener = rig.listen(certificates=certificates)
    silent, begun = dial(listener), dial(listener)
    begun.sendall(b"\x16\x03\x01\x02")
    rig.until(lambda: len(listener.roll.pending) == 2 and rig.connections)
    gone = listener.drain(3000)
    assert rig.run(silent.recv, 1) == b""
    assert len(listener.roll.pending) == 1
    begun.close()
    silent.close()
    rig.until(lambda: gone.called)


def test_nothing_is_delivered_while_reading_is_paused(rig, authority, certificates):
    listener = rig.listen(certificates=certificates)
    with rig.run(shake, listener, authority, "one.test") as client:
        connection = rig.connections[-1]
        rig.until(lambda: connection.transport)
        connection.transport.pause_reading()
        client.sendall(b"patience")
        with rig.run(shake, listener, authority, "two.test") as other:
            assert rig.run(talk, other, b"x") == b"x"
        assert connection.received == b""
        connection.transport.resume_reading()
        rig.until(lambda: connection.received == b"patience")


def test_pausing_within_data_received_holds_the_rest(rig, authority, certificates):
    with rig.run(shake, rig.listen(certificates=certificates), authority, "one.test") as client:
        connection = rig.connections[-1]
        rig.until(lambda: connection.transport)
        parts = []

        def take(data):
            parts.append(data)
            connection.transport.pause_reading()

        connection.take = take
        rig.run(client.sendall, b"x" * 100_000)
        rig.until(lambda: parts)
        for _ in range(20):
            rig.spin()
        assert len(parts) == 1
        while sum(map(len, parts)) < 100_000:
            seen = len(parts)
            connection.transport.resume_reading()
            rig.until(lambda seen=seen: len(parts) > seen)


def test_a_slow_reader_pauses_and_resumes_the_connection(rig, authority, certificates):
    with rig.run(shake, rig.listen(certificates=certificates), authority, "one.test") as client:
        connection = rig.connections[-1]
        rig.until(lambda: connection.transport)
        data = b""
        while connection.calls[-1] != "pause":  # the kernel's buffer grows, so it may take several
            data += b"0123456789" * 10_000
            connection.transport.write(data[-100_000:])
            for _ in range(5):
                rig.spin()
        least, most = (0, 100_000) if rig.fast else (64 * 1024, 512 * 1024)
        assert least < connection.transport.get_write_buffer_size() <= most
        assert rig.run(_read, client, len(data)) == data
        rig.until(lambda: connection.calls[-1] == "resume")
        rig.until(lambda: connection.transport.get_write_buffer_size() == 0)


def test_close_sends_what_is_buffered_first(rig, authority, certificates):
    data = b"0123456789" * 1_000_000
    with rig.run(shake, rig.listen(certificates=certificates), authority, "one.test") as client:
        connection = rig.connections[-1]
        rig.until(lambda: connection.transport)
        connection.transport.write(data)
        connection.transport.close()
        assert rig.run(_read, client, len(data)) == data
        assert rig.run(client.recv, 1) == b""  # an orderly end, not a truncation
    rig.until(lambda: connection.lost)
    assert connection.error is None


def test_a_slow_client_gets_all_of_it_after_close(rig, authority, certificates):
    data = b"0123456789" * 1_000_000
    listener = rig.listen(certificates=certificates)
    with rig.run(shake, listener, authority, "one.test") as client:
        connection = rig.connections[-1]
        rig.until(lambda: connection.transport)
        connection.transport.write(data)
        connection.transport.close()
        assert connection.transport.get_write_buffer_size() > 1_000_000
        since = next(iter(listener.roll.parting.values()))[1]
        listener.sweep(now=since + 59)
        left = connection.transport.get_write_buffer_size()
        got = rig.run(_read, client, len(data) // 2)
        rig.until(lambda: connection.transport.get_write_buffer_size() < left)
        listener.sweep(now=since + 119)  # it has moved since
        listener.sweep(now=since + 178)
        got += rig.run(_read, client, len(data) - len(got))
        assert got == data


def test_a_client_that_takes_nothing_after_close_is_cut(rig, authority, certificates):
    listener = rig.listen(certificates=certificates)
    with rig.run(shake, listener, authority, "one.test"):
        connection = rig.connections[-1]
        rig.until(lambda: connection.transport)
        connection.transport.write(b"0123456789" * 1_000_000)
        connection.transport.close()
        for _ in range(10):
            rig.spin()
        listener.sweep()
        since = next(iter(listener.roll.parting.values()))[1]
        listener.sweep(now=since + 59)
        assert listener.roll.current == 1
        listener.sweep(now=since + 60)
        rig.until(lambda: connection.lost)
    assert not listener.roll.parting


def test_a_client_that_does_not_say_goodbye_is_cut(rig, authority, certificates):
    listener = rig.listen(certificates=certificates)
    with rig.run(shake, listener, authority, "one.test"):
        connection = rig.connections[-1]
        rig.until(lambda: connection.transport)
        connection.transport.close()
        since = next(iter(listener.roll.parting.values()))[1]
        for _ in range(10):
            rig.spin()
        listener.sweep(now=since + 4)
        assert listener.roll.current == 1
        listener.sweep(now=since + 10)
        rig.until(lambda: connection.lost)


def test_abort(rig, authority, certificates):
    with rig.run(shake, rig.listen(certificates=certificates), authority, "one.test"):
        connection = rig.connections[-1]
        rig.until(lambda: connection.transport)
        connection.transport.abort()
        rig.until(lambda: connection.lost)
        connection.transport.abort()
        connection.transport.write(b"too late")
        connection.transport.close()
        rig.spin()
    assert connection.lost == 1


def test_a_reload_is_for_new_connections_only(rig, authority, sites, certificates, tmp_path):
    listener = rig.listen(certificates=certificates)
    with rig.run(shake, listener, authority, "one.test") as before:
        issue(authority, tmp_path, "one", "one.test", "more.test")
        certificates.reload()
        assert rig.run(talk, before, b"undisturbed") == b"undisturbed"
        with rig.run(shake, listener, authority, "one.test") as after:
            names = [value for _, value in after.getpeercert()["subjectAltName"]]
            assert names == ["one.test", "more.test"]
            assert "more.test" not in str(before.getpeercert())
            rig.until(lambda: rig.connections[-1].transport)
            assert Certificates.of(rig.connections[-1].transport) == certificates.key_for("one")
            assert Certificates.of(rig.connections[0].transport) == certificates.key_for("one")


def test_a_reload_that_fails_changes_nothing(rig, authority, certificates, tmp_path):
    listener = rig.listen(certificates=certificates)
    context = certificates.context
    (tmp_path / "one.key").write_text("broken")
    with pytest.raises(ConfigError):
        certificates.reload()
    assert certificates.context is context
    with rig.run(shake, listener, authority, "one.test") as client:
        assert rig.run(talk, client, b"as before") == b"as before"


def test_loading_twice_reads_once(certificates, tmp_path):
    certificates.load()
    context = certificates.context
    (tmp_path / "one.key").unlink()
    certificates.load()
    assert certificates.context is context


def test_sites_may_change_at_a_reload(certificates, sites):
    certificates.load()
    certificates.reload(sites[:1])
    assert certificates.key_for("two") is None
    assert certificates.selection.default == certificates.key_for("one")


def test_an_endpoint_with_our_tls(authority, certificates):
    rig = Rig("reactor")
    listener = rig.listen(endpoint="tcp:0:interface=127.0.0.1", certificates=certificates)
    with rig.run(shake, listener, authority, "one.test") as client:
        assert rig.run(talk, client, b"x") == b"x"
        assert rig.connections[-1].arrival.secure is True
        assert Certificates.of(rig.connections[-1].transport) == certificates.key_for("one")
    rig.close()


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted does
def test_the_tls_of_an_endpoint_is_secure_and_fits_any_site(authority, certificates, tmp_path, monkeypatch):
    certificates.load()
    rig = Rig("reactor")
    monkeypatch.setattr("twisted.protocols.tls._get_default_clock", lambda: rig.reactor)
    text = f"ssl:0:interface=127.0.0.1:privateKey={tmp_path}/one.key:certKey={tmp_path}/one.pem"
    listener = rig.make(endpoint=text)
    listener.privilegedStartService()
    listener.startService()
    assert listener.urls()[0].startswith("https://")
    with rig.run(shake, listener, authority, "one.test") as client:
        assert rig.run(talk, client, b"x") == b"x"
        connection = rig.connections[-1]
        assert connection.arrival.secure is True
        assert connection.arrival.peer == client.getsockname()
        assert Certificates.of(connection.transport) == certificates.key_for("one")
        assert Certificates.of(connection.transport) == certificates.key_for("two")
    rig.close()


def test_no_certificate_is_used_without_tls(rig):
    client, connection = rig.connect(rig.listen())
    with client:
        assert Certificates.of(connection.transport) is None


def test_foreign_equals_everything():
    assert FOREIGN == ("a", "b")
    site = ("a", "b")
    assert (site != FOREIGN) is False  # as an exchange asks it


def test_names_prefer_the_exact_then_the_longest_wildcard():
    names = Names(("default", ""))
    names.add(("*.test", "*.b.test", "a.b.test"), ("first", ""))
    names.add(("*.b.test",), ("late", ""))
    names.add(("*.c.b.test",), ("deep", ""))
    assert names.find("a.b.test") == ("first", "")
    assert names.find("X.C.B.test") == ("deep", "")
    assert names.find("y.b.test") == ("first", "")
    assert names.find("test") == ("default", "")
    assert names.find("") == names.find(None) == ("default", "")


def test_no_certificate_at_all_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="no site has a certificate"):
        Certificates((Site("x", place=Place("site.ini", 3)),), LocalKeeper({}), str(tmp_path)).load()


def shake(listener, authority, name, context=None):
    """Connect and shake hands."""
    context = context or client_context(authority)
    if name is None:
        context.check_hostname = False
    sock = dial(listener)
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


def _read(sock, count):
    data = bytearray()
    while len(data) < count and (piece := sock.recv(min(65536, count - len(data)))):
        data += piece
    return bytes(data)


def _read_or_reset(sock: socket.socket):
    try:
        return read_all(sock)
    except ConnectionResetError:
        return b""


def test_a_connection_made_under_an_older_certificate_of_the_site_is_its_own(certificates, sites, tmp_path):
    certificates.load()
    before = certificates.key_for("one")
    moved = Site("one", ("one.test",), False, sites[1].certificate, sites[1].certificate_key)
    certificates.reload((moved, sites[1]))
    known = certificates.key_for("one")
    assert known == before
    assert not known != before  # noqa: SIM202 - the other operator
    assert before == known
    assert known == certificates.key_for("two")
    assert known != ("another", "one")
    assert certificates.key_for("two") != before
    certificates.reload(sites)
    certificates.reload(sites[1:])
    assert certificates.key_for("one") is None
    assert certificates.key_for("two") == certificates.selection.default


def test_what_was_read_is_used_when_it_is_wanted(certificates, sites):
    certificates.load()
    context = certificates.context
    selection = certificates.read(sites[:1])
    assert certificates.context is context
    certificates.use(selection)
    assert certificates.context is selection.context is not context
