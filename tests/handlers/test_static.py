"""The static handler, from a request head to an answer."""

import errno
import os
import sys
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from tests.fakes import FakeExchange, make_head
from tests.statics import LARGE, OLD, ask, make_handler, make_tree, read
from tinfront.http.dates import format_date
from tinfront.interfaces import IHandler


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path)


def test_it_is_a_handler(tree):
    assert verifyObject(IHandler, make_handler(tree))


# --- whole files


@pytest.mark.parametrize(
    ("path", "content", "media_type"),
    [
        ("/", b"home", "text/html; charset=utf-8"),
        ("/a.txt", b"0123456789", "text/plain; charset=utf-8"),
        ("/docs/", b"docs", "text/html; charset=utf-8"),
        ("/docs/app.js", b"js", "text/javascript; charset=utf-8"),
        ("/large.bin", LARGE, "application/octet-stream"),
        ("/\xc3\xa4 b%.txt", b"umlaut", "text/plain; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("cache", [10**6, 0])
def test_a_file(tree, path, content, media_type, cache):
    handler = make_handler(tree, cache=cache)
    for _ in range(2):
        exchange = ask(handler, path)
        assert exchange.status == 200
        assert read(exchange) == content
        assert exchange.fields["content-type"] == media_type
        assert exchange.fields["last-modified"] == format_date(OLD)
        assert exchange.fields["etag"] == f'"{OLD * 10**9:x}-{len(content):x}"'
        assert exchange.fields["accept-ranges"] == "bytes"
        assert "cache-control" not in exchange.fields


def test_head_is_the_head_of_get(tree):
    handler = make_handler(tree)
    for path in ("/a.txt", "/large.bin"):
        assert ask(handler, path, "HEAD").answer == (ask(handler, path).answer[0], b"")


def test_no_range_for_head(tree):
    assert ask(make_handler(tree), "/a.txt", "HEAD", range="bytes=0-1").status == 200


def test_below_a_mount(tree):
    handler = make_handler(tree, pattern="/static/")
    assert read(ask(handler, "/static/a.txt", mount="/static")) == b"0123456789"
    assert ask(handler, "/static/b.txt", mount="/static").status == 404


def test_a_route_to_one_file(tree):
    for kind, pattern in (("exact", "/icon"), ("regex", "^/i")):
        exchange = ask(make_handler(tree / "a.txt", kind, pattern), "/icon")
        assert read(exchange) == b"0123456789"
        assert exchange.fields["content-type"] == "text/plain; charset=utf-8"
    handler = make_handler(tree / "a.txt", "prefix", "/icon")
    assert ask(handler, "/icon", mount="/icon").status == 200
    assert ask(handler, "/icon/x", mount="/icon").status == 404


def test_an_exact_route_to_a_directory_looks_up_the_whole_path(tree):
    assert read(ask(make_handler(tree, "exact", "/docs/app.js"), "/docs/app.js")) == b"js"


# --- methods


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "BREW"])
def test_other_methods(tree, method):
    exchange = ask(make_handler(tree), method=method)
    assert exchange.refusal[:2] == (405, "method-not-allowed")
    assert exchange.fields["allow"] == "GET, HEAD, OPTIONS"


def test_options(tree):
    exchange = ask(make_handler(tree), method="OPTIONS")
    assert exchange.status == 204
    assert exchange.fields == {"allow": "GET, HEAD, OPTIONS"}


# --- what is not served


@pytest.mark.parametrize(
    "path", ["/missing", "/a.txt/", "/plain/", "/.env", "/../secret", "/a.txt\0", "/" + "x" * 5000, "/plain/file/x"]
)
def test_missing(tree, path):
    assert ask(make_handler(tree), path).refusal[:2] == (404, "not-found")


def test_a_root_that_goes_away(tmp_path):
    (tmp_path / "none").mkdir()
    handler = make_handler(tmp_path / "none")
    (tmp_path / "none").rmdir()
    assert ask(handler).refusal[:2] == (404, "not-found")


def test_a_link_that_leaves_looks_like_nothing(tree):
    (tree / "link").symlink_to("../secret")
    assert ask(make_handler(tree), "/link").refusal[:2] == (404, "not-found")
    assert read(ask(make_handler(tree, symlinks="any"), "/link")) == b"secret"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
def test_permission_denied(tree):
    (tree / "a.txt").chmod(0o600)
    for directory in (tree, *list(tree.parents)[:3]):
        directory.chmod(0o755)
    handler = make_handler(tree)
    os.seteuid(65534)
    try:
        assert ask(handler).refusal[:2] == (403, "forbidden")
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("code", "status"), [(errno.EMFILE, 503), (errno.ENFILE, 503), (errno.EIO, 500), (errno.EACCES, 403)]
)
def test_trouble_of_the_machine(tree, monkeypatch, code, status):
    handler = make_handler(tree)

    def fail(path, mount):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(type(handler._lookup), "find", lambda self, path, mount: fail(path, mount))
    exchange = ask(handler)
    assert exchange.status == status
    assert exchange.refusal[2] == os.strerror(code)
    assert ("retry-after" in exchange.fields) == (status == 503)


