from __future__ import annotations

from tests.transports import Front
from tinfront.front.connection import Connection
from tinfront.wire.h1 import H1Codec


def test_what_a_listener_need_not_say() -> None:
    terms = Front().terms
    assert terms.codec_for is None
    assert terms.certificate_of(object()) is None
    assert terms.log.namespace == "tinfront"
    assert callable(terms.report)


def test_all_connections_share_them_and_none_shares_a_codec() -> None:
    front = Front()
    one, two = front.connect().connection, front.connect().connection
    assert isinstance(one, Connection)
    assert one.terms is two.terms
    assert isinstance(one.codec, H1Codec)
    assert one.codec is not two.codec
