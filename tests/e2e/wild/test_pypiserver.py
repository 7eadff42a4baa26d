"""pypiserver: a package index that ``twine`` uploads to and ``pip`` installs from."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.needs("pypiserver", "twine", "pip")

SITE = """
import pypiserver

application = pypiserver.app(roots=["%s"], password_file=".", authenticate=[])
"""

PAYLOAD = random.Random(1).randbytes(3_000_000)


def wheel(directory: Path) -> Path:
    """A distribution with some weight, by hand."""
    path = directory / "tinwild-1.0-py3-none-any.whl"
    info = "tinwild-1.0.dist-info"
    files = {
        "tinwild/__init__.py": b"answer = 42\n",
        "tinwild/payload.bin": PAYLOAD,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tinwild\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def python(directory: Path, *arguments: str | Path) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "TWINE_"))}
    env = kept | {"PIP_CONFIG_FILE": os.devnull, "HOME": str(directory), "NO_PROXY": "*"}
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pypiserver(serve: Any, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    with serve(SITE % index) as server:
        upload = ["upload", "--non-interactive", "--disable-progress-bar", "--repository-url", server.url]
        python(tmp_path, "twine", *upload, "-u", "ali", "-p", "sesame", wheel(tmp_path))
        assert [path.name for path in index.iterdir()] == ["tinwild-1.0-py3-none-any.whl"]
        pip = ["--disable-pip-version-check", "--no-cache-dir", "--index-url", f"{server.url}/simple/", "--no-deps"]
        python(tmp_path, "pip", "download", "--dest", tmp_path / "downloads", *pip, "tinwild")
        assert (tmp_path / "downloads" / "tinwild-1.0-py3-none-any.whl").stat().st_size > len(PAYLOAD)
        python(tmp_path, "pip", "install", "--target", tmp_path / "site", *pip, "tinwild==1.0")
        assert (tmp_path / "site" / "tinwild" / "payload.bin").read_bytes() == PAYLOAD