# --- directories


@pytest.mark.parametrize(
    ("path", "mount", "query", "expected"),
    [
        ("/docs", "", "", "/docs/"),
        ("/docs", "", "a=%20b", "/docs/?a=%20b"),
        ("/docs", "", "a\r\nX: y", "/docs/?a%0D%0AX:%20y"),
        ("//docs", "", "", "/docs/"),
        ("/static/docs", "/static", "", "/static/docs/"),
        ("/static", "/static", "", "/static/"),
    ],
)
def test_a_directory_without_its_slash(tree, path, mount, query, expected):
    exchange = ask(make_handler(tree), path, mount=mount, query=query)
    assert exchange.status == 301
    assert exchange.fields["location"] == expected
    assert read(exchange) == b"Moved Permanently\n"


def test_the_redirect_stays_on_the_site(tree):
    (tree / "evil.test").mkdir()
    (tree / "\\evil").mkdir()
    (tree / "a\r\nb").mkdir()
    handler = make_handler(tree)
    assert ask(handler, "//evil.test").fields["location"] == "/evil.test/"
    assert ask(handler, "///evil.test").fields["location"] == "/evil.test/"
    assert ask(handler, "/\\evil").fields["location"] == "/%5Cevil/"
    assert ask(handler, "/a\r\nb").fields["location"] == "/a%0D%0Ab/"


def test_listing(tree):
    handler = make_handler(tree, listing="yes")
    exchange = ask(handler, "/plain/")
    assert exchange.fields["content-type"] == "text/html; charset=utf-8"
    assert b'href="./file"' in read(exchange)
    assert read(ask(handler, "/docs/")) == b"docs"
    assert ask(handler, "/plain").status == 301
    assert ask(handler, "/plain/", "HEAD").status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
def test_listing_what_must_not_be_read(tree):
    (tree / "plain").chmod(0o711)
    for directory in (tree, *list(tree.parents)[:3]):
        directory.chmod(0o755)
    handler = make_handler(tree, listing="yes")
    os.seteuid(65534)
    try:
        assert ask(handler, "/plain/").refusal[:2] == (403, "forbidden")
    finally:
        os.seteuid(0)


# --- conditional requests and ranges


def test_not_modified(tree):
    handler = make_handler(tree, expires="1h")
    for path in ("/a.txt", "/large.bin"):
        etag = ask(handler, path).fields["etag"]
        for method in ("GET", "HEAD"):
            exchange = ask(handler, path, method, if_none_match=etag)
            assert exchange.status == 304
            assert exchange.fields == {"etag": etag, "cache-control": "max-age=3600"}
            assert exchange.answer[1] == b""
    assert ask(handler, if_modified_since=format_date(OLD)).status == 304
    assert ask(handler, if_modified_since=format_date(OLD - 1)).status == 200
    assert ask(handler, if_none_match='"x"', if_modified_since=format_date(OLD)).status == 200


def test_precondition_failed(tree):
    handler = make_handler(tree)
    assert ask(handler, if_match='"x"').refusal[:2] == (412, "precondition-failed")
    assert ask(handler, if_unmodified_since=format_date(OLD - 1)).status == 412
    assert ask(handler, if_match="*").status == 200


@pytest.mark.parametrize(("path", "content"), [("/a.txt", b"0123456789"), ("/large.bin", LARGE)])
def test_one_range(tree, path, content):
    handler = make_handler(tree, expires="1h")
    exchange = ask(handler, path, range="bytes=3-6")
    assert exchange.status == 206
    assert read(exchange) == content[3:7]
    assert exchange.fields["content-range"] == f"bytes 3-6/{len(content)}"
    whole = ask(handler, path).fields
    assert {name: exchange.fields[name] for name in whole} == whole


@pytest.mark.parametrize(("path", "content"), [("/a.txt", b"0123456789"), ("/large.bin", LARGE)])
def test_several_ranges(tree, path, content):
    exchange = ask(make_handler(tree), path, range="bytes=0-1,4-5,-1")
    assert exchange.status == 206
    assert "content-range" not in exchange.fields
    head = f"Content-Type: {exchange.fields['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + read(exchange))
    assert message.get_content_type() == "multipart/byteranges"
    parts = message.get_payload()
    size = len(content)
    assert [part["content-range"] for part in parts] == [
        f"bytes 0-1/{size}",
        f"bytes 4-5/{size}",
        f"bytes {size - 1}-{size - 1}/{size}",
    ]
    assert all(part["content-type"] == ask(make_handler(tree), path).fields["content-type"] for part in parts)
    raw = [part.get_payload(decode=True) for part in parts]
    assert raw == [content[0:2], content[4:6], content[-1:]]


