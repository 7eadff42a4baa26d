"""What the command lines of the benches share: progress, ends, and words of options."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


def teller() -> Callable[[str], None]:
    """Says a step on stderr, with the time since now."""
    began = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"[{minutes}:{seconds:02}] {text}", file=sys.stderr, flush=True)

    return say


def show(text: str) -> None:
    """A result, on stdout."""
    print(f"\n{text}\n", flush=True)


def terminated(number: int, _frame: object) -> NoReturn:
    """For ``signal.signal``: end in good order, with the servers."""
    sys.exit(128 + number)


def write(path: Path, text: str) -> None:
    """Write a file, into a directory that may not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def positive(word: str) -> int:
    """An integer of at least 1.

    :raises argparse.ArgumentTypeError: it is less.
    """
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def words(text: str) -> tuple[str, ...]:
    """Words between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
