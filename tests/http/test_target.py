from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.errors import ProtocolError
from tinfront.http.target import needs_care, normalise, parse, split_host


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", (None, "/", "")),
        ("/a/b?c=d", (None, "/a/b", "c=d")),
        ("/a?b?c", (None, "/a", "b?c")),
        ("/a?", (None, "/a", "")),
        ("/a?%zz\\", (None, "/a", "%zz\\")),  # a query is the application's business
        ("//a//b", (None, "//a//b", "")),
        ("http://demo.test", ("demo.test", "/", "")),
        ("http://demo.test?q", ("demo.test", "/", "q")),
        ("HTTP://Demo.Test:8080/a?b", ("Demo.Test:8080", "/a", "b")),
        ("https://[::1]/a/../b", ("[::1]", "/b", "")),
    ],
)
def test_targets(target: str, expected: tuple[str | None, str, str]) -> None:
    assert parse("GET", target) == expected


def test_asterisk_is_for_options() -> None:
    assert parse("OPTIONS", "*") == (None, "*", "")
    with pytest.raises(ProtocolError, match="OPTIONS only"):
        parse("GET", "*")


@pytest.mark.parametrize(
    "target",
    ["a", "demo.test:443", "ftp://demo.test/", "http:///a", "http://", "http:/a", "?a", "*a", "javascript:alert(1)"],
)
def test_what_is_no_target(target: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse("GET", target)
    assert (caught.value.status, caught.value.reason) == (400, "bad-target")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/%41", "/A"),
        ("/%2541", "/%41"),  # once only
        ("/%2e%2e/a", None),
        ("/a/%2E%2e/b", "/b"),
        ("/a%2fb", "/a/b"),
        ("/%2Fa%2f%2F", "//a//"),
        ("/a%2f..%2fb", None),  # /b for us, and one segment for who does not decode it
        ("/a%2F../b", None),
        ("/a/%2e%2e%2fb", None),
        ("/a%2f.", None),
        ("/a%2fb/./c", None),
        ("/a%2f.b", "/a/.b"),
        ("/a%252fb/../c", "/c"),
        ("/a/./b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/..", "/"),
        ("/..", None),
        ("/a/../..", None),
        ("/a/../../a", None),
        ("/...", "/..."),
        ("/.hidden", "/.hidden"),
        ("/a/..b/.c", "/a/..b/.c"),
        ("//../x", "/x"),
        ("/a//../b", "/a/b"),
        ("/%c3%bc", "/\xc3\xbc"),
        ("/%5c..%5c", "/\\..\\"),
        ("/a\\b", None),
        ("/%00", None),
        ("/a%00b", None),
        ("/%", None),
        ("/%4", None),
        ("/%4g", None),
        ("/%%41", None),
        ("/%0d%0aX", "/\r\nX"),
    ],
)
def test_paths_are_decoded_once_and_stay_below_the_root(path: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ProtocolError) as caught:
            normalise(path)
        assert (caught.value.status, caught.value.reason) == (400, "bad-target")
    else:
        assert normalise(path) == expected


_text = st.text(st.sampled_from("/.%2eE5cCfF0aA\\"), max_size=24)


@given(_text)
def test_a_normalised_path_cannot_climb(text: str) -> None:
    try:
        path = normalise("/" + text)
    except ProtocolError:
        return
    assert path.startswith("/")
    assert not {".", ".."} & set(path.split("/"))
    assert "\0" not in path


@given(_text)
def test_what_needs_no_care_is_normal_already(text: str) -> None:
    path = "/" + text
    if not needs_care(path):
        assert normalise(path) == path
        assert parse("GET", path) == (None, path, "")


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("Demo.Test", ("demo.test", "")),
        ("demo.test.", ("demo.test", "")),
        ("demo.test:80", ("demo.test", "80")),
        ("demo.test:", ("demo.test", "")),
        ("demo.test:65535", ("demo.test", "65535")),
        ("[::1]", ("::1", "")),
        ("[2001:DB8::A]:443", ("2001:db8::a", "443")),
        ("[::FFFF:1.2.3.4]:8080", ("::ffff:1.2.3.4", "8080")),
        ("127.0.0.1:1", ("127.0.0.1", "1")),
        ("a_b.test", ("a_b.test", "")),
        ("a.test,b.test", ("a.test,b.test", "")),  # sub-delims of a reg-name: one name, though nobody's
    ],
)
def test_hosts(authority: str, expected: tuple[str, str]) -> None:
    assert split_host(authority) == expected


@pytest.mark.parametrize(
    "authority",
    [
        "",
        ":80",
        "a b",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "user@demo.test",
        "demo.test:80:80",
        "demo.test:65536",
        "demo.test:123456",
        "demo.test:-1",
        "demo.test: 80",
        "demo.test:8\xb2",
        "[::1",
        "::1",
        "[::1]x",
        "[v1.x]",
        "[]",
        "[:.:.:]",
        "[:::::::::]",
        "[1.2.3.4]",
        "[12345::]",
        "[1:2:3:4:5:6:7]",
        "[fe80::1%eth0]",
        "[::1.2.3]",
        "[.]:80",
        'a"b',
        "a\tb",
        "d\xe9mo",
        "a" * 263,
        "a." * 131 + ".a",
    ],
)
def test_malformed_hosts(authority: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        split_host(authority)
    assert (caught.value.status, caught.value.reason) == (400, "bad-host")


@pytest.mark.parametrize("host", ["..", ".a.test", "a..test", "%62.test", "a.test%"])
def test_hosts_with_empty_labels_or_escapes(host: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        split_host(host)
    assert caught.value.reason == "bad-host"
