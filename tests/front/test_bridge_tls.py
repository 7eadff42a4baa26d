"""pyOpenSSL contexts of our certificates. The handshakes themselves are in ``test_tls``."""

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from tinfront.config.model import Site
from tinfront.front.bridge_tls import BridgeContexts
from tinfront.front.tls import Certificates
from tinfront.keeper.local import LocalKeeper


@pytest.fixture
def certificates(tmp_path):
    authority = trustme.CA()
    sites = []
    for name in ("one", "two"):
        authority.issue_cert(f"{name}.test").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / name))
        sites.append(Site(name, (f"{name}.test",), certificate=f"{tmp_path}/{name}"))
    certificates = Certificates(sites, LocalKeeper({}), str(tmp_path))
    certificates.load()
    return certificates


def test_contexts_are_made_once_per_load(certificates):
    contexts = BridgeContexts(certificates)
    first = contexts.serverConnectionForTLS(None).get_context()
    assert contexts.serverConnectionForTLS(None).get_context() is first
    certificates.reload()
    assert contexts.serverConnectionForTLS(None).get_context() is not first


@pytest.mark.parametrize(("name", "site"), [("one.test", "one"), ("two.test", "two"), (None, "one"), ("x.test", "one")])
def test_the_name_chooses_the_context(certificates, name, site):
    server = BridgeContexts(certificates).serverConnectionForTLS(None)
    server.set_accept_state()
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_connect_state()
    if name:
        client.set_tlsext_host_name(name.encode())
    _pump(client, server)
    assert server.get_context().certificate == certificates.key_for(site)
    found = client.get_peer_certificate(as_cryptography=True).public_bytes(Encoding.PEM)
    assert found in certificates.selection.pems[certificates.key_for(site)]


def _pump(client, server):
    """Carry bytes to and fro until the client has shaken hands."""
    for _ in range(10):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            else:
                if one is client:
                    return
            try:
                other.bio_write(one.bio_read(65536))
            except SSL.WantReadError:
                pass
