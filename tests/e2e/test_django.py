"""Django as people deploy it: the app at /, its collected static files beside it, in both modes."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.server import APPS, LISTEN, Server, environment

MIB = 1024 * 1024


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a migrated database, an administrator and the collected static files."""
    root = tmp_path_factory.mktemp("django")
    env = environment(
        {
            "DJANGO_ROOT": str(root),
            "DJANGO_SETTINGS_MODULE": "django_site.settings",
            "DJANGO_SUPERUSER_PASSWORD": "open sesame",
            "PYTHONPATH": str(APPS),
        }
    )
    for command in ("migrate", "createsuperuser --username=ali --email=ali@demo.test", "collectstatic"):
        arguments = [sys.executable, "-m", "django", *command.split(), "--no-input", "--verbosity=0"]
        subprocess.run(arguments, env=env, check=True, timeout=60)
    return root


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, transport: str, mode: str, certificate: Path, project: Path
) -> Iterator[Server]:
    ini = f"""
{LISTEN}
[site:django]
default = yes
certificate = {certificate}

[route:django /static/]
static = {project}/static
expires = 1h

[route:django /]
app = django
body_limit = 16m

[app:django]
wsgi = django_site.wsgi:application
path = {APPS}
env = DJANGO_ROOT={project}
mode = {mode}
"""
    with Server(tmp_path_factory.mktemp("server"), ini, transport) as server:
        yield server


@pytest.fixture
def url(server: Server, scheme: str) -> str:
    return server.url if scheme == "http" else server.secure_url


def token(page: str) -> str:
    """The CSRF token in a form."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found
    return found[1]


def test_login_to_the_admin(client: requests.Session, url: str) -> None:
    page = client.get(f"{url}/admin/")
    assert page.url == f"{url}/admin/login/?next=/admin/"  # Django's redirect led to where we are
    form = {"csrfmiddlewaretoken": token(page.text), "username": "ali", "password": "open sesame", "next": "/admin/"}
    page = client.post(page.url, data=form, headers={"Referer": page.url})
    assert (page.status_code, page.url) == (200, f"{url}/admin/")
    assert "Site administration" in page.text


def test_a_form_without_its_token_is_refused(client: requests.Session, url: str) -> None:
    client.get(f"{url}/upload/")
    answer = client.post(f"{url}/upload/", files={"file": ("a.txt", b"a")})
    assert answer.status_code == 403


@pytest.mark.parametrize(("size", "kind"), [(5000, "InMemoryUploadedFile"), (3 * MIB, "TemporaryUploadedFile")])
def test_upload_through_a_form(client: requests.Session, url: str, size: int, kind: str) -> None:
    body = os.urandom(size)
    page = client.get(f"{url}/upload/")
    answer = client.post(
        page.url,
        data={"csrfmiddlewaretoken": token(page.text)},
        files={"file": ("holiday.jpg", body, "image/jpeg")},
        headers={"Referer": page.url},
    )
    digest = hashlib.sha256(body).hexdigest()
    assert answer.json() == {"name": "holiday.jpg", "size": size, "sha256": digest, "kind": kind}


def test_sessions_are_kept_by_cookie(client: requests.Session, url: str) -> None:
    assert [client.get(f"{url}/visits/").json()["visits"] for _ in range(3)] == [1, 2, 3]


def test_a_streaming_response(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/stream/")
    assert answer.text.splitlines() == [f"row {number}" for number in range(2000)]


def test_django_knows_where_it_is(client: requests.Session, url: str, scheme: str) -> None:
    found = client.get(f"{url}/where/?q=1").json()
    assert found == {"secure": scheme == "https", "uri": f"{url}/where/?q=1", "ip": "127.0.0.1"}


def test_a_missing_slash_is_django_s_to_add(client: requests.Session, url: str) -> None:
    answer = client.get(f"{url}/where", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, "/where/")


def test_collected_static_files_come_from_the_front(client: requests.Session, url: str, project: Path) -> None:
    answer = client.get(f"{url}/static/admin/css/base.css")
    assert answer.content == (project / "static/admin/css/base.css").read_bytes()
    assert answer.headers["Content-Type"].startswith("text/css")
    assert answer.headers["Cache-Control"] == "max-age=3600"
    again = client.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
