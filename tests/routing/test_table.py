from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import FakeExchange, make_head
from tinfront.config.model import Route
from tinfront.errors import ProtocolError
from tinfront.routing import table as module
from tinfront.routing.table import BoundRoute, SiteTable, Table


def route(pattern: str, kind: str = "prefix") -> BoundRoute:
    return BoundRoute(Route("demo", kind, pattern, "test"), lambda exchange: None)


def found(site: SiteTable, path: str) -> str | None:
    bound = site.find(path)
    return None if bound is None else bound.pattern


# --- routes


def test_the_longest_prefix_wins_whatever_the_order() -> None:
    site = SiteTable("demo", [route("/"), route("/a/b/"), route("/a/")])
    assert found(site, "/a/b/c") == "/a/b/"
    assert found(site, "/a/c") == "/a/"
    assert found(site, "/ab") == "/"


def test_a_prefix_matches_whole_segments() -> None:
    site = SiteTable("demo", [route("/admin")])
    assert found(site, "/admin") == "/admin"
    assert found(site, "/admin/") == "/admin"
    assert found(site, "/admin/x") == "/admin"
    assert found(site, "/administrator") is None
    assert found(site, "/") is None


def test_exact_before_regex_before_prefix() -> None:
    site = SiteTable("demo", [route("/a/"), route(r"^/a/\d+$", "regex"), route("/a/1", "exact")])
    assert found(site, "/a/1") == "/a/1"
    assert found(site, "/a/2") == r"^/a/\d+$"
    assert found(site, "/a/x") == "/a/"


def test_regexes_in_the_order_of_the_file() -> None:
    site = SiteTable("demo", [route("a", "regex"), route("ab", "regex")])
    assert found(site, "/ab") == "a"
    assert found(site, "/b") is None


def test_a_regex_comes_before_a_prefix_without_its_slash() -> None:
    site = SiteTable("demo", [route("/admin"), route("/static/"), route("^/(admin|static)", "regex"), route("/")])
    for path in ("/admin", "/admin/x", "/static", "/static/x"):
        assert found(site, path) == "^/(admin|static)"
    site = SiteTable("demo", [route("/admin"), route("^/x", "regex"), route("/")])
    assert found(site, "/admin") == "/admin"


def test_the_asterisk_is_no_path() -> None:
    assert found(SiteTable("demo", [route("/")]), "*") is None


def test_mounts() -> None:
    assert route("/").mount == ""
    assert route("/app/").mount == "/app"
    assert route("/app").mount == "/app"
    assert route("/app", "exact").mount == ""


# --- the slash


def slash(method: str = "GET", target: str | None = None, query: str = "", pattern: str = "/st\xe4tic/") -> Any:
    bound = SiteTable("demo", [route(pattern)]).find(pattern[:-1])
    assert bound is not None
    exchange = FakeExchange(make_head(method, pattern[:-1], query=query, target=target))
    exchange.route = bound
    bound.handle(exchange)
    return exchange


def test_a_directory_without_its_slash_is_redirected() -> None:
    assert slash().status == 301
    assert slash("HEAD").status == 301
    assert slash("POST").status == 308
    assert slash().fields["location"] == "/st%E4tic/"
    assert slash(query="a=b&c").fields["location"] == "/st%E4tic/?a=b&c"


def test_the_redirection_leads_to_this_site_whatever_was_sent() -> None:
    for target in ("//evil.test/../../static", "http://evil.test/static", "/x/../static"):
        assert slash(target=target, pattern="/static/").fields["location"] == "/static/"
    assert slash(query="\r\nX: y", pattern="/static/").fields["location"] == "/static/?%0D%0AX:%20y"


def test_the_redirection_is_the_routes_own_answer() -> None:
    bound = route("/static/")
    bound.observers = (print,)
    bound.request_filters = (id,)
    bound.response_filters = (max,)
    redirecting = SiteTable("demo", [bound]).find("/static")
    assert redirecting is not None
    assert redirecting is not bound
    assert redirecting.observers == (print,)
    assert redirecting.request_filters == (id,)
    assert redirecting.response_filters == (max,)


def test_an_exact_route_needs_no_slash() -> None:
    site = SiteTable("demo", [route("/static/"), route("/static", "exact")])
    assert found(site, "/static") == "/static"


# --- hosts


def table(default: bool = False) -> Table:
    made = Table()
    made.add(SiteTable("demo", []), ["demo.test", "127.0.0.1", "::1"])
    made.add(SiteTable("wild", []), ["*.demo.test"], default)
    made.add(SiteTable("deep", []), ["*.a.demo.test", "exact.a.demo.test"])
    return made


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("demo.test", "demo"),
        ("DEMO.test.:8080", "demo"),
        ("127.0.0.1:80", "demo"),
        ("[::1]:80", "demo"),
        ("x.demo.test", "wild"),
        ("x.y.demo.test", "wild"),
        ("x.a.demo.test", "deep"),
        ("exact.a.demo.test", "deep"),
        ("a.demo.test", "wild"),
        ("xdemo.test", None),
        ("test", None),
        ("", None),
    ],
)
def test_hosts(authority: str, name: str | None) -> None:
    for _ in range(2):
        site = table().by_authority[authority]
        assert (site.name if site else None) == name


def test_the_default_site_answers_the_rest() -> None:
    for authority in ("other.test", "", "10.0.0.1"):
        site = table(default=True).by_authority[authority]
        assert site is not None
        assert site.name == "wild"


def test_a_malformed_host_is_refused_each_time() -> None:
    made = table(default=True)
    for _ in range(2):
        with pytest.raises(ProtocolError, match="malformed"):
            made.by_authority["a b"]


def test_answers_are_remembered_within_bounds() -> None:
    made = table(default=True)
    for number in range(module._ANSWERS_KEPT + 5):
        assert made.by_authority[f"h{number}.test"] is not None
    assert len(made.by_authority) <= module._ANSWERS_KEPT
    long = "h." * 2500  # no name that DNS could know, and each label would be looked for
    with pytest.raises(ProtocolError):
        made.by_authority[long]
    assert long not in made.by_authority


def test_a_new_site_is_found_at_once() -> None:
    made = table()
    assert made.by_authority["new.test"] is None
    made.add(SiteTable("new", []), ["new.test"])
    site = made.by_authority["new.test"]
    assert site is not None


def test_a_table_that_is_closed_lets_go_of_its_sites() -> None:
    table, site = Table(), SiteTable("a", [])
    table.add(site, ["a.test", "*.a.test"], default=True)
    assert table.by_authority["a.test"] is site
    table.close()
    assert [table.by_authority[name] for name in ("a.test", "b.a.test", "c")] == [None] * 3
