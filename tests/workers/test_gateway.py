"""PEP 3333 from both sides: apps in all their moods, and a reply that records what the front would get."""

from __future__ import annotations

import bdb
import gzip
import io
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from tinfront.errors import ClientGone, StopNow
from tinfront.workers import gateway
from tinfront.workers.environ import add_input, base_environ, make_environ
from tinfront.workers.gateway import FLUSH_SIZE, FileWrapper, regular_file, run

PLAIN = [("Content-Type", "text/plain")]


class Reply:
    """An ``IReply`` that records.

    :ivar calls: names and arguments; ``gone_after`` writes the client leaves.
    """

    unbuffered = False

    def __init__(self, gone_after: int = 1_000_000) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.gone_after = gone_after

    def _count(self) -> None:
        self.gone_after -= 1
        if self.gone_after < 0:
            raise ClientGone

    def send(self, status: str, fields: Any, body: bytes, length: int | None) -> None:
        self.calls.append(("send", status, list(fields), body, length))

    def start(self, status: str, fields: Any, data: bytes, length: int | None) -> None:
        self.calls.append(("start", status, list(fields), data, length))
        self._count()

    def write(self, data: bytes) -> None:
        self.calls.append(("write", data))
        self._count()

    def send_file(self, status: str, fields: Any, fd: int, offset: int, length: int) -> None:
        self.calls.append(("send_file", status, list(fields), offset, length))

    def finish(self, data: bytes) -> None:
        self.calls.append(("finish", data))

    def fail(self, reason: str, detail: str) -> None:
        self.calls.append(("fail", reason, detail))

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    @property
    def body(self) -> bytes:
        return b"".join(call[3] if call[0] in {"send", "start"} else call[1] for call in self.calls)


def make(method: str = "GET", errors: Any = None, body: bytes | None = None) -> dict[str, Any]:
    fixed = [method, "", "/p", "q=1", "/p?q=1", "HTTP/1.1", "demo.test", "1.2.3.4", "5", "10.0.0.1", "80", "id"]
    base = base_environ("1", False, False, io.StringIO() if errors is None else errors, FileWrapper)
    environ = make_environ(base, fixed, ["host"], ["demo.test"], False)
    add_input(environ, -1 if body is None else len(body), body)
    return environ


def answer(app: Any, method: str = "GET", reply: Reply | None = None) -> Reply:
    reply = reply or Reply()
    errors = io.StringIO()
    run(app, make(method, errors), reply)
    reply.log = errors.getvalue()  # type: ignore[attr-defined]
    return reply


def giving(*chunks: bytes, headers: Any = PLAIN, status: str = "200 OK") -> Any:
    """An app that returns a generator of these."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers))
        return iter(chunks)

    return app


class Closing:
    """An iterable that knows whether it was closed."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self.chunks = chunks
        self.closed = 0

    def __iter__(self) -> Any:
        for chunk in self.chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.closed += 1


