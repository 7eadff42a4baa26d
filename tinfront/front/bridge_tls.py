"""Our certificates as pyOpenSSL contexts, for Twisted's TLS. Used by ``bridge`` on top of ``tls.Certificates``.

A pyOpenSSL context may not be changed once it is used, so SNI and reloads swap whole contexts.
"""

# ruff: noqa: N802 - Twisted's interfaces name their methods so

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from tinfront.front.certificate import CertificateKey
from tinfront.front.tls import CIPHERS, Certificates, Selection


class BridgeContext(SSL.Context):
    """A context that knows its certificate. ``connection.get_context()`` is the one that SNI has chosen."""

    certificate: CertificateKey


@implementer(IOpenSSLServerConnectionCreator)
class BridgeContexts:
    """Makes the connections of Twisted's TLS, always of the certificates' latest load."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._selection: Selection | None = None
        self._default: BridgeContext | None = None

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """See ``IOpenSSLServerConnectionCreator``."""
        selection = self._certificates.selection
        if selection is not self._selection:
            self._default = self._build(selection)
            self._selection = selection
        assert self._default is not None
        return SSL.Connection(self._default, None)

    def _build(self, selection: Selection) -> BridgeContext:
        protocols = tuple(protocol.encode("ascii") for protocol in self._certificates.protocols)
        contexts = {key: _context(key, pem, protocols) for key, pem in selection.pems.items()}

        def choose(connection: SSL.Connection) -> None:
            name = connection.get_servername()
            connection.set_context(contexts[selection.names.find(name.decode("latin-1") if name else None)])

        default = contexts[selection.default]
        default.set_tlsext_servername_callback(choose)
        return default


def _context(key: CertificateKey, pem: bytes, protocols: tuple[bytes, ...]) -> BridgeContext:
    def select(connection: SSL.Connection, offered: list[bytes]) -> Any:  # noqa: ARG001 - OpenSSL's signature
        return next((protocol for protocol in protocols if protocol in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    context = BridgeContext(SSL.TLS_SERVER_METHOD)
    context.certificate = key
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_cipher_list(CIPHERS.encode("ascii"))
    context.set_alpn_select_callback(select)
    leaf, *rest = x509.load_pem_x509_certificates(pem)
    context.use_certificate(leaf)
    for certificate in rest:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(load_pem_private_key(pem, None))  # type: ignore[arg-type]
    return context