def test_no_satisfiable_range(tree):
    exchange = ask(make_handler(tree), range="bytes=10-")
    assert exchange.refusal[:2] == (416, "range-not-satisfiable")
    assert exchange.fields == {"content-range": "bytes */10"}


def test_if_range(tree):
    handler = make_handler(tree)
    etag = ask(handler).fields["etag"]
    assert ask(handler, range="bytes=0-1", if_range=etag).status == 206
    assert ask(handler, range="bytes=0-1", if_range='"x"').status == 200
    assert ask(handler, range="bytes=0-1", if_range=format_date(OLD)).status == 206


def test_a_condition_comes_before_a_range(tree):
    handler = make_handler(tree)
    etag = ask(handler).fields["etag"]
    assert ask(handler, range="bytes=100-", if_none_match=etag).status == 304
    assert ask(handler, range="bytes=0-1", if_match='"x"').status == 412


# --- the cache


def test_a_change_is_noticed_after_a_second(tree):
    handler = make_handler(tree)
    assert read(ask(handler, started=10.0)) == b"0123456789"
    (tree / "a.txt").write_bytes(b"new")
    assert read(ask(handler, started=10.9)) == b"0123456789"
    assert read(ask(handler, started=11.0)) == b"new"
    (tree / "a.txt").unlink()
    assert ask(handler, started=11.5).status == 200
    assert ask(handler, started=12.5).status == 404
    (tree / "a.txt").mkdir()
    assert ask(handler, started=12.6).status == 301


def test_what_has_not_changed_is_not_read_again(tree, monkeypatch):
    monkeypatch.setattr("tinfront.handlers.static_cache.time.time", lambda: 4e9)
    handler = make_handler(tree)
    head, body = ask(handler, started=10.0).answer
    again, body_again = ask(handler, started=20.0).answer
    assert again is head
    assert body_again is body


def test_an_index_that_appears_wins_over_a_later_one(tree):
    handler = make_handler(tree, index="first.html index.html")
    assert read(ask(handler, "/", started=10.0)) == b"home"
    (tree / "first.html").write_bytes(b"first")
    assert read(ask(handler, "/", started=12.0)) == b"first"


def test_a_deployment_that_swaps_a_link(tmp_path):
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "a.txt").write_text(release)
        os.utime(tmp_path / release / "a.txt", (OLD, OLD))
    current = tmp_path / "current"
    current.symlink_to("one")
    handler = make_handler(current)
    assert read(ask(handler, started=10.0)) == b"one"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(current)
    assert read(ask(handler, started=12.0)) == b"two"


def test_a_body_survives_what_becomes_of_its_file(tree):
    handler = make_handler(tree)
    exchange = ask(handler, "/large.bin", started=10.0)
    (tree / "large.bin").unlink()
    assert ask(handler, "/large.bin", started=12.0).status == 404
    assert read(exchange) == LARGE


def test_no_descriptor_is_left_behind(tree):
    handler = make_handler(tree)
    ask(handler, "/large.bin", started=10.0)
    before = len(os.listdir("/proc/self/fd"))
    for second, path in enumerate(("/a.txt", "/", "/docs", "/plain/", "/missing", "/large.bin", "/large.bin", "/.env")):
        ask(handler, path, started=20.0 + 2 * second)
    assert len(os.listdir("/proc/self/fd")) == before
    del handler
    assert len(os.listdir("/proc/self/fd")) == before - 2


@pytest.mark.parametrize("path", ["/a.txt", "/large.bin"])
def test_a_plain_get_of_a_ready_file_is_one_call(tree, path):
    handler = make_handler(tree)
    ask(handler, path)
    exchange = FakeExchange(make_head("GET", path, {"user-agent": "x", "accept": "*/*"}))
    calls = []

    def trace(frame, event, arg):
        if event == "call":
            calls.append(frame.f_code.co_qualname)

    sys.setprofile(trace)
    try:
        handler.handle(exchange)
    finally:
        sys.setprofile(None)
    assert [name for name in calls if not name.startswith("FakeExchange")] == ["StaticHandler.handle"]


names = st.sampled_from(["..", ".", "", "a.txt", "docs", "secret", "root", "link", ".env", "\0", "large.bin"])


@given(st.lists(names | st.text(st.characters(max_codepoint=255), max_size=4), max_size=6), st.booleans())
def test_no_path_gives_the_secret_away(tree, parts, listing):
    if not (tree / "link").is_symlink():
        (tree / "link").symlink_to("../secret")
    exchange = ask(make_handler(tree, listing="yes" if listing else "no"), "/" + "/".join(parts))
    assert exchange.status in (200, 301, 404)
    if exchange.answer is not None:
        assert b"secret" not in read(exchange)
