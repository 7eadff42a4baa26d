"""An application that is made by a call."""


def make_app(word="made"):
    """An app that says one word."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [word.encode()]

    return app
