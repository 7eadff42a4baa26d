"""Trac, which sends every page through ``write()``, as applications of its time do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.server import eventually

pytestmark = pytest.mark.needs("trac", "trac-admin")

SITE = """
import os

os.environ["TRAC_ENV"] = "%s"

from trac.web.main import dispatch_request

def application(environ, start_response):
    def watching(*head):
        write = start_response(*head)

        def watched(data):
            environ["wsgi.errors"].write(f"write() of {len(data)} bytes\\n")
            write(data)

        return watched

    return dispatch_request(environ, watching)
"""
"""As its documentation has it; the watcher only tells that ``write()`` is called."""

WRITTEN = re.compile(r"write\(\) of (\d+) bytes")
TOKEN = re.compile(r'name="__FORM_TOKEN" value="(\w+)"')


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Trac environment where anonymous visitors may edit the wiki."""
    path = tmp_path / "project"
    for command in (["initenv", "Wild", "sqlite:db/trac.db"], ["permission", "add", "anonymous", "TICKET_ADMIN"]):
        admin = [sys.executable, "-m", "trac.admin.console", str(path), *command]
        subprocess.run(admin, check=True, capture_output=True, timeout=60)
    return path


def test_trac(serve: Any, client: requests.Session, project: Path) -> None:
    with serve(SITE % project) as server:
        url = server.url
        page = client.get(f"{url}/wiki")
        assert "Welcome to Trac" in page.text
        eventually(
            lambda: sum(map(int, WRITTEN.findall(server.log.text))) == len(page.content), "it does not use write()"
        )
        style = client.get(f"{url}/chrome/common/css/trac.css")
        assert (style.status_code, style.headers["Content-Type"]) == (200, "text/css")
        form = {
            "field_summary": "Über",
            "field_description": "one line\n\n" * 5000,
            "submit": "1",
            "field_type": "defect",
        }
        found = TOKEN.search(client.get(f"{url}/newticket").text)
        assert found
        ticket = client.post(f"{url}/newticket", data=form | {"__FORM_TOKEN": found[1]})
        assert (ticket.url, ticket.status_code) == (f"{url}/ticket/1", 200)
        assert ticket.text.count("one line") >= 5000
        assert "Über" in client.get(f"{url}/ticket/1?format=csv").text
        assert client.get(f"{url}/wiki/WikiStart", headers={"If-None-Match": page.headers.get("ETag", "")}).ok
        assert client.get(f"{url}/wiki/NoSuchPage").status_code == 404
