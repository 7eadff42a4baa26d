import os
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinfront.config.listen_options import LIMITS, LISTEN
from tinfront.config.load import control_socket, load, loads, single_app
from tinfront.config.model import Address, Config, Limits, Server
from tinfront.config.schema import SERVER
from tinfront.errors import ConfigError

REST = "[listen:http]\naddress = 127.0.0.1:80\n[site:demo]\ndefault = yes\n"


def errors(text, vocabulary):
    with pytest.raises(ConfigError) as caught:
        loads(text, vocabulary)
    return list(caught.value.findings)


def test_load_takes_paths_relative_to_the_file(tmp_path, vocabulary, monkeypatch):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "site.ini").write_text(REST + "[server]\ncontrol = run/x")
    monkeypatch.chdir(tmp_path)
    config = load("etc/site.ini", vocabulary)
    assert config.directory == f"{tmp_path}/etc"
    assert config.server.control == f"{tmp_path}/etc/run/x"
    assert config.sites[0].place.file == "etc/site.ini"
    assert config.sites[0].place.line == 3


def test_a_file_that_cannot_be_read_is_the_only_finding(tmp_path, vocabulary):
    with pytest.raises(ConfigError) as caught:
        load(f"{tmp_path}/nope.ini", vocabulary)
    assert caught.value.findings == (f"{tmp_path}/nope.ini:1: cannot be read: No such file or directory",)


def test_loads_names_the_text_and_takes_a_directory(tmp_path, vocabulary, monkeypatch):
    assert loads(REST + "[server]\ncontrol = x", vocabulary, directory="/base").server.control == "/base/x"
    monkeypatch.chdir(tmp_path)
    assert loads(REST, vocabulary).directory == str(tmp_path)
    with pytest.raises(ConfigError, match=r"^<text>:5: "):
        loads(REST + "x", vocabulary, name="<text>")


def test_moving_lines_changes_nothing(vocabulary):
    assert loads(REST, vocabulary) == loads("# a line more\n\n" + REST, vocabulary, name="other.ini")
    assert loads(REST, vocabulary) != loads(REST + "[server]\ngrace = 1s", vocabulary)


def test_everything_is_reported_at_once_in_order(vocabulary):
    text = "[site:demo]\ndefualt = yes\n[listen:http]\naddress = 80\n[route:demo /]\nfoo\n[server]\ngrace = 1\n"
    lines = [line.split(":")[1] for line in errors(text, vocabulary)]
    assert lines == ["2", "4", "5", "6", "8"]


def test_a_typo_in_a_filter_does_not_make_its_name_unknown(vocabulary):
    text = REST + "[route:demo /]\nrespond = 200\nfilters = f\n[filter:f]\ntype = headers\nset = x\n"
    assert errors(text, vocabulary) == ['site.ini:10: [filter:f] set: "x" is not of the form Name: value']


def test_a_filter_that_is_named_directly_is_in_the_model(vocabulary):
    config = loads(REST + "[route:demo /]\nrespond = 200\nfilters = headers", vocabulary)
    assert config.sites[0].routes[0].filters == ("headers",)
    assert config.filters["headers"].settings == {"set": ()}


def test_a_section_wins_over_a_type_of_the_same_name(vocabulary):
    text = REST + "[route:demo /]\nrespond = 200\nfilters = headers\n[filter:headers]\ntype = headers\nset = A: b"
    assert loads(text, vocabulary).filters["headers"].settings == {"set": (("A", "b"),)}


def test_sites_without_routes_and_apps_without_use_are_fine(vocabulary):
    config = loads(REST + "[app:idle]\nwsgi = demo:app", vocabulary)
    assert config.sites[0].routes == ()
    assert list(config.apps) == ["idle"]


def test_the_model_is_independent_of_the_working_directory(vocabulary, tmp_path, monkeypatch):
    first = loads(REST + "[server]\ncontrol = x", vocabulary, directory="/base")
    monkeypatch.chdir(tmp_path)
    assert loads(REST + "[server]\ncontrol = x", vocabulary, directory="/base") == first


# --- without a file ---------------------------------------------------------------------------------------------------


