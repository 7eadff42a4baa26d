"""Who the client is by the word of a proxy, as handlers see it."""

import pytest

from tests.transports import Front, statuses
from tinfront.front import proxies as module
from tinfront.front.proxies import Proxies
from tinfront.http.forwarded import FIELDS
from tinfront.http.message import ResponseHead

LIES = {
    "x-forwarded-for": "198.51.100.9",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "evil.test",
    "x-forwarded-port": "8443",
    "x-forwarded-prefix": "/evil",
    "forwarded": "for=198.51.100.8;proto=https;host=other.test",
    "x-real-ip": "198.51.100.7",
    "x-forwarded-ssl": "on",
    "x-scheme": "https",
}


def ask(fields, trusted=True, headers="x-forwarded", secure=False, members=("192.0.2.0/24",)):
    """The exchange that a handler gets, or the status of a refusal."""
    seen = []

    def handle(exchange):
        seen.append(exchange)
        exchange.respond(ResponseHead(204, []), b"")

    front = Front(handle, proxies=Proxies(members, headers))
    front.site.certificate = None
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    client = front.connect(trusted=trusted, secure=secure)
    answer = client.send(f"GET / HTTP/1.1\r\nHost: demo.test\r\nX-Mine: 1\r\n{lines}\r\n".encode("latin-1"))
    return seen[0] if seen else statuses(answer)[0]


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(module.log, "info", lambda text, **values: lines.append(text.format(**values)))
    return lines


@pytest.mark.parametrize("headers", ["x-forwarded", "forwarded"])
@pytest.mark.parametrize("secure", [False, True])
def test_from_a_client_nothing_is_believed_and_nothing_passes(headers, secure, said):
    exchange = ask(LIES, trusted=False, headers=headers, secure=secure)
    assert exchange.peer == ("192.0.2.7", 50123)
    assert exchange.local == ("127.0.0.1", 443 if secure else 80)
    assert exchange.secure is secure
    assert exchange.head.fields == {"host": "demo.test", "x-mine": "1"}


def test_x_forwarded_of_a_trusted_proxy():
    exchange = ask(LIES)
    assert exchange.peer == ("198.51.100.9", 0)
    assert exchange.secure
    assert exchange.local == ("127.0.0.1", 8443)
    assert exchange.head.authority == "demo.test"  # a site is chosen by Host
    assert exchange.head.fields == {
        "host": "demo.test",
        "x-mine": "1",
        "x-forwarded-host": "evil.test",
        "x-forwarded-prefix": "/evil",
    }


def test_forwarded_of_a_trusted_proxy():
    exchange = ask(LIES, headers="forwarded")
    assert exchange.peer == ("198.51.100.8", 0)
    assert exchange.secure
    assert exchange.local == ("127.0.0.1", 80)
    assert exchange.head.fields == {"host": "demo.test", "x-mine": "1", "x-forwarded-host": "other.test"}


def test_what_is_malformed_counts_as_not_said():
    lies = {"x-forwarded-for": "x", "x-forwarded-proto": "y", "x-forwarded-host": "/", "x-forwarded-port": "z"}
    exchange = ask({**lies, "x-forwarded-prefix": "http://evil"}, secure=True)
    assert exchange.peer == ("192.0.2.7", 50123)
    assert exchange.secure
    assert exchange.local == ("127.0.0.1", 443)
    assert exchange.head.fields == {"host": "demo.test", "x-mine": "1"}


def test_a_malformed_forwarded_is_400():
    assert ask({"forwarded": 'for="'}, headers="forwarded") == 400
    assert ask({"forwarded": 'for="'}).peer[0] == "192.0.2.7"  # nobody looks at it
    assert ask({"forwarded": 'for="'}, trusted=False, headers="forwarded").peer[0] == "192.0.2.7"


def test_the_scheme_may_be_less_than_that_of_the_connection():
    assert not ask({"x-forwarded-proto": "http"}, secure=True).secure


def test_sni_is_about_the_connection_not_about_the_word_of_a_proxy():
    front = Front(proxies=Proxies(("192.0.2.0/24",)))
    front.site.certificate = "another"
    request = b"GET / HTTP/1.1\r\nHost: demo.test\r\nX-Forwarded-Proto: %s\r\n\r\n"
    assert statuses(front.connect(trusted=True).send(request % b"https")) == [200]
    assert statuses(front.connect(trusted=True, secure=True).send(request % b"http")) == [421]


def test_without_such_fields_a_proxy_speaks_for_itself():
    assert ask({}).peer == ("192.0.2.7", 50123)


def test_each_request_has_its_own_client():
    front = Front(proxies=Proxies(("192.0.2.0/24",)))
    client = front.connect(trusted=True)
    for address in (b"198.51.100.1", b"198.51.100.2"):
        client.send(b"GET / HTTP/1.1\r\nHost: demo.test\r\nX-Forwarded-For: %b\r\n\r\n" % address)
    client.send(b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n")
    assert [exchange.peer[0] for exchange in front.over] == ["198.51.100.1", "198.51.100.2", "192.0.2.7"]


def test_repeated_lines_are_one_list():
    front = Front(proxies=Proxies(("192.0.2.0/24",)))
    client = front.connect(trusted=True)
    lines = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 198.51.100.1\r\n"
    client.send(b"GET / HTTP/1.1\r\nHost: demo.test\r\n%b\r\n" % lines)
    assert front.over[0].peer == ("198.51.100.1", 0)


def test_a_forgotten_proxy_near_by_is_mentioned_once(monkeypatch, said):
    front = Front(proxies=Proxies())
    request = b"GET / HTTP/1.1\r\nHost: demo.test\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n"
    client = front.connect()
    client.send(request)
    assert said == []  # 192.0.2.7 is a client from afar, and lies
    client.connection.peer = ("10.0.0.1", 5)
    client.send(request * 2)
    assert said == [
        "x-forwarded-for, x-forwarded-proto from 10.0.0.1 are dropped: it is not in trusted_proxies of the listener"
    ]


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_none_of_the_fields_of_a_stranger_passes(name, said):
    assert name not in ask({name: "for=1.2.3.4"}, trusted=False).head.fields
