"""Bottle: routes, forms, uploads, cookies, static files with ranges, errors."""

from __future__ import annotations

import os
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.needs("bottle")

SITE = """
import bottle

application = bottle.Bottle()

@application.get("/hello/<name>")
def hello(name):
    return bottle.template("Hello {{name}}!", name=name)

@application.post("/upload")
def upload():
    file = bottle.request.files.file
    bottle.response.set_cookie("seen", file.raw_filename, secret="s")
    return {"name": file.raw_filename, "note": bottle.request.forms.note, "size": len(file.file.read())}

@application.get("/seen")
def seen():
    return bottle.request.get_cookie("seen", secret="s") or "nothing"

@application.get("/files/<name>")
def files(name):
    return bottle.static_file(name, root=".")

@application.get("/rows")
def rows():
    for number in range(1000):
        yield f"{number}\\n"

@application.get("/back")
def back():
    bottle.redirect("/hello/again")
"""


def test_bottle(serve: Any, client: requests.Session, tmp_path: Any) -> None:
    blob = os.urandom(2_000_000)
    (tmp_path / "blob.bin").write_bytes(blob)
    with serve(SITE.replace('root="."', f'root="{tmp_path}"')) as server:
        url = server.url
        assert client.get(f"{url}/hello/Zoë <b>").text == "Hello Zoë &lt;b&gt;!"
        assert client.get(f"{url}/back").url == f"{url}/hello/again"
        answer = client.post(f"{url}/upload", data={"note": "naïve"}, files={"file": ("a.bin", blob)})
        assert answer.json() == {"name": "a.bin", "note": "naïve", "size": len(blob)}
        assert client.get(f"{url}/seen").text == "a.bin"
        assert client.get(f"{url}/files/blob.bin").content == blob
        part = client.get(f"{url}/files/blob.bin", headers={"Range": "bytes=-1000"})
        assert (part.status_code, part.content) == (206, blob[-1000:])
        assert client.get(f"{url}/rows").text == "".join(f"{number}\n" for number in range(1000))
        assert client.get(f"{url}/missing").status_code == 404
        assert client.put(f"{url}/rows").status_code == 405