def test_single_app(vocabulary, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = single_app("demo:app", bind=["*:80", "unix:x"], workers=3, threads=4, vocabulary=vocabulary)
    assert config.directory == str(tmp_path)
    assert config.listeners[0].addresses == (Address("tcp", "", 80), Address("unix", path=f"{tmp_path}/x"))
    (site,) = config.sites
    assert site.default
    (route,) = site.routes
    assert (route.kind, route.pattern, route.handler, route.settings) == ("prefix", "/", "app", {"app": "app"})
    app = config.apps["app"]
    assert (app.wsgi, app.path, app.workers, app.threads) == ("demo:app", (str(tmp_path),), 3, 4)
    assert config.server == Server()


def test_single_app_binds_where_development_servers_do(vocabulary):
    config = single_app("demo:app", bind=[], workers=1, threads=1, vocabulary=vocabulary)
    assert config.listeners[0].addresses == (Address("tcp", "127.0.0.1", 8000),)


def test_single_app_reports_everything(vocabulary):
    with pytest.raises(ConfigError) as caught:
        single_app("demo", bind=["8000", "x:y"], workers=0, threads=0, vocabulary=vocabulary)
    assert [line.partition(":")[0] for line in caught.value.findings] == ["bind", "bind", "wsgi", "workers", "threads"]
    assert 'did you mean "demo:application"?' in str(caught.value)


# --- any text ---------------------------------------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        *("[server]", "[listen:http]", "[listen:x]", "[site:demo]", "[site:b]", "[app:a]", "[filter:f]", "[filter:g]"),
        *("[route:demo /]", "[route:demo = /x]", "[route:demo ~ ^/(]", "[route:demo ~ a]", "[route:b /]", "[route:"),
        *("address = 127.0.0.1:80", "address = *:80", "address =", "endpoint = ssl:443", "tls = yes", "default = yes"),
        *("hosts = a.test", "hosts = *.a.test, a.test:1", "  b.test", "certificate = development", "respond = 200"),
        *("static = .", "app = a", "app = b", "redirect = /", "status = 204", "filters = f, quiet", "filters = tag"),
        *("wsgi = m:a", "wsgi = m", "mode = threads", "workers = auto", "env = A=1", "  B=2", "type = headers"),
        *("type = nope", "type = m:o", "set = A: b", "include = nope.ini", "include = *.ini", "header_max = 1k"),
        *("spool_max = 0", "body_limit = 9g", "# x", "; x", "", "x", "=", "[", "]", "\x00", "\ufeff", "é = é", "\r"),
    ]
)


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory):
    return str(tmp_path_factory.mktemp("nowhere"))


def _load(text, vocabulary, directory):
    findings = None
    try:
        config = loads(text, vocabulary, directory=directory)
    except ConfigError as error:
        findings = error.findings
    if findings is None:
        assert isinstance(config, Config)
        assert config.listeners
        assert config.sites
    else:
        assert findings
        assert [line for line in findings if not re.match(r"site\.ini:[0-9]+: ", line)] == []


@settings(max_examples=300)
@given(st.lists(_PIECES | st.text(max_size=30), max_size=40).map("\n".join))
@example(REST)
@example("[route:]\n[route: ]\n[:]\n[::]\n[route:::]")
@example("[route:demo ~]\nrespond = 200")
@example("[route:demo =]\nrespond = 200")
def test_no_text_breaks_the_loader(vocabulary, nowhere, text):
    _load(text, vocabulary, nowhere)


@given(st.text())
def test_nor_does_any_noise(vocabulary, nowhere, text):
    _load(text, vocabulary, nowhere)


_SIZES = st.integers(64, 16 * 1024**2)
_TIMES = st.integers(1, 10**9).map(lambda thousands: thousands / 1000)
_VALUES = {
    row.name: {"size": _SIZES, "time": _TIMES}.get(row.kind.name.split()[1], st.integers(1, 9999))
    for row in LISTEN
    if row.name in LIMITS or row.name == "backlog"
}


@settings(max_examples=50)
@given(st.fixed_dictionaries(_VALUES), st.booleans(), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "  "]))
def test_values_of_a_listener_come_back(vocabulary, values, tls, end, indent):
    values["header_max"] = 16 * 1024**2
    shown = {row.name: row.kind.show(values[row.name]) for row in LISTEN if row.name in values}
    shown |= {"tls": "yes" if tls else "no", "address": ":80"}
    lines = ["[site:demo]", "default = on", "certificate = development", "[listen:http]"]
    lines += [f"{indent}{name} = {text}" for name, text in shown.items()]
    (listener,) = loads(end.join(lines), vocabulary).listeners
    assert listener.limits == Limits(**{field: values[name] for name, field in LIMITS.items()})
    assert (listener.backlog, listener.tls) == (values["backlog"], tls)


def test_values_of_the_server_come_back(vocabulary):
    server = Server(
        access_log="/a b;#=c",
        access_log_format='%(h)s "%(r)s" ; # = [x]',
        server_header=False,
        grace=0.25,
        spool_memory=1,
        spool_max=2,
        response_file_max=3 * 1024,
        static_cache=0,
        connections_max=7,
        control="/run/x",
    )
    text = "".join(
        f"{row.name} = {row.kind.show(getattr(server, row.name))}\n"
        for row in SERVER
        if row.name != "include" and getattr(server, row.name) is not None
    )
    assert loads(REST + "[server]\n" + text, vocabulary).server == server


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.from_regex("[A-Z]{1,5}", fullmatch=True), st.from_regex(r"[!-~]([ -~]{0,9}[!-~])?", fullmatch=True)
    )
)
def test_variables_of_an_app_come_back(vocabulary, env):
    lines = "".join(f"    {key} = {value}\n" for key, value in env.items())
    config = loads(REST + "[app:a]\nwsgi = m:a\nenv =\n" + lines, vocabulary)
    assert config.apps["a"].env == env


def test_include_of_a_directory_that_is_not_there(vocabulary, tmp_path):
    assert loads("include = conf.d/*.ini\n" + REST, vocabulary, directory=str(tmp_path)).sites
    assert os.listdir(tmp_path) == []


def test_the_control_socket_is_found_in_a_file_that_is_wrong(tmp_path):
    file = tmp_path / "site.ini"
    file.write_text("[serve]\nx = y\n[server]\ngrace = soon\ncontrol = run/c\n[server]\n[site:")
    assert control_socket(str(file)) == str(tmp_path / "run" / "c")
    file.write_text("[listen:a]\n")
    assert control_socket(str(file)) is None
    with pytest.raises(ConfigError):
        control_socket(str(tmp_path / "missing.ini"))
