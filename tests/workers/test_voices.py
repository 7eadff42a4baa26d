"""Who hears what a thread prints."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator

import pytest

from tinfront.workers import voices
from tinfront.workers.voices import Voice, hush, speak


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    yield
    hush()


def listen(monkeypatch: pytest.MonkeyPatch) -> tuple[io.StringIO, io.StringIO]:
    """What the streams of the process get from now on; in the test itself, as pytest sets its own before each step."""
    monkeypatch.setattr(voices, "_speakers", {})  # without the threads that other tests have left behind
    monkeypatch.setattr(voices, "_voices", [])
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    return out, err


def in_thread(call: object) -> None:
    thread = threading.Thread(target=call)  # type: ignore[arg-type]
    thread.start()
    thread.join()


def test_only_threads_that_run_an_app_are_heard_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    front = listen(monkeypatch)
    out, err = io.StringIO(), io.StringIO()

    def app() -> None:
        speak(out, err)
        print("app", flush=True)
        print("trouble", file=sys.stderr)
        sys.stdout.writelines(["a\n", "b\n"])
        in_thread(lambda: print("child"))

    speak(io.StringIO(), io.StringIO())
    in_thread(app)
    hush()
    print("front")
    assert (out.getvalue(), err.getvalue()) == ("app\na\nb\n", "trouble\n")
    assert (front[0].getvalue(), front[1].getvalue()) == ("child\nfront\n", "")


def test_the_streams_come_back_after_the_last_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    front = listen(monkeypatch)
    gone, go = threading.Event(), threading.Event()

    def second() -> None:
        speak(io.StringIO(), io.StringIO())
        gone.set()
        go.wait(20)
        hush()

    speak(io.StringIO(), io.StringIO())
    kept = sys.stdout
    thread = threading.Thread(target=second)
    thread.start()
    gone.wait(20)
    hush()
    hush()
    assert type(sys.stdout) is type(sys.stderr) is Voice
    go.set()
    thread.join()
    assert (sys.stdout, sys.stderr) == front
    kept.write("late\n")  # a logging handler may have kept it
    assert front[0].getvalue() == "late\n"


def test_who_has_taken_the_place_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    front = listen(monkeypatch)
    speak(io.StringIO(), io.StringIO())
    other = io.StringIO()
    monkeypatch.setattr(sys, "stdout", other)
    hush()
    assert sys.stdout is other
    assert sys.stderr is front[1]


def test_everything_else_is_that_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    front = listen(monkeypatch)
    front[0].isatty = lambda: True  # type: ignore[method-assign]
    speak(io.StringIO(), io.StringIO())
    voice = sys.stdout
    assert not voice.isatty()
    assert voice.newlines == front[0].newlines
    hush()
    assert voice.isatty()


def test_a_process_without_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    listen(monkeypatch)
    monkeypatch.setattr(sys, "stdout", None)
    speak(io.StringIO(), io.StringIO())
    assert sys.stdout is None
    hush()
    assert sys.stdout is None
