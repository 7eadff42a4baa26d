"""Development certificates."""

import socket
import ssl
import stat
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tinfront.front import devcert


def test_it_names_the_hosts_and_this_machine(tmp_path):
    _, pem = devcert.provide(str(tmp_path), "demo", ["demo.test", "*.demo.test", "10.0.0.1", "localhost"])
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["demo.test", "*.demo.test", "localhost"]
    assert list(map(str, names.get_values_for_type(x509.IPAddress))) == ["10.0.0.1", "127.0.0.1", "::1"]
    key = load_pem_private_key(pem, None)
    assert isinstance(key.curve, ec.SECP256R1)
    assert 364 <= (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days <= 366


def test_it_lies_where_only_its_owner_can_read(tmp_path):
    path, _ = devcert.provide(str(tmp_path), "demo", [])
    assert path == f"{tmp_path}/.tinfront/demo.pem"
    assert stat.S_IMODE((tmp_path / ".tinfront").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / ".tinfront" / "demo.pem").stat().st_mode) == 0o600
    assert [found.name for found in (tmp_path / ".tinfront").iterdir()] == ["demo.pem"]


def test_a_site_name_cannot_lead_elsewhere(tmp_path):
    path, _ = devcert.provide(str(tmp_path), "../../x", [])
    assert path == f"{tmp_path}/.tinfront/..%2F..%2Fx.pem"


def test_it_is_kept(tmp_path):
    first = devcert.provide(str(tmp_path), "demo", ["b.test", "a.test"])
    assert devcert.provide(str(tmp_path), "demo", ["a.test", "b.test"]) == first


def test_it_is_made_again_when_the_hosts_change(tmp_path):
    _, before = devcert.provide(str(tmp_path), "demo", ["a.test"])
    path, after = devcert.provide(str(tmp_path), "demo", ["b.test"])
    assert before != after
    with open(path, "rb") as file:
        assert file.read() == after


def test_it_is_made_again_near_its_end(tmp_path, monkeypatch):
    _, before = devcert.provide(str(tmp_path), "demo", ["a.test"])
    now = devcert._now()
    monkeypatch.setattr(devcert, "_now", lambda: now + devcert.LIFE - devcert.RENEW - devcert.timedelta(minutes=1))
    assert devcert.provide(str(tmp_path), "demo", ["a.test"])[1] == before
    monkeypatch.setattr(devcert, "_now", lambda: now + devcert.LIFE - devcert.RENEW + devcert.timedelta(minutes=1))
    assert devcert.provide(str(tmp_path), "demo", ["a.test"])[1] != before


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_it_is_made_again_if_the_file_is_broken(tmp_path, content):
    path, pem = devcert.provide(str(tmp_path), "demo", [])
    with open(path, "wb") as file:
        file.write(pem[: len(pem) // 2] if content is None else content)
    assert devcert.provide(str(tmp_path), "demo", [])[1].count(b"-----END") == 2


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / ".tinfront").write_text("in the way")
    with pytest.raises(OSError, match=r"\.tinfront"):
        devcert.provide(str(tmp_path), "demo", [])


def test_a_client_that_trusts_the_file_is_content(tmp_path):
    path, _ = devcert.provide(str(tmp_path), "demo", ["demo.test"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    one, two = socket.socketpair()
    one.settimeout(10)
    two.settimeout(10)
    accepted = []
    thread = threading.Thread(target=lambda: accepted.append(server.wrap_socket(two, server_side=True)))
    thread.start()
    with ssl.create_default_context(cafile=path).wrap_socket(one, server_hostname="demo.test") as client:
        thread.join(10)
        assert client.version() == "TLSv1.3"
    accepted[0].close()
