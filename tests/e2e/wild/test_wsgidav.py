"""WsgiDAV, under the litmus suite: basic, copymove, props, locks and http of RFC 4918."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.needs("wsgidav", "litmus")

SITE = """
from wsgidav.wsgidav_app import WsgiDAVApp

application = WsgiDAVApp({
    "provider_mapping": {"/": "%s"},
    "simple_dc": {"user_mapping": {"*": {"ali": {"password": "sesame"}}}},
    "http_authenticator": {"accept_basic": True, "default_to_digest": False},
    "property_manager": True,
    "lock_storage": True,
    "verbose": 1,
})
"""
"""Locks and properties are in memory, hence in one process."""

ONE_PROCESS = ["prefork with threads", "threads"]


@pytest.mark.parametrize("crew", ONE_PROCESS, indirect=True)
def test_wsgidav(serve: Any, client: requests.Session, tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    with serve(SITE % share) as server:
        assert client.request("PROPFIND", server.url).status_code == 401
        command = ["litmus", "--keep-going", f"{server.url}/", "ali", "sesame"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
        suites = re.findall(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed", run.stdout)
        assert {name: int(failed) for name, _, _, failed in suites} == dict.fromkeys(
            ("basic", "copymove", "props", "locks", "http"), 0
        ), run.stdout
        assert run.returncode == 0, run.stdout + run.stderr
        client.auth = ("ali", "sesame")
        body = os.urandom(5_000_000)
        assert client.put(f"{server.url}/a file.bin", data=body).status_code == 201
        assert (share / "a file.bin").read_bytes() == body
        found = client.request("PROPFIND", server.url, headers={"Depth": "1"})
        assert (found.status_code, "/a%20file.bin" in found.text) == (207, True)
        part = client.get(f"{server.url}/a file.bin", headers={"Range": "bytes=1000000-1999999"})
        assert (part.status_code, part.content) == (206, body[1_000_000:2_000_000])
