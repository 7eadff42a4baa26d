"""A page that a browser keeps open: it hears of events, and reports each of them as it comes.

Two events a connection: the browser must ask again, and say how far it got.
"""

import os
import time

PAGE = b"""<!doctype html><title>events</title><script>
const source = new EventSource("events");
source.onmessage = event => fetch("heard", {method: "POST", body: event.lastEventId + " " + event.data});
</script>"""


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/":
        return answer(start_response, "text/html", PAGE)
    if path == "/events":
        return events(environ, start_response)
    if path == "/heard":
        with open(os.environ["HEARD"], "ab") as file:
            file.write(environ["wsgi.input"].read() + b"\n")
    return answer(start_response, "text/plain", b"")


def answer(start_response, media_type, body):
    start_response("200 OK", [("Content-Type", media_type), ("Content-Length", str(len(body)))])
    return [body]


def events(environ, start_response):
    """The second comes only when the first was heard: whoever gathers them would wait for ever."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    first = int(environ.get("HTTP_LAST_EVENT_ID", "0")) + 1
    yield b"retry: 50\n\n"
    yield b"id: %d\ndata: one\n\n" % first
    wait_until_heard(first)
    yield b"id: %d\ndata: two\n\n" % (first + 1)


def wait_until_heard(number):
    """Until the browser has reported the event, for 20 s at most."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            with open(os.environ["HEARD"], "rb") as file:
                if any(line.startswith(b"%d " % number) for line in file):
                    return
        except FileNotFoundError:
            pass
        time.sleep(0.01)
