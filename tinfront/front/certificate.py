"""Reading and checking certificates and keys, so that what is wrong is said at the start and not by clients.

Called by ``tls``. Files are opened by the keeper, which may have privileges that the front has given up.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from twisted.logger import Logger

from tinfront.config.finding import Findings
from tinfront.config.model import Site
from tinfront.front import devcert

log = Logger(namespace="tinfront.tls")

CertificateKey: TypeAlias = tuple[str, str]
"""Names a certificate and key by their paths. Sites that share files share it."""

SOON = timedelta(days=7)
"""A certificate that ends sooner is worth a warning."""


class Reader:
    """Reads the certificates of sites, each pair of files once, and collects what is wrong with them.

    :ivar pems: key and chain, in this order, as OpenSSL reads them from one file.
    """

    def __init__(self, keeper: Any, directory: str, findings: Findings) -> None:
        self.pems: dict[CertificateKey, bytes] = {}
        self._keeper = keeper
        self._directory = directory
        self._findings = findings
        self._first: dict[CertificateKey, Site] = {}
        self._failed: set[CertificateKey] = set()

    def read(self, site: Site) -> CertificateKey | None:
        """The key of a site's certificate; None if there is a finding."""
        assert site.certificate is not None
        if site.certificate == "development":
            return self._develop(site)
        key = site.certificate, site.certificate_key or site.certificate
        if key not in self._first:
            self._first[key] = site
            self._check(site, key)
        return None if key in self._failed else key

    def refuse(self, key: CertificateKey, message: str) -> None:
        """Note a finding about a certificate that was read."""
        self._note(self._first[key], "certificate", message)

    def _note(self, site: Site, option: str, message: str) -> None:
        self._findings.add(site.place, f"[site:{site.name}] {option}", message)

    def _develop(self, site: Site) -> CertificateKey | None:
        try:
            path, pem = devcert.provide(self._directory, site.name, site.hosts, self._keeper.read_key)
        except OSError as error:
            where = error.filename or self._directory
            self._note(site, "certificate", f"{where}: cannot make a development certificate: {_cause(error)}")
            return None
        key = path, path
        self._first[key] = site
        self.pems[key] = pem
        return key

    def _check(self, site: Site, key: CertificateKey) -> None:
        """Read one pair of files into ``pems``, or add findings."""
        one_file = key[0] == key[1]
        option = "certificate" if one_file else "certificate_key"
        public = self._open(site, "certificate", key[0])
        secret = public if one_file else self._open(site, option, key[1])
        chain = self._chain(site, key[0], public) if public is not None else []
        private = self._private(site, option, key[1], secret) if secret is not None else None
        if chain and private is not None:
            if _public(chain[0]) == _public(private):
                _warn(key[0], chain[0], site)
                self.pems[key] = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + b"".join(
                    certificate.public_bytes(Encoding.PEM) for certificate in chain
                )
                return
            self._note(site, option, f"{key[1]} is not the key of the first certificate in {key[0]}")
        self._failed.add(key)

    def _open(self, site: Site, option: str, path: str) -> bytes | None:
        try:
            data: bytes = self._keeper.read_key(path)
        except OSError as error:
            self._note(site, option, f"{path} cannot be read: {_cause(error)}")
            return None
        return data

    def _chain(self, site: Site, path: str, data: bytes) -> list[x509.Certificate]:
        try:
            return x509.load_pem_x509_certificates(data)
        except ValueError:
            self._note(site, "certificate", f"{path} holds no certificate in PEM form that can be understood")
            return []

    def _private(self, site: Site, option: str, path: str, data: bytes) -> Any:
        if b"PRIVATE KEY-----" not in data:
            missing = ", and certificate_key is not set" if option == "certificate" else ""
            self._note(site, option, f"{path} holds no private key in PEM form{missing}")
            return None
        try:
            return load_pem_private_key(data, None)
        except TypeError:
            told = f"openssl pkey -in {path} -out plain.key"
            self._note(
                site, option, f"the key in {path} is encrypted, and nobody is there to type its phrase; use {told}"
            )
        except (ValueError, UnsupportedAlgorithm) as error:
            self._note(site, option, f"the key in {path} cannot be understood: {error}")
        return None


def _public(owner: Any) -> bytes:
    public: bytes = owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public


def _warn(path: str, leaf: x509.Certificate, site: Site) -> None:
    """Say in the log what clients will complain of."""
    now = datetime.now(UTC)
    end = leaf.not_valid_after_utc
    if end <= now:
        log.warn("{path}: the certificate expired on {end:%Y-%m-%d}; browsers will refuse it", path=path, end=end)
    elif end - now < SOON:
        log.warn("{path}: the certificate expires on {end:%Y-%m-%d}", path=path, end=end)
    if leaf.not_valid_before_utc > now:
        log.warn("{path}: the certificate is not valid before {begin}", path=path, begin=leaf.not_valid_before_utc)
    missing = [host for host in site.hosts if not _names(leaf, host)]
    if missing:
        log.warn("{path}: the certificate does not name {hosts}", path=path, hosts=", ".join(missing))


def _names(leaf: x509.Certificate, host: str) -> bool:
    """Whether the certificate's names stand for a host (RFC 6125 section 6.4: a wildcard is one label)."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    known |= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return host in known or "*." + host.partition(".")[2] in known


def _cause(error: OSError) -> str:
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
