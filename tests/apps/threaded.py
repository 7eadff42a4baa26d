"""An application that starts a thread at import, as clients of databases do, and shares a lock with it."""

import threading

_lock = threading.Lock()
_called = threading.Condition(_lock)
_calls = _counted = 0


def _count():
    global _counted  # noqa: PLW0603
    while True:
        with _lock:
            while _counted == _calls:
                _called.wait()
            _counted = _calls
            _called.notify_all()


threading.Thread(target=_count, daemon=True).start()


def application(environ, start_response):
    """Wait until the thread has counted this request."""
    global _calls  # noqa: PLW0603
    with _lock:
        _calls += 1
        _called.notify_all()
        while _counted < _calls:
            _called.wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"counted"]
