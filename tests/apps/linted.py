"""An application behind the standard library's validator, which raises at any breach of PEP 3333, ours or its own."""

from wsgiref.validate import validator


def tell(environ, start_response):
    """How much came, in two reads."""
    body = environ["wsgi.input"].read(10) + environ["wsgi.input"].read(1_000_000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {len(body)}".encode()]


application = validator(tell)
