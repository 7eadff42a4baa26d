"""Falcon: resources, media, streams both ways, HEAD and OPTIONS, errors as it makes them."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.needs("falcon")

SITE = """
import hashlib
import io
import falcon

class Things:
    def on_get(self, request, response, name):
        response.media = {"name": name, "query": request.params, "uri": request.uri}

    def on_post(self, request, response, name):
        response.media = request.get_media()
        response.status = falcon.HTTP_201
        response.location = request.path

    def on_put(self, request, response, name):
        digest = hashlib.sha256()
        while piece := request.bounded_stream.read(10_000):
            digest.update(piece)
        response.text = digest.hexdigest()

class Stream:
    def on_get(self, request, response):
        response.set_stream(io.BytesIO(b"0123456789" * 50_000), 500_000)

class Fails:
    def on_get(self, request, response):
        raise falcon.HTTPTooManyRequests(title="slowly", retry_after=3)

application = falcon.App()
application.add_route("/things/{name}", Things())
application.add_route("/stream", Stream())
application.add_route("/fails", Fails())
"""


def test_falcon(serve: Any, client: requests.Session) -> None:
    with serve(SITE) as server:
        url = f"{server.url}/things/ünï"
        told = client.get(url, params={"q": "a b", "n": ["1", "2"]}).json()
        assert (told["name"], told["query"]) == ("ünï", {"q": "a b", "n": ["1", "2"]})
        assert told["uri"].startswith(f"{server.url}/things/")
        made = client.post(url, json={"a": [1, None]})
        assert (made.status_code, made.json()) == (201, {"a": [1, None]})
        body = os.urandom(3_000_000)
        assert client.put(url, data=body).text == hashlib.sha256(body).hexdigest()
        pieces = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
        assert client.put(url, data=pieces).text == hashlib.sha256(body).hexdigest()  # chunked
        assert client.get(f"{server.url}/stream").content == b"0123456789" * 50_000
        assert client.options(url).headers["Allow"] == "GET, POST, PUT"
        late = client.get(f"{server.url}/fails")
        assert (late.status_code, late.headers["Retry-After"], late.json()) == (429, "3", {"title": "slowly"})
        assert client.post(url, data="{", headers={"Content-Type": "application/json"}).status_code == 400
