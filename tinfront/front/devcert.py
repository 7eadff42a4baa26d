"""``certificate = development``: a self-signed certificate, made when it is needed. Called by ``certificate``.

It lies in ``.tinfront`` beside the configuration, readable by its owner only, and is made again when the site's hosts
change or its end is near.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.logger import Logger

from tinfront.config.charter import development_pem

log = Logger(namespace="tinfront.tls")

LIFE = timedelta(days=365)
RENEW = timedelta(days=30)
"""It is made again when less than this is left."""

ALWAYS = ("localhost", "127.0.0.1", "::1")


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def provide(
    directory: str, site: str, hosts: Iterable[str], read: Callable[[str], bytes] = _content
) -> tuple[str, bytes]:
    """The path and content (key, then certificate, PEM) of a site's development certificate.

    :param read: the content of a file; it may have rights that this process has not.
    :raises OSError: it can be neither read nor written.
    """
    path = development_pem(directory, site)
    names = _general_names((*hosts, *ALWAYS))
    pem = _read(path, read)
    if pem is None or not _fits(pem, names):
        pem = _make(site, names)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        _write(path, pem)
        log.info(
            "made a development certificate for {site}: {path}; trust it with: curl --cacert {path} https://localhost…",
            site=site,
            path=path,
        )
    return path, pem


def _general_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _read(path: str, read: Callable[[str], bytes]) -> bytes | None:
    try:
        return read(path)
    except FileNotFoundError:
        return None


def _fits(pem: bytes, names: list[x509.GeneralName]) -> bool:
    """Whether it still serves: whole, for these names, and for a while."""
    try:
        load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return set(present) == set(names) and certificate.not_valid_after_utc - _now() >= RENEW


def _make(site: str, names: list[x509.GeneralName]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"tinfront development: {site}"[:64])])
    begin = _now() - timedelta(hours=1)  # clocks of containers and hosts differ
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begin, _now() + LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def _write(path: str, pem: bytes) -> None:
    """Whole or not at all, and never readable by others."""
    draft = f"{path}.{os.getpid()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(pem)
        os.rename(draft, path)
    except OSError:
        os.unlink(draft)
        raise


def _now() -> datetime:
    return datetime.now(UTC)
