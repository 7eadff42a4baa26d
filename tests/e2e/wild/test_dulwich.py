"""dulwich: a Git repository over smart HTTP, cloned from and pushed to by ``git``."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.needs("dulwich", "git")

SITE = """
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

application = make_wsgi_chain(DictBackend({"/": Repo("%s")}))
"""

NAMES = {f"GIT_{who}_{what}": "ali@demo.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(directory: Path, *arguments: str) -> str:
    env = os.environ | NAMES | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(directory: Path, name: str, body: bytes) -> None:
    (directory / name).write_bytes(body)
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", name)


def test_dulwich(serve: Any, tmp_path: Path) -> None:
    first, clone, origin = tmp_path / "first", tmp_path / "clone", tmp_path / "origin.git"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "first")
    big = random.Random(1).randbytes(3_000_000)
    commit(first, "big.bin", big)
    git(tmp_path, "clone", "--quiet", "--bare", "first", "origin.git")
    with serve(SITE % origin) as server:
        git(tmp_path, "clone", "--quiet", f"{server.url}/", "clone")
        assert (clone / "big.bin").read_bytes() == big
        commit(clone, "small.txt", b"small")
        commit(clone, "more.bin", big[::-1])  # beyond http.postBuffer: git sends it chunked
        git(clone, "push", "--quiet", "origin", "main")
        assert git(origin, "log", "--format=%s", "main").split() == ["more.bin", "small.txt", "big.bin"]
        git(clone, "fetch", "--quiet")
        git(tmp_path, "clone", "--quiet", f"{server.url}/", "again")
        assert (tmp_path / "again" / "more.bin").read_bytes() == big[::-1]
        git(origin, "fsck", "--strict")
