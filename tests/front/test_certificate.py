"""What is wrong with a certificate is said with file, line and option."""

from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.logger import globalLogPublisher

from tinfront.config.model import Place, Site
from tinfront.errors import ConfigError
from tinfront.front.tls import Certificates
from tinfront.keeper.local import LocalKeeper

PLACE = Place("site.ini", 7)


@pytest.fixture(scope="module")
def issued():
    return trustme.CA().issue_cert("demo.test", "*.wild.test")


@pytest.fixture
def files(issued, tmp_path):
    """Certificate and key of demo.test."""
    (tmp_path / "c.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    (tmp_path / "c.key").write_bytes(issued.private_key_pem.bytes())
    return tmp_path


@pytest.fixture
def logged():
    events = []

    def observe(event):
        events.append(event["log_format"].format_map(event) if event.get("log_format") else "")

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


def load(folder, key="c.key", hosts=("demo.test",), name="demo"):
    secret = f"{folder}/{key}" if key else None
    site = Site(name, hosts, certificate=f"{folder}/c.pem", certificate_key=secret, place=PLACE)
    certificates = Certificates([site], LocalKeeper({}), str(folder))
    certificates.load()
    return certificates


def findings(*args, **options):
    with pytest.raises(ConfigError) as caught:
        load(*args, **options)
    return list(caught.value.findings)


def test_two_files(files, logged):
    certificates = load(files)
    assert certificates.key_for("demo") == (f"{files}/c.pem", f"{files}/c.key")
    assert logged == []


def test_key_and_certificate_in_one_file(files, issued):
    (files / "c.pem").write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    assert load(files, key=None).key_for("demo") == (f"{files}/c.pem", f"{files}/c.pem")


def test_nothing_is_left_on_disk(files):
    before = set(files.iterdir())
    load(files)
    assert set(files.iterdir()) == before


def test_a_missing_file(files):
    (files / "c.key").unlink()
    assert findings(files) == [
        f"site.ini:7: [site:demo] certificate_key: {files}/c.key cannot be read: no such file or directory"
    ]


def test_all_findings_at_once(files):
    (files / "c.key").unlink()
    (files / "c.pem").write_text("hello")
    assert findings(files) == [
        f"site.ini:7: [site:demo] certificate_key: {files}/c.key cannot be read: no such file or directory",
        f"site.ini:7: [site:demo] certificate: {files}/c.pem holds no certificate in PEM form that can be understood",
    ]


def test_no_key_anywhere(files):
    assert findings(files, key=None) == [
        f"site.ini:7: [site:demo] certificate: {files}/c.pem holds no private key in PEM form, "
        "and certificate_key is not set"
    ]


def test_a_key_file_without_a_key(files):
    (files / "c.key").write_text("x")
    assert findings(files) == [
        f"site.ini:7: [site:demo] certificate_key: {files}/c.key holds no private key in PEM form"
    ]


def test_a_key_that_does_not_belong(files):
    (files / "c.key").write_bytes(trustme.CA().issue_cert("demo.test").private_key_pem.bytes())
    assert findings(files) == [
        f"site.ini:7: [site:demo] certificate_key: {files}/c.key is not the key of the first certificate "
        f"in {files}/c.pem"
    ]


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key(files, issued, form):
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    (files / "c.key").write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"x")))
    (line,) = findings(files)
    assert line.startswith(f"site.ini:7: [site:demo] certificate_key: the key in {files}/c.key is encrypted")
    assert "openssl pkey -in" in line


def test_a_broken_key(files):
    (files / "c.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (line,) = findings(files)
    assert f"the key in {files}/c.key cannot be understood" in line


def test_a_key_that_openssl_finds_too_short(files):
    key = rsa.generate_private_key(65537, 1024)
    _self_sign(files, key, days=90)
    (line,) = findings(files)
    assert line.startswith("site.ini:7: [site:demo] certificate: ")
    assert "EE_KEY_TOO_SMALL" in line


def test_an_expired_certificate_is_served_with_a_warning(files, logged):
    _self_sign(files, rsa.generate_private_key(65537, 2048), days=-1)
    load(files)
    assert [line for line in logged if "expired on" in line]


def test_an_end_that_is_near_is_told(files, logged):
    _self_sign(files, rsa.generate_private_key(65537, 2048), days=3)
    load(files)
    assert [line for line in logged if "expires on" in line]


def test_hosts_that_it_does_not_name_are_told(files, logged):
    load(files, hosts=("demo.test", "a.wild.test", "other.test", "a.b.wild.test", "*.wild.test"))
    assert logged == [f"{files}/c.pem: the certificate does not name other.test, a.b.wild.test"]


def test_files_that_two_sites_share_are_read_once(files):
    reads = []

    class Counting(LocalKeeper):
        def read_key(self, path):
            reads.append(path)
            return super().read_key(path)

    sites = [
        Site(name, (f"{name}.test",), certificate=f"{files}/c.pem", certificate_key=f"{files}/c.key")
        for name in ("demo", "other")
    ]
    certificates = Certificates(sites, Counting({}), str(files))
    certificates.load()
    assert sorted(reads) == [f"{files}/c.key", f"{files}/c.pem"]
    assert certificates.key_for("demo") == certificates.key_for("other")


def test_a_development_certificate(tmp_path):
    site = Site("demo", ("demo.test",), certificate="development", place=PLACE)
    certificates = Certificates([site], LocalKeeper({}), str(tmp_path))
    certificates.load()
    assert certificates.key_for("demo") == (f"{tmp_path}/.tinfront/demo.pem",) * 2


def test_a_development_certificate_that_cannot_be_written(tmp_path):
    (tmp_path / ".tinfront").write_text("in the way")
    site = Site("demo", certificate="development", place=PLACE)
    with pytest.raises(ConfigError) as caught:
        Certificates([site], LocalKeeper({}), str(tmp_path)).load()
    (line,) = caught.value.findings
    assert line.startswith(f"site.ini:7: [site:demo] certificate: {tmp_path}/.tinfront")
    assert "cannot make a development certificate" in line


def _self_sign(folder, key, days):
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "demo.test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=200))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("demo.test")]), critical=False)
        .sign(key, SHA256())
    )
    (folder / "c.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "c.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
