"""What may stand in Location."""

from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.http.location import encode_path, encode_query, local, redirection, sent_uri

latin = st.text(st.characters(max_codepoint=255))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b.html", "/a/b.html"),
        ("/a b", "/a%20b"),
        ("/\xc3\xa4", "/%C3%A4"),
        ("/a?b#c%", "/a%3Fb%23c%25"),
        ("/\\evil", "/%5Cevil"),
        ("/a\r\nX: y", "/a%0D%0AX:%20y"),
    ],
)
def test_paths(path, expected):
    assert encode_path(path) == expected


@given(latin)
def test_every_path_comes_back(path):
    encoded = encode_path(path)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert unquote_to_bytes(encoded) == path.encode("latin-1")


def test_queries_keep_their_escapes():
    assert encode_query("") == ""
    assert encode_query("a=%20&b[]=/?") == "?a=%20&b[]=/?"
    assert encode_query('"\r\n<\xe4') == "?%22%0D%0A%3C%E4"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a%2Fb?c=%20", "/a%2Fb?c=%20"),
        ("//a", "//a"),
        ("http://demo.test/a?b", "/a?b"),
        ("http://demo.test", "/"),
        ("http://demo.test?b", "/?b"),
        ("*", "/"),
        ("/\r\n\\", "/%0D%0A%5C"),
    ],
)
def test_what_was_sent(target, expected):
    assert sent_uri(target) == expected


@given(latin, latin)
def test_a_local_reference_never_leaves_the_site(path, query):
    for reference in (encode_path(path) + encode_query(query), sent_uri(path)):
        location = local(reference)
        assert location.isascii()
        assert location.isprintable()
        assert urlsplit(urljoin("http://demo.test/x/y", location)).netloc == "demo.test"
        assert not location.startswith(("//", "/\\"))


def test_a_whole_redirect():
    head, body = redirection(308, "/x")
    assert (head.status, head.get("location"), head.length) == (308, "/x", len(body))
    assert body == b"Permanent Redirect\n"
