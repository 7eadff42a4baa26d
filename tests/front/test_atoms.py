"""Access log formats with gunicorn's atoms."""

from types import SimpleNamespace

from tinfront.front.accesslog import Moments
from tinfront.front.atoms import compile_format
from tinfront.http.message import RequestHead


def exchange(**changes):
    head = RequestHead("GET", "/a?b=%22", "HTTP/1.1", {"referer": "http://r/", "x-thing": 'q"q'}, "h", "/a", "b=%22")
    values = {
        "head": head, "peer": ("192.0.2.1", 5), "status": 200, "sent": 14, "started": 10.0, "ended": 10.5,
        "pid": 77, "request_id": "ab-1", "reason": "", "site": None,
    }  # fmt: skip
    return SimpleNamespace(**{**values, **changes})


def line(text, **changes):
    moments = Moments()
    moments.set(1_000_000_000.0, 10.5)
    return compile_format(text)(exchange(**changes), moments)


def test_gunicorns_own_format():
    text = line('%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"')
    assert text.startswith("192.0.2.1 - - [")
    assert text.endswith('] "GET /a?b=%22 HTTP/1.1" 200 14 "http://r/" "-"\n')


def test_durations_in_all_units():
    assert line("%(T)s %(M)s %(D)s %(L)s") == "0 500 500000 0.500000\n"


def test_what_a_client_sent_is_escaped():
    assert line("%({X-Thing}i)s") == "q\\x22q\n"


def test_a_percent_sign_of_the_users_own_stays():
    assert line("100% %(s)s %d") == "100% 200 %d\n"


def test_nothing_sent():
    assert line("%(b)s %(B)s %(p)s", sent=0, pid=0) == "- 0 -\n"