# --- the validator


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("kind", ["list", "generator", "write", "file"])
def test_the_validator_finds_nothing(method: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some content")

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        environ["wsgi.input"].read(3)
        environ["wsgi.errors"].write("told\n")
        environ["wsgi.errors"].flush()
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if kind == "write":
            write(b"written ")
        if kind == "file":
            wrapper: Iterable[bytes] = environ["wsgi.file_wrapper"](open(tmp_path / "file", "rb"))  # noqa: SIM115
            return wrapper
        return [b"a", b"b"] if kind == "list" else iter([b"a", b"b"])

    reply = Reply()
    errors = io.StringIO()
    run(validator(app), make(method, errors, b"body" if method == "POST" else None), reply)
    assert errors.getvalue() == "told\n"
    assert reply.names == ["send"]
    assert reply.body == (
        b"" if method == "HEAD" else {"write": b"written ab", "file": b"some content"}.get(kind, b"ab")
    )


# --- whole answers


@pytest.mark.parametrize(
    "result", [[b"hello"], (b"hello",), [b"he", b"llo"], [b"", b"hello"], iter([b"hello"]), {b"hello": 1}]
)
def test_small_answers_leave_whole_and_with_a_length(result: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        return result

    assert answer(app).calls == [("send", "200 OK", PLAIN, b"hello", 5)]


@pytest.mark.parametrize("result", [[], (), [b""], iter([]), iter([b"", b""])])
def test_apps_that_give_nothing(result: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        return result

    assert answer(app).calls == [("send", "200 OK", PLAIN, b"", 0)]


def test_start_response_may_come_with_the_first_chunk() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        yield b""
        start_response("200 OK", PLAIN)
        yield b"late"

    assert answer(app).calls == [("send", "200 OK", PLAIN, b"late", 4)]


def test_a_large_list_has_a_length_too() -> None:
    chunks = [b"x" * 20_000] * 5

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        return chunks

    reply = answer(app)
    assert reply.calls[0][4] == 100_000
    assert reply.body == b"".join(chunks)


def test_a_bytes_subclass_is_bytes() -> None:
    class Text(bytes):
        pass

    reply = answer(giving(Text(b"a"), Text(b"b")))
    assert reply.calls == [("send", "200 OK", PLAIN, b"ab", 2)]


# --- answers in pieces


def test_chunks_are_gathered() -> None:
    reply = answer(giving(*[b"x" * 1000] * 100))
    assert reply.names == ["start", "write", "write", "finish"]
    assert [len(call[-2] if call[0] == "start" else call[1]) for call in reply.calls] == [33_000, 33_000, 33_000, 1000]
    assert reply.calls[0][4] is None


@pytest.mark.parametrize("header", [("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no")])
def test_event_streams_are_not(header: Any) -> None:
    reply = answer(giving(b"a", b"", b"b", headers=[header]))
    assert reply.names == ["start", "write", "finish"]
    assert [call[-2] if call[0] == "start" else call[1] for call in reply.calls] == [b"a", b"b", b""]


def test_a_slow_app_shows_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.01, 0.05, 0.2, 0.2, 0.21, 0.31, 0.31])
    monkeypatch.setattr(gateway, "monotonic", lambda: next(clock))
    reply = answer(giving(b"a", b"b", b"c", b"d", b"e"))
    assert [call[-2] if call[0] == "start" else call[1] for call in reply.calls] == [b"abc", b"de", b""]


def test_write_comes_first() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"one ")
        write(b"two ")
        return [b"three"]

    assert answer(app).calls == [("send", "200 OK", PLAIN, b"one two three", 13)]


def test_a_large_write() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)(b"x" * FLUSH_SIZE)
        return []

    assert answer(app).names == ["start", "finish"]


# --- HEAD and the silent statuses


def test_head_tells_the_length_and_sends_no_body() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return [b"hello", b"!"]

    assert answer(app, "HEAD").calls == [("send", "200 OK", PLAIN, b"", 6)]
    assert answer(giving(b"hello", headers=[("Content-Length", "5")]), "HEAD").calls == [("send", "200 OK", [], b"", 5)]
    assert answer(giving(b"a", b"b"), "HEAD").calls == [("send", "200 OK", PLAIN, b"", None)]


def test_head_does_not_drain_an_endless_app() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        while True:
            yield b"x"

    assert answer(app, "HEAD").names == ["send"]


@pytest.mark.parametrize("body", [[], [b""], [b"must not leave"]])
@pytest.mark.parametrize(("status", "length"), [("204 No Content", None), ("304 Not Modified", 9)])
def test_statuses_without_a_body(status: str, length: int | None, body: list[bytes]) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, [("Content-Length", "9")])
        return body

    assert answer(app).calls == [("send", status, [], b"", length)]


def test_a_304_of_its_own_has_no_length() -> None:
    assert answer(giving(status="304 Not Modified", headers=[])).calls == [("send", "304 Not Modified", [], b"", None)]


# --- lengths that are wrong


