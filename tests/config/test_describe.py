from tinfront.config.describe import describe, matching_order
from tinfront.config.load import loads
from tinfront.config.model import Route

TEXT = r"""
[server]
grace = 5s
[listen:http]
address = *:80
    unix:run/x
header_timeout = 10s
[listen:onion]
endpoint = onion:80
[listen:tls]
address = 127.0.0.1:443
tls = yes
backlog = 10
[site:demo]
hosts = demo.test, *.demo.test
default = yes
certificate = development
[site:other]
hosts = other.test
[route:demo /]
app = hello
filters = security, quiet
[route:demo /a/]
static = .
expires = 30d
[route:demo ~ ^/z]
respond = 204
access_log = no
[route:demo ~ ^/a]
respond = 200
body = one
    two
[route:demo = /ü]
redirect = /
body_limit = 2m
[app:hello]
wsgi = demo:app
threads = 3
env = A=1
    B=2
[app:inside]
wsgi = demo:other
mode = threads
[filter:security]
type = headers
set = A: b
"""


def test_describe(vocabulary):
    config = loads(TEXT, vocabulary, directory="/")
    assert (
        describe(config, vocabulary)
        == r"""server; grace = 5s
listen http: *:80, unix:/run/x; header_timeout = 10s
listen onion: endpoint onion:80
listen tls: 127.0.0.1:443 (TLS); backlog = 10
site demo: demo.test, *.demo.test and all other hosts; certificate development
    = /ü -> redirect /; body_limit = 2m
    ~ ^/z -> respond 204; access_log = no
    ~ ^/a -> respond 200; body = one, two
    /a/ -> static /; expires = 30d
    / -> app hello through security, quiet
site other: other.test
app hello: demo:app, 2 workers of 3 threads; env = A=1, B=2
app inside: demo:other, 1 thread in the server
filter security: headers; set = A: b
filter quiet: quiet
"""
    )


def test_a_pool_that_grows_says_how_far(vocabulary):
    more = TEXT.replace("threads = 3", "threads = 3\nworkers_min = 1\nworkers_max = 8")
    text = describe(loads(more, vocabulary, directory="/"), vocabulary)
    assert (
        "app hello: demo:app, 1 to 8 workers of 3 threads; env = A=1, B=2; workers_min = 1; workers_max = 8\n" in text
    )


def test_without_a_vocabulary_plugins_options_are_shown_as_values(vocabulary):
    text = describe(loads(TEXT, vocabulary, directory="/"))
    assert "    /a/ -> static /; expires = 2592000.0\n" in text
    assert "    ~ ^/a -> respond 200; body = one, two\n" in text
    assert "filter security: headers; set = A: b\n" in text


def test_matching_order():
    routes = [
        Route("s", kind, pattern, "x")
        for kind, pattern in [
            ("prefix", "/"),
            ("regex", "b"),
            ("prefix", "/a/b/"),
            ("regex", "a"),
            ("exact", "/"),
            ("prefix", "/a/"),
        ]
    ]
    assert [(route.kind, route.pattern) for route in matching_order(routes)] == [
        ("exact", "/"),
        ("regex", "b"),
        ("regex", "a"),
        ("prefix", "/a/b/"),
        ("prefix", "/a/"),
        ("prefix", "/"),
    ]
