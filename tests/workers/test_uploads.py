"""Bodies that an app reads while they come, through both kinds of pools."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinfront.front.flow import Flow


@pytest.fixture(autouse=True)
def restore(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With threads, apps are imported into this process."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.endswith("_site"):
            del sys.modules[name]


@pytest.fixture(params=["prefork", "threads"])
def start(request: pytest.FixtureRequest, rig: Any) -> Any:
    def start(**options: Any) -> Any:
        if request.param == "threads":
            return rig.start_threads(**options)
        return rig.start(workers=1, **options)

    return start


class Upload:
    """An exchange whose client the test plays."""

    def __init__(self, rig: Any, pool: Any, path: str, query: Any = "", method: str = "POST", **fields: str) -> None:
        self.held = False
        self.flow = Flow(1 << 30, self._hold)
        self.exchange = rig.exchange(path, str(query), method, body=self.flow, fields=fields)
        self.exchange.on_respond = self._end
        self.pool = pool
        pool.submit(self.exchange, "")

    def _hold(self, hold: bool) -> None:
        self.held = hold

    def _end(self) -> None:
        """As the real exchange does, when the answer is out."""
        if isinstance(self.exchange.answer[1], bytes):
            self.flow.close()

    def leave(self) -> None:
        self.exchange.abort("client-gone")
        self.pool.cancel(self.exchange)
        self.flow.close()

    def refuse(self) -> None:
        self.exchange.refuse(413, "body-too-large")
        self.flow.close()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_pieces_reach_the_app_as_they_come(rig: Any, start: Any, tmp_path: Path) -> None:
    pool = start()
    notes = tmp_path / "notes"
    upload = Upload(rig, pool, "/upload", notes, **{"content-length": "9"})
    for total in (3, 6, 9):
        upload.flow.feed(b"abc")
        rig.loop.until(lambda total=total: lines(notes)[-1:] == [str(total)])
    assert not upload.exchange.finished
    upload.flow.seal()
    rig.wait(upload.exchange)
    assert json.loads(upload.exchange.text) == [9, "9"]
    assert lines(notes) == ["3", "6", "9", "whole"]


def test_a_body_of_unknown_length(rig: Any, start: Any, tmp_path: Path) -> None:
    upload = Upload(rig, start(), "/upload", tmp_path / "notes", **{"transfer-encoding": "chunked"})
    upload.flow.feed(b"abc")
    upload.flow.seal()
    rig.wait(upload.exchange)
    assert json.loads(upload.exchange.text) == [3, None]


def test_a_large_body_with_back_pressure(rig: Any, start: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"
    upload = Upload(rig, start(), "/upload-when-told", go)
    upload.flow.feed(b"x" * 65536)
    assert upload.held  # the client waits for the app
    go.touch()
    for _ in range(200):
        rig.loop.until(lambda: not upload.flow.paused)
        upload.flow.feed(b"x" * 65536)
    upload.flow.seal()
    rig.wait(upload.exchange)
    assert int(upload.exchange.text) == 201 * 65536


@pytest.mark.parametrize("how", ["leave", "refuse"])
def test_a_body_that_breaks_off_is_an_error_in_the_app(rig: Any, start: Any, tmp_path: Path, how: str) -> None:
    pool = start()
    notes = tmp_path / "notes"
    upload = Upload(rig, pool, "/upload", notes)
    upload.flow.feed(b"abc")
    rig.loop.until(lambda: lines(notes))
    getattr(upload, how)()
    rig.loop.until(lambda: len(lines(notes)) == 2)
    assert lines(notes) == ["3", "BodyLost"]
    assert rig.get(pool, "/hello").text == "hello"
    rig.loop.until(lambda: pool.load() == (0, 1, 0))
    assert "Traceback" not in rig.log.text  # it is nobody's fault


def test_an_app_that_does_not_read(rig: Any, start: Any) -> None:
    pool = start()
    for _ in range(3):
        upload = Upload(rig, pool, "/ignore")
        upload.flow.feed(b"abc")
        rig.wait(upload.exchange)
        assert upload.exchange.text == "not read"
    rig.loop.until(lambda: pool.load() == (0, 1, 0))


def test_no_descriptors_are_lost(rig: Any, start: Any, tmp_path: Path) -> None:
    pool = start()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        uploads = [Upload(rig, pool, "/ignore"), Upload(rig, pool, "/upload", tmp_path / str(number))]
        for upload in uploads:
            upload.flow.feed(b"abc")
        uploads[1].flow.seal()
        rig.wait(*(upload.exchange for upload in uploads))
        waiting = [Upload(rig, pool, "/upload", tmp_path / "gone") for _ in range(30)]
        for upload in waiting:
            upload.leave()
    rig.loop.until(lambda: pool.load() == (0, 1, 0))
    assert rig.get(pool, "/hello").text == "hello"
    rig.loop.until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_a_slow_client_is_not_the_apps_fault(rig: Any, start: Any, tmp_path: Path) -> None:
    pool = start(timeout=0.3)
    notes = tmp_path / "notes"
    upload = Upload(rig, pool, "/upload", notes)
    rig.loop.until(notes.exists)
    for number in range(5):
        rig.loop.callLater(0.2, upload.flow.feed, b"abc")
        rig.loop.until(lambda number=number: len(lines(notes)) > number)
    upload.flow.seal()
    rig.wait(upload.exchange)
    assert json.loads(upload.exchange.text)[0] == 15


def test_an_app_that_does_nothing_has_its_deadline(rig: Any, start: Any, tmp_path: Path) -> None:
    upload = Upload(rig, start(timeout=0.3), "/upload-when-told", tmp_path / "never")
    upload.flow.feed(b"abc")
    rig.wait(upload.exchange)
    assert upload.exchange.refusal[:2] == (504, "app-timeout")
    upload.flow.close()
    (tmp_path / "never").touch()


def test_a_worker_that_dies_before_it_reads_costs_nothing(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    upload = Upload(rig, pool, "/die-once", tmp_path / "died", "PUT")
    upload.flow.feed(b"abc")
    rig.wait(upload.exchange)
    assert upload.exchange.text == "survived"
    assert upload.exchange.retries == 1


def test_a_worker_that_dies_reading_takes_the_body_with_it(rig: Any, tmp_path: Path) -> None:
    pool = rig.start(workers=1)
    upload = Upload(rig, pool, "/die-reading", tmp_path / "died", "PUT")
    upload.flow.feed(b"abc")
    rig.wait(upload.exchange)
    assert upload.exchange.refusal[:2] == (502, "worker-died")
    upload.flow.close()


def test_an_app_may_ask_whether_its_client_is_there(rig: Any, start: Any, tmp_path: Path) -> None:
    pool = start()
    notes = tmp_path / "notes"
    exchange = rig.submit(pool, "/connected", notes)
    rig.loop.until(lambda: lines(notes) == ["True"])
    exchange.abort("client-gone")
    pool.cancel(exchange)
    rig.loop.until(lambda: lines(notes) == ["True", "left"])
    assert rig.get(pool, "/hello").text == "hello"
    assert exchange.answer is None


def test_what_the_app_yields_leaves_at_once_if_the_route_wants_it_so(rig: Any, start: Any) -> None:
    pool = start()
    exchange = rig.exchange("/stream", "3")
    pool.submit(exchange, "", True)
    rig.wait(exchange)
    assert exchange.answer[1].unbuffered
    assert len(exchange.outbox.data) == 3 * 16384
    exchange = rig.get(pool, "/stream", 30)
    assert not exchange.answer[1].unbuffered