@pytest.mark.parametrize("chunks", [[b"1234"], [b"12", b"34"], [b"123456"], [b"1234", b"56"], []])
@pytest.mark.parametrize("kind", [list, iter])
def test_a_small_answer_that_breaks_its_length_fails(chunks: list[bytes], kind: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "5")])
        return kind(chunks)

    reply = answer(app)
    assert [call[:2] for call in reply.calls] == [("fail", "bad-length")]
    assert reply.log.startswith("GET /p?q=1: the app gave ")  # type: ignore[attr-defined]


def test_a_large_answer_that_is_too_short_is_cut() -> None:
    reply = answer(giving(*[b"x" * FLUSH_SIZE] * 2, headers=[("Content-Length", str(3 * FLUSH_SIZE))]))
    assert reply.names == ["start", "write", "fail"]


def test_the_chunk_that_completes_the_length_waits_for_the_end() -> None:
    """Had it left, the client would take the answer for whole before the app went on to give too much, or to fail."""
    headers = [("Content-Length", str(2 * FLUSH_SIZE))]
    reply = answer(giving(*[b"x" * FLUSH_SIZE] * 3, headers=headers))
    assert reply.names == ["start", "fail"]
    reply = answer(giving(*[b"x" * FLUSH_SIZE] * 2, headers=headers))
    assert reply.names == ["start", "finish"]

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", headers)
        yield b"x" * FLUSH_SIZE
        yield b"x" * FLUSH_SIZE
        raise RuntimeError("after all that was announced")

    reply = answer(app)
    assert reply.names == ["start", "fail"]


# --- apps that fail


def test_an_app_that_raises_at_once() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise LookupError("on purpose")

    reply = answer(app)
    assert reply.calls == [("fail", "app-error", "LookupError: on purpose")]
    assert reply.log.startswith("GET /p?q=1 failed:\nTraceback (most recent call last):\n")  # type: ignore[attr-defined]
    assert "LookupError: on purpose\n" in reply.log  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("base")])
def test_nothing_that_an_app_raises_gets_out(error: BaseException) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise error

    assert answer(app).calls[0][:2] == ("fail", "app-error")


def test_an_app_that_is_stopped_is_not_blamed() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise StopNow(0)

    reply = answer(app)
    assert reply.calls == [("fail", "app-error", "the worker was told to stop at once")]
    assert reply.log == "GET /p?q=1: the worker was told to stop at once\n"  # type: ignore[attr-defined]


def test_a_debugger_that_finds_no_terminal_is_explained() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise bdb.BdbQuit  # as pdb does when it reads the end of /dev/null

    reply = answer(app)
    assert reply.calls == [("fail", "app-error", "bdb.BdbQuit")]
    assert "a worker has no terminal" in reply.log  # type: ignore[attr-defined]


def test_an_app_that_raises_later_is_closed() -> None:
    for chunks, names in (([b"small", ValueError()], ["fail"]), ([b"x" * FLUSH_SIZE, ValueError()], ["start", "fail"])):
        body = Closing(chunks)

        def app(environ: Any, start_response: Any, body: Closing = body) -> Any:
            start_response("200 OK", PLAIN)
            return body

        assert answer(app).names == names
        assert body.closed == 1


def test_close_is_called_once_on_every_path(tmp_path: Path) -> None:
    def bodies() -> Iterable[tuple[Closing, str, Reply]]:
        yield Closing([b"whole"]), "GET", Reply()
        yield Closing([b"whole"]), "HEAD", Reply()
        yield Closing([b"x" * FLUSH_SIZE] * 3), "GET", Reply()
        yield Closing([b"x" * FLUSH_SIZE] * 3), "GET", Reply(gone_after=0)
        yield Closing([b"x" * FLUSH_SIZE] * 3), "GET", Reply(gone_after=1)
        yield Closing([SystemExit()]), "GET", Reply()
        yield Closing(["text"]), "GET", Reply()

    for body, method, reply in bodies():

        def app(environ: Any, start_response: Any, body: Closing = body) -> Any:
            start_response("200 OK", PLAIN)
            return body

        answer(app, method, reply)
        assert body.closed == 1


