"""The demo application: plain WSGI, no framework. A page, and an upload form that tells what arrived."""

import hashlib
import html
import os
from email.parser import BytesHeaderParser

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tinfront demo</title>
<link rel="stylesheet" href="/static/demo.css">
<main>
<h1>It works</h1>
<p>This page comes from a WSGI application in worker process <b>{pid}</b>; its
<a href="/static/demo.css">stylesheet</a> from a directory. You asked over <b>{scheme}</b>, from <b>{client}</b>.</p>
<form method="post" action="/upload" enctype="multipart/form-data">
<input type="file" name="file" required> <button>Upload</button>
</form>
{result}
</main>
</html>
"""


def application(environ, start_response):
    """Answer one request (PEP 3333)."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    if path == "/":
        return answer(environ, start_response, "200 OK", "")
    if path == "/upload" and method == "POST":
        return answer(environ, start_response, "200 OK", uploaded(environ))
    return answer(environ, start_response, "404 Not Found", f"<p>There is no {html.escape(path)} here.</p>")


def answer(environ, start_response, status, result):
    """The page, with something below the form."""
    page = PAGE.format(
        pid=os.getpid(),
        scheme=environ["wsgi.url_scheme"],
        client=html.escape(environ.get("REMOTE_ADDR") or "a unix socket"),
        result=result,
    ).encode()
    start_response(status, [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(page)))])
    return [page]


def uploaded(environ):
    """Name, size and SHA-256 of the uploaded file. The whole body is there: reading it never waits for the client."""
    boundary = environ.get("CONTENT_TYPE", "").partition("boundary=")[2].strip('"').encode()
    for part in environ["wsgi.input"].read().split(b"--" + boundary)[1:-1]:
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = BytesHeaderParser().parsebytes(head).get_filename()
        if name:
            body = body.removesuffix(b"\r\n")
            digest = hashlib.sha256(body).hexdigest()
            return f"<p>Received <b>{html.escape(name)}</b>: {len(body):,} bytes, SHA-256 <code>{digest}</code></p>"
    return "<p>No file arrived.</p>"
