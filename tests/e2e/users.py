"""What tests need that start a server as root and let it become somebody else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.server import ROOT, Server, environment

NOBODY, OTHER = "nobody", "daemon"

PATHS = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


@cache
def interpreter() -> str:
    """A Python that other users may run, with all that a server needs. Root's own may lie in root's home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, os.path.realpath(sys.executable), shutil.which(version, path="/usr/bin") or ""):
        if candidate and _serves_nobody(candidate):
            return candidate
    pytest.skip(f"there is no {version} that the user {NOBODY} may run, with tinfront and what it needs")


def _serves_nobody(candidate: str) -> bool:
    code = (
        f"import sys, tinfront.cli, uvloop, cryptography.x509; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    )
    try:
        answer = subprocess.run(
            [candidate, "-c", code], user=NOBODY, group=65534, extra_groups=[], env={"PYTHONPATH": PATHS}, cwd="/",
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    except OSError:
        return False
    return answer.returncode == 0


@contextmanager
def public_directory() -> Iterator[Path]:
    """A temporary directory that everybody may enter; pytest's own may not be entered."""
    directory = Path(tempfile.mkdtemp(prefix="tinfront-users-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


class UserServer(Server):
    """A server that other users may become."""

    def __init__(self, directory: Path, ini: str, *, twistd: tuple[str, ...] | None = None, may_fail: bool = False):
        """:param twistd: options for twistd; without it the ``tinfront`` command is run."""
        super().__init__(directory, ini, may_fail=may_fail, env={"PYTHONPATH": PATHS})
        if twistd is None:
            run = ["from tinfront.cli import main; main()", "run", str(self.file)]
        else:
            self.fast = False
            run = ["from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", *twistd]
            run += ["tinfront", "--config", str(self.file)]
        self._command = [interpreter(), "-c", *run]
        self._env = environment({"PYTHONPATH": PATHS})


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def ids(pid: int) -> tuple[set[str], set[str], str]:
    """Its user's numbers, its group's numbers (real, effective, saved, file system), and its other groups."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return set(status["Uid"].split()), set(status["Gid"].split()), status["Groups"].strip()


OURS = {  # what tinfront gives a worker, by number or by what it is
    "null": r"/dev/null",
    "pipe": r"pipe:\[\d+\]",  # the log, as 1 and 2; and the one for stacks
    "board": r"/memfd:tinfront-board \(deleted\)",
    "socket": r"socket:\[\d+\]",  # jobs, files, and a stream for each thread
}


def kinds(fds: dict[str, str]) -> dict[str, int]:
    """How many there are of each kind; of what is none, the link itself."""
    found: dict[str, int] = {}
    for link in fds.values():
        kind = next((name for name, form in OURS.items() if re.fullmatch(form, link)), link)
        found[kind] = found.get(kind, 0) + 1
    return found