def test_close_is_called_without_start_response() -> None:
    body = Closing([b"early"])
    reply = answer(lambda environ, start_response: body)
    assert reply.calls[0][:2] == ("fail", "app-error")
    assert "before it called start_response" in reply.calls[0][2]
    assert body.closed == 1


def test_a_close_that_raises_is_logged_and_costs_nothing() -> None:
    class Body(list[bytes]):
        def close(self) -> None:
            raise RuntimeError("in close")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        return Body([b"fine"])

    reply = answer(app)
    assert reply.names == ["send"]
    assert "RuntimeError: in close" in reply.log  # type: ignore[attr-defined]


def test_an_app_without_start_response() -> None:
    reply = answer(lambda environ, start_response: [])
    assert "without a call of start_response" in reply.calls[0][2]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("text", "the app returned str"),
        (b"bytes", "the app returned bytes"),
        (bytearray(b"x"), "the app returned bytearray"),
        (["text"], "the app gave str where WSGI wants bytes: 'text'"),
        ([bytearray(b"x")], "the app gave bytearray"),
        ([memoryview(b"x")], "the app gave memoryview"),
        ([None], "the app gave NoneType"),
        ([1], "the app gave int"),
        (None, "'NoneType' object is not iterable"),
    ],
)
def test_wrong_types_are_named(result: Any, told: str) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        return result

    (call,) = answer(app).calls
    assert call[:2] == ("fail", "app-error")
    assert told in call[2]


def test_bad_headers_have_a_traceback_into_the_app() -> None:
    def app_with_bad_header(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("A", "b\r\nC: d")])
        return []

    reply = answer(app_with_bad_header)
    assert reply.calls[0][:2] == ("fail", "bad-header")
    assert "in app_with_bad_header" in reply.log  # type: ignore[attr-defined]


def test_a_known_head_does_not_let_a_nul_through() -> None:
    assert answer(giving(headers=[("A", "b"), ("C", "d")])).names == ["send"]
    reply = answer(giving(headers=[("A", "b\0C\0d")]))
    assert reply.calls[0][:2] == ("fail", "bad-header")


# --- start_response again


def test_twice_without_exc_info_is_an_error() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        start_response("200 OK", PLAIN)

    assert "second time" in answer(app).calls[0][2]


def test_exc_info_replaces_a_head_that_has_not_left() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "1000")])
        yield b"gathered, and to be forgotten"
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", PLAIN, sys.exc_info())
        yield b"oops"

    assert answer(app).calls == [("send", "500 Oops", PLAIN, b"oops", 4)]


def test_exc_info_is_raised_if_the_head_has_left() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        yield b"x" * FLUSH_SIZE
        try:
            raise ValueError("the first reason")
        except ValueError:
            start_response("500 Oops", PLAIN, sys.exc_info())
        yield b"never"

    reply = answer(app)
    assert reply.names == ["start", "fail"]
    assert reply.calls[1][2] == "ValueError: the first reason"


def test_after_the_request_nothing_works_any_more() -> None:
    kept: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        kept.extend([start_response, start_response("200 OK", PLAIN)])
        return [b"done"]

    reply = answer(app)
    with pytest.raises(AssertionError, match="after the request"):
        kept[1](b"more")
    with pytest.raises(AssertionError, match="second time"):
        kept[0]("200 OK", PLAIN)
    assert reply.names == ["send"]


# --- clients that leave


def test_a_client_that_leaves_ends_the_iteration_and_is_no_error() -> None:
    given: list[int] = []

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        for number in range(100):
            given.append(number)
            yield b"x" * FLUSH_SIZE

    reply = answer(app, reply=Reply(gone_after=2))
    assert len(given) == 3
    assert "fail" not in reply.names
    assert reply.log == ""  # type: ignore[attr-defined]


# --- what an app may break


def test_an_app_may_do_what_it_likes_to_its_environ() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        environ.clear()
        raise RuntimeError("without environ")

    reply = answer(app)
    assert reply.calls == [("fail", "app-error", "RuntimeError: without environ")]
    assert "without environ" in reply.log  # type: ignore[attr-defined]


