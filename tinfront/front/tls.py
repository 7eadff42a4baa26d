"""TLS: which certificate answers for which name, and the contexts the loops use.

``listener`` loads everything while privileges last; ``transport`` takes ``context``, ``bridge_tls`` makes contexts of
its own of the same ``Selection``. Versions and options are the same for all sites, because SNI swaps the certificate
and nothing else (RFC 6066 section 3). Reading and checking of files is in ``certificate``.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from typing import Any

from tinfront.config.finding import Findings
from tinfront.config.model import Site
from tinfront.errors import ConfigError
from tinfront.front.certificate import CertificateKey, Reader

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2. All are strong, so the client chooses: it knows whether it has AES in hardware."""


class _Foreign:
    """Equal to every certificate."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "FOREIGN"


FOREIGN = _Foreign()
"""The certificate of a TLS that is not ours (``endpoint = ssl:…``), so not ours to judge: it equals any site's."""


class Renewed(tuple[CertificateKey, ...]):
    """The certificates that a site has had, equal to each: connections made under an older one are its own, too."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other in tuple(self)

    def __ne__(self, other: object) -> bool:
        return other not in tuple(self)

    def __hash__(self) -> int:
        return 0


FORMER_MAX = 8
"""Certificates of one site that are remembered; only a path that changes makes another."""


class Context(ssl.SSLContext):
    """A context that knows its certificate. ``ssl_object.context`` is the one that SNI has chosen."""

    certificate: CertificateKey


class Names:
    """Host names to certificates: exact, then the longest wildcard, as ``routing.table`` looks up hosts."""

    __slots__ = ("_default", "_exact", "_wild")

    def __init__(self, default: CertificateKey) -> None:
        self._default = default
        self._exact: dict[str, CertificateKey] = {}
        self._wild: dict[str, CertificateKey] = {}

    def add(self, hosts: Iterable[str], key: CertificateKey) -> None:
        """Enter lower-case names; ``*.name`` stands for all names below it."""
        for host in hosts:
            if host.startswith("*."):
                self._wild.setdefault(host[2:], key)
            else:
                self._exact.setdefault(host, key)

    def find(self, name: str | None) -> CertificateKey:
        """The certificate for what the client asks for; the default's for names unknown or not given."""
        if not name:
            return self._default
        name = name.lower()
        key = self._exact.get(name)
        while key is None and self._wild:
            _, dot, name = name.partition(".")
            if not dot:
                break
            key = self._wild.get(name)
        return key or self._default


class Selection:
    """One load of all certificates. Never changed afterwards; a reload makes a new one.

    :ivar names: host names to keys.
    :ivar sites: site names to keys.
    :ivar pems: each key's private key and chain.
    :ivar default: the key shown to clients that name no site of ours.
    :ivar context: for the loops.
    :ivar of: the sites it was made of.
    """

    __slots__ = ("context", "default", "names", "of", "pems", "sites")

    context: Context

    def __init__(
        self, sites: tuple[Site, ...], keys: dict[str, CertificateKey], pems: dict[CertificateKey, bytes]
    ) -> None:
        self.of = sites
        self.pems = pems
        self.default = next(
            (keys[site.name] for site in sites if site.default and site.name in keys), next(iter(keys.values()))
        )
        self.names = Names(self.default)
        self.sites: dict[str, CertificateKey] = {}
        for site in sites:
            key = self.sites[site.name] = keys.get(site.name, self.default)
            self.names.add(site.hosts, key)


class Certificates:
    """All certificates of the server.

    :ivar context: for handshakes that begin now. Take it anew for each: a reload replaces it.
    :ivar selection: what it was made of.
    :param keeper: ``IKeeper``.
    :param directory: of the configuration, for development certificates.
    :param protocols: for ALPN, best first.
    """

    context: Context
    selection: Selection

    def __init__(
        self, sites: Iterable[Site], keeper: Any, directory: str, protocols: tuple[str, ...] = ("http/1.1",)
    ) -> None:
        self.protocols = protocols
        self._sites = tuple(sites)
        self._keeper = keeper
        self._directory = directory
        self._loaded = False
        self._had: dict[str, tuple[CertificateKey, ...]] = {}

    def load(self) -> None:
        """Read all files, unless that was done before. Call it while there are the privileges to read keys.

        :raises ConfigError: with every finding.
        """
        if not self._loaded:
            self.reload()

    def reload(self, sites: Iterable[Site] | None = None) -> None:
        """Read all files again; connections that exist are not touched. With ``sites``: for these from now on.

        :raises ConfigError: with every finding; then nothing has changed.
        """
        self.use(self.read(self._sites if sites is None else sites))

    def read(self, sites: Iterable[Site]) -> Selection:
        """Read all files of these sites, for ``use``.

        :raises ConfigError: with every finding.
        """
        wanted = tuple(sites)
        findings = Findings()
        reader = Reader(self._keeper, self._directory, findings)
        keys = {site.name: key for site in wanted if site.certificate and (key := reader.read(site))}
        contexts = {key: self._context(key, pem, reader) for key, pem in reader.pems.items()}
        findings.raise_if_any()
        if not keys:
            raise ConfigError("a listener has tls = yes, but no site has a certificate")
        selection = Selection(wanted, keys, reader.pems)
        names = selection.names

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            connection.context = contexts[names.find(name)]

        selection.context = contexts[selection.default]
        selection.context.sni_callback = choose
        return selection

    def use(self, selection: Selection) -> None:
        """For handshakes that begin from now on."""
        for name, key in self.selection.sites.items() if self._loaded else ():
            had = self._had.get(name, ())
            self._had[name] = (key, *(former for former in had if former != key))[:FORMER_MAX]
        self._had = {name: had for name, had in self._had.items() if name in selection.sites}
        self._sites = selection.of
        self.selection = selection
        self.context = selection.context
        self._loaded = True

    def _context(self, key: CertificateKey, pem: bytes, reader: Reader) -> Context:
        context = Context(ssl.PROTOCOL_TLS_SERVER)
        context.certificate = key
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(list(self.protocols))
        try:
            _load(context, pem)
        except (ssl.SSLError, OSError) as error:
            reader.refuse(key, str(error))
        return context

    def key_for(self, site: str) -> CertificateKey | Renewed | None:
        """The certificate shown for the hosts of a site: its own, or the default one if it has none.

        None: there is no such site.
        Compare it with ``of(transport)``; unequal: 421.
        """
        key = self.selection.sites.get(site)
        former = [had for had in self._had.get(site, ()) if had != key]
        return Renewed((key, *former)) if key is not None and former else key

    @staticmethod
    def of(transport: Any) -> object:
        """The certificate that a transport's handshake used: a ``CertificateKey``, ``FOREIGN``, or None without TLS.

        For ``ITransport`` of either path, in ``connection_made`` or later; once per connection.
        """
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            return getattr(ssl_object.context, "certificate", FOREIGN)
        below = transport.get_extra_info("twisted")
        handle: Any = below.getHandle() if hasattr(below, "getHandle") else None
        if handle is None or not hasattr(handle, "get_context"):
            return None
        return getattr(handle.get_context(), "certificate", FOREIGN)


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """``load_cert_chain`` takes files only; a memfd is one that never touches a disk."""
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        view = memoryview(pem)
        while view:
            view = view[os.write(fd, view) :]
        context.load_cert_chain(f"/proc/self/fd/{fd}", password=_no_password)
    finally:
        os.close(fd)


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal. Encrypted keys have been refused before."""
    return ""
