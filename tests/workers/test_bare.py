"""Bare interpreters: how they are started, and what they share. The keeper and the nursery have tests of their own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import tinfront
from tinfront.workers import bare

PACKAGE = str(Path(tinfront.__file__).parent)


def test_the_command_line() -> None:
    python, isolation, option, code, *arguments = bare.command("python", "-P", "tinfront.x", {"socket": 5})
    assert (python, isolation, option) == ("python", "-P", "-c")
    assert "from tinfront.x import main\n" in code
    assert arguments[:2] == [PACKAGE, tinfront.__version__]
    assert json.loads(arguments[2]) == {"socket": 5}


def test_the_path_is_left_alone() -> None:
    assert "sys.path" not in bare.BOOTSTRAP
    code = bare.BOOTSTRAP.format("tinfront.errors").replace("import main", "import ConfigError")
    code = code.replace("main(sys.argv[3])", "print(*sys.path, sep='\\n'); print(package.__version__)")
    run = partial(subprocess.run, capture_output=True, text=True, timeout=60, check=True)
    plain = run([sys.executable, "-I", "-c", "import sys; print(*sys.path, sep='\\n')"]).stdout.splitlines()
    told = run([sys.executable, "-I", "-c", code, PACKAGE, "1.2"]).stdout.splitlines()
    assert told == [*plain, "1.2"]


def test_an_orphan_is_adopted() -> None:
    """A grandchild whose parent has ended can be waited for."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(PACKAGE).parent)!r})
from tinfront.workers.bare import adopt_orphans
adopt_orphans()
go, went = os.pipe()
child = os.fork()
if not child:
    if not os.fork():
        os.close(went)
        os.read(go, 1)
        os._exit(7)
    os._exit(0)
os.waitpid(child, 0)
os.close(went)
print(os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == "7\n"


def test_a_signal_wakes_a_poll_and_does_nothing_else() -> None:
    ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.signal(signal.SIGUSR2, bare.wake_up)
    watched = signal.set_wakeup_fd(theirs)
    try:
        signal.raise_signal(signal.SIGUSR2)
        assert select.select([ours], [], [], 5)[0] == [ours]
    finally:
        signal.set_wakeup_fd(watched)
        signal.signal(signal.SIGUSR2, before)
        os.close(ours)
        os.close(theirs)