def test_a_broken_log_costs_nothing() -> None:
    class Errors:
        def write(self, text: str) -> None:
            raise OSError

    def app(environ: Any, start_response: Any) -> Any:
        raise RuntimeError("unheard")

    reply = Reply()
    run(app, make(errors=Errors()), reply)
    assert reply.names == ["fail"]


def test_an_exception_that_cannot_be_shown() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RecursionError

        @property
        def __notes__(self) -> Any:
            raise RuntimeError

    def app(environ: Any, start_response: Any) -> Any:
        raise Broken

    assert answer(app).names == ["fail"]


# --- files


def wrapping(file: Any, headers: Any = PLAIN) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(headers))
        return environ["wsgi.file_wrapper"](file)

    return app


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def test_a_regular_file_is_passed_from_where_it_stands(path: Path) -> None:
    for opened in (path.open("rb"), path.open("rb", buffering=0), path.open("r+b")):
        opened.read(3)
        assert answer(wrapping(opened)).calls == [("send_file", "200 OK", PLAIN, 3, 7)]
        assert opened.closed


def test_what_was_written_and_not_flushed_is_passed_too() -> None:
    for opened in (tempfile.TemporaryFile(), tempfile.NamedTemporaryFile()):  # noqa: SIM115
        opened.write(b"0123456789")
        opened.seek(4)
        opened.write(b"x")
        assert answer(wrapping(opened)).calls == [("send_file", "200 OK", PLAIN, 5, 5)]


def test_a_file_ends_at_the_content_length(path: Path) -> None:
    assert answer(wrapping(path.open("rb"), [("Content-Length", "4")])).calls[0][3:] == (0, 4)
    opened = path.open("rb")
    assert answer(wrapping(opened, [("Content-Length", "11")])).calls[0][:2] == ("fail", "bad-length")
    assert opened.closed


def test_an_empty_rest_is_an_empty_answer(path: Path) -> None:
    opened = path.open("rb")
    opened.seek(0, 2)
    assert answer(wrapping(opened)).calls == [("send", "200 OK", PLAIN, b"", 0)]


def test_head_of_a_file_has_its_length(path: Path) -> None:
    assert answer(wrapping(path.open("rb")), "HEAD").calls == [("send", "200 OK", PLAIN, b"", 10)]


@pytest.mark.parametrize("kind", ["gzip", "memory", "pipe", "wrapped"])
def test_what_only_looks_like_a_file_is_read(kind: str, path: Path) -> None:
    class Upper(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size).upper()

    if kind == "gzip":
        path.write_bytes(gzip.compress(b"0123456789"))
        opened: Any = gzip.open(path)  # noqa: SIM115
    elif kind == "memory":
        opened = io.BytesIO(b"0123456789")
    elif kind == "pipe":
        import os

        reader, writer = os.pipe()
        os.write(writer, b"0123456789")
        os.close(writer)
        opened = os.fdopen(reader, "rb")
    else:
        opened = Upper(path.open("rb", buffering=0))
    reply = answer(wrapping(opened))
    assert reply.names == ["send"]
    assert reply.body == b"0123456789"
    assert opened.closed


def test_a_wrapper_that_was_wrapped_is_read(path: Path) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        wrapper = environ["wsgi.file_wrapper"](path.open("rb"), 4)
        return Closing([chunk.replace(b"5", b"x") for chunk in wrapper] + [wrapper.close() or b""])

    assert answer(app).body == b"01234x6789"


def test_a_file_after_write_is_read(path: Path) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)(b"first ")
        return environ["wsgi.file_wrapper"](path.open("rb"))

    assert answer(app).body == b"first 0123456789"


def test_what_is_no_regular_file(path: Path) -> None:
    closed = path.open("rb")
    closed.close()
    for filelike in (closed, io.BytesIO(), object(), path.open("wb", buffering=0)):
        assert regular_file(filelike) is None
        if hasattr(filelike, "close"):
            filelike.close()


def test_a_filelike_without_close() -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = [b"a", b"b", b""]

        def read(self, size: int) -> bytes:
            return self.left.pop(0)

    assert answer(wrapping(Plain())).body == b"ab"
