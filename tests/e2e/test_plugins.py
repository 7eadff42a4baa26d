"""A filter from another distribution, found by its word; and the same by ``module:object``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.e2e.server import APPS, ROOT, TRANSPORTS, Server, tinfront


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which ``tests/plugin_dist`` was installed, without the network."""
    source = tmp_path_factory.mktemp("source") / "plugin_dist"
    shutil.copytree(ROOT / "tests" / "plugin_dist", source)
    target = tmp_path_factory.mktemp("site-packages")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", f"--target={target}", source], check=True, timeout=120)
    return target


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", ["shout", "tinfront_shout.filter:Shout"])
def test_a_filter_of_another_distribution(
    tmp_path: Path, transport: str, kind: str, installed: Path, client: requests.Session
) -> None:
    ini = f"""
[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
app = corners

[route:demo /loud/]
app = corners
filters = loud

[app:corners]
wsgi = corners:application
path = {APPS}

[filter:loud]
type = {kind}
mark = !!
"""
    with Server(tmp_path, ini, transport, env={"PYTHONPATH": str(installed)}) as server:
        quiet, loud = client.get(f"{server.url}/hello"), client.get(f"{server.url}/loud/hello")
        assert (quiet.text, loud.text) == ("hello", "HELLO!!")
        other = client.get(f"{server.url}/loud/environ")
        assert other.json()["PATH_INFO"] == "/environ"  # it is no text/plain
        long = client.get(f"{server.url}/loud/missing")
        assert (long.status_code, long.text) == (404, "THE APP HAS NO SUCH PAGE!!")


def test_its_options_are_checked(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "site.ini").write_text("""
[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
respond = 200 hello
filters = loud

[filter:loud]
type = shout
marc = !!
""")
    answer = tinfront("check", tmp_path / "site.ini", PYTHONPATH=str(installed))
    assert answer.returncode == 78
    assert 'site.ini:14: [filter:loud] marc: unknown option, did you mean "mark"?' in answer.stderr


def test_without_it_the_word_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text("""
[listen:http]
address = 127.0.0.1:0

[site:demo]
default = yes

[route:demo /]
respond = 200 hello
filters = shout
""")
    answer = tinfront("check", tmp_path / "site.ini")
    assert answer.returncode == 78
    assert 'there is no "shout"' in answer.stderr
