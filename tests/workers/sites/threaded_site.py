"""Starts a thread at import, which holds a lock that the app needs: a fork of it would never answer."""

import threading
import time

lock = threading.Lock()


def hold():
    while True:
        with lock:
            time.sleep(0.05)


threading.Thread(target=hold, name="holder", daemon=True).start()


def application(environ, start_response):
    with lock:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"unlocked"]
