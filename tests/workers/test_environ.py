"""The environ that a request becomes."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tinfront.workers import environ as room
from tinfront.workers.environ import add_input, base_environ, make_environ

FIXED = [
    "GET",
    "",
    "/a/b",
    "c=d",
    "/a/b?c=d",
    "HTTP/1.1",
    "demo.test:8080",
    "1.2.3.4",
    "50000",
    "10.0.0.1",
    "8080",
    "id-1",
]


def make(names: Any = (), secure: bool = False, **changed: str) -> dict[str, Any]:
    order = ["method", "script", "path", "query", "target", "version", "authority"]
    order += ["addr", "port", "name", "local_port", "request_id"]
    fixed = [changed.get(name, value) for name, value in zip(order, FIXED, strict=True)]
    fields = dict(names)
    return make_environ(
        base_environ("9.9", True, False, "errors", "wrapper"), fixed, fields.keys(), fields.values(), secure
    )


def test_all_of_it() -> None:
    assert make({"host": "demo.test:8080", "x-some-thing": "1", "content-type": "text/html"}) == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "c=d",
        "REQUEST_URI": "/a/b?c=d",
        "RAW_URI": "/a/b?c=d",
        "SERVER_NAME": "demo.test",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "tinfront/9.9",
        "REMOTE_ADDR": "1.2.3.4",
        "REMOTE_PORT": "50000",
        "CONTENT_TYPE": "text/html",
        "HTTP_HOST": "demo.test:8080",
        "HTTP_X_FORWARDED_FOR": "1.2.3.4",
        "HTTP_X_FORWARDED_HOST": "demo.test:8080",
        "HTTP_X_FORWARDED_PROTO": "http",
        "HTTP_X_SOME_THING": "1",
        "tinfront.request_id": "id-1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": "errors",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": "wrapper",
    }


def test_each_request_has_its_own() -> None:
    base = base_environ("9.9", False, False, None, None)
    first = make_environ(base, FIXED, (), (), True)
    first["x"] = 1
    assert make_environ(base, FIXED, (), (), False).keys() >= base.keys()
    assert "x" not in base
    assert base["wsgi.url_scheme"] == "http"


def test_https() -> None:
    environ = make(secure=True)
    assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
    assert environ["HTTP_X_FORWARDED_PROTO"] == "https"
    assert "HTTPS" not in make()


@pytest.mark.parametrize(
    ("authority", "secure", "name", "port"),
    [
        ("demo.test", False, "demo.test", "80"),
        ("demo.test", True, "demo.test", "443"),
        ("demo.test:8080", True, "demo.test", "8080"),
        ("demo.test:", False, "demo.test", "80"),
        ("[::1]", False, "::1", "80"),
        ("[::1]:81", False, "::1", "81"),
        ("", False, "localhost", "80"),
        ("", True, "localhost", "443"),
    ],
)
def test_a_unix_socket_has_no_port_so_host_tells(authority: str, secure: bool, name: str, port: str) -> None:
    environ = make(authority=authority, secure=secure, name="/run/demo.sock", local_port="0")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)


def test_without_host_the_address_is_the_name() -> None:
    environ = make(authority="")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("10.0.0.1", "8080")


def test_what_stands_for_a_proxy_is_what_is_known() -> None:
    environ = make(addr="", authority="")
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert "HTTP_X_FORWARDED_HOST" not in environ
    assert make({"x-forwarded-host": "outside.test"})["HTTP_X_FORWARDED_HOST"] == "outside.test"  # by a trusted proxy


@pytest.mark.parametrize(
    ("script", "path", "info"),
    [("", "/a", "/a"), ("/a", "/a", ""), ("/a", "/a/", "/"), ("/a", "/a/b", "/b"), ("", "*", "*")],
)
def test_script_name_and_path_info_make_the_path(script: str, path: str, info: str) -> None:
    environ = make(script=script, path=path)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, info)


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("a.test", "a.test"),
        ("a.test:1", "a.test"),
        ("a.test:", "a.test"),
        ("[::1]:8080", "::1"),
        ("[::1]", "::1"),
        ("", "10.0.0.1"),
    ],
)
def test_the_server_name_is_the_host_that_was_asked_for(authority: str, name: str) -> None:
    assert make(authority=authority)["SERVER_NAME"] == name


def test_names_from_clients_do_not_pile_up() -> None:
    for number in range(5000):
        make({f"x-{number}": "1"}, authority=f"host-{number}.test")
    assert make({"content-type": "a", "content-length": "1", "x-1": "2"})["CONTENT_TYPE"] == "a"
    assert "HTTP_CONTENT_LENGTH" not in make({"content-length": "1"})
    assert len(room._hosts) <= 1024
    assert len(room._key.__self__) <= 1024  # type: ignore[attr-defined]


def test_a_request_without_body_has_an_empty_input() -> None:
    environ = make()
    stream = add_input(environ, -1, b"")
    assert environ["wsgi.input"] is stream
    assert stream.read() == b""
    assert "CONTENT_LENGTH" not in environ


def test_the_length_is_exact() -> None:
    environ = make({"content-length": "999"})
    assert add_input(environ, 4, b"body").readline() == b"body"
    assert environ["CONTENT_LENGTH"] == "4"
    environ = make({"content-length": "0"})
    add_input(environ, -1, b"")
    assert environ["CONTENT_LENGTH"] == "0"


def test_a_body_by_descriptor_is_a_real_file() -> None:
    fd = os.memfd_create("body")
    os.write(fd, b"one\ntwo\n")
    os.lseek(fd, 0, os.SEEK_SET)
    environ = make()
    stream = add_input(environ, 8, None, fd)
    assert stream.fileno() == fd
    assert list(stream) == [b"one\n", b"two\n"]
    stream.seek(4)
    assert stream.read(2) == b"tw"
    stream.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_an_input_that_the_app_has_closed() -> None:
    for spoil in (
        lambda stream: stream.close(),
        lambda stream: os.close(stream.fileno()),
        lambda stream: stream.detach(),
    ):
        fd = os.memfd_create("body")
        stream = add_input(make(), 0, None, fd)
        raw = spoil(stream)
        room.close_input(stream)
        if raw is not None:
            raw.close()
