"""A copy of this process that somebody else has forked, and one that was meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROLOGUE = """
import os, sys
from tinfront.workers import applog, forks
reading, writing = os.pipe()
forks.mind([writing])
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """In an interpreter of its own: what is minded once is minded for ever."""
    return subprocess.run(
        [sys.executable, "-c", PROLOGUE + code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )


def test_a_stray_has_no_way_out_and_its_parent_keeps_its_own() -> None:
    code = """
pid = os.fork()
if not pid:
    os.write(writing, b"from the stray")
    os._exit(forks.stray)
os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1 or sys.exit("it does not know what it is")
os.write(writing, b"from its parent")
print(os.read(reading, 100), forks.stray)
"""
    assert run(code).stdout == "b'from its parent' False\n"


def test_what_is_forked_on_purpose_is_none_and_minds_its_own() -> None:
    code = """
if not (pid := forks.fork()):
    os.write(writing, b"meant, ")
    forks.mind([2])
    if not (pid := os.fork()):
        os.write(writing, b"a stray of the second one")
        os._exit(forks.stray)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os._exit(code if not forks.stray else 9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.read(reading, 100))
"""
    assert run(code).stdout == "1 b'meant, a stray of the second one'\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("None", 0, ""),
        ("SystemExit(7)", 7, ""),
        ("SystemExit()", 0, ""),
        ("SystemExit('a text')", 1, ""),
        ("KeyError('k')", 1, "KeyError: 'k'\n"),
    ],
)
def test_how_it_ends(error: str, code: int, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", f"from tinfront.workers import forks; forks.leave({error})"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (code, said)
