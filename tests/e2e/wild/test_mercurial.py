"""hgweb: a repository, cloned from and pushed to by ``hg``, and browsed. Archives leave through ``write()``."""

from __future__ import annotations

import io
import os
import random
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.server import BIN

pytestmark = pytest.mark.needs("mercurial", "hg")

SITE = """
from mercurial.hgweb import hgweb

application = hgweb(b"%s")
"""


def hg(directory: Path, *arguments: str) -> str:
    env = os.environ | {"HGRCPATH": "", "HGUSER": "ali", "HGPLAIN": "1"}
    command = [str(BIN / "hg"), *arguments]
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mercurial(serve: Any, client: requests.Session, tmp_path: Path) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    hg(tmp_path, "init", "origin")
    big = random.Random(1).randbytes(3_000_000)
    (origin / "big.bin").write_bytes(big)
    (origin / "readme").write_text("first\n")
    hg(origin, "commit", "--addremove", "--message", "first")
    (origin / ".hg" / "hgrc").write_text("[web]\npush_ssl = no\nallow_push = *\nallow-archive = zip\n")
    with serve(SITE % origin) as server:
        hg(tmp_path, "clone", server.url, "clone")
        assert (clone / "big.bin").read_bytes() == big
        (clone / "readme").write_text("second\n")
        (clone / "more.bin").write_bytes(big[::-1])
        hg(clone, "commit", "--addremove", "--message", "second")
        hg(clone, "push")
        assert hg(origin, "log", "--template", "{desc} ") == "second first "
        assert hg(origin, "cat", "--rev", "tip", "readme") == "second\n"
        assert "second" in client.get(f"{server.url}/log").text
        archive = client.get(f"{server.url}/archive/tip.zip").content
        with zipfile.ZipFile(io.BytesIO(archive)) as found:
            assert found.testzip() is None
            name = next(name for name in found.namelist() if name.endswith("/more.bin"))
            assert found.read(name) == big[::-1]
        assert "no changes found" in hg(clone, "pull")
