"""Virtual hosts, with and without TLS: no host ever gets another site's pages, nor another's certificate."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import curl
from tests.e2e.conftest import Authority
from tests.e2e.server import LISTEN, Server, address_of


@pytest.fixture(scope="module")
def pems(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("demo.test", "*.demo.test", name="hosts-demo"), authority.issue(
        "shop.test", name="hosts-shop"
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, transport: str, pems: tuple[Path, Path]) -> Iterator[Server]:
    ini = f"""
{LISTEN}
[site:demo]
hosts = demo.test, *.demo.test
certificate = {pems[0]}

[site:special]
hosts = special.demo.test
certificate = {pems[0]}

[site:shop]
hosts = shop.test
certificate = {pems[1]}

[route:demo /]
respond = 200 this is demo

[route:special /]
respond = 200 this is special

[route:shop /]
respond = 200 this is shop
"""
    with Server(tmp_path_factory.mktemp("hosts"), ini, transport) as server:
        yield server


def ask(server: Server, host: str, scheme: str, authority: Authority, *more: str) -> tuple[str, int]:
    """The body's first line and the status, asked for by name as a browser would."""
    url = server.url if scheme == "http" else server.secure_url
    _, port = address_of(url)
    resolve = ("--resolve", f"{host}:{port}:127.0.0.1", "--cacert", authority.file)
    answer = curl(*resolve, *more, "--write-out", "\n%{http_code}", f"{scheme}://{host}:{port}/")
    assert answer.returncode == 0, answer.stderr
    *text, status = answer.stdout.decode().splitlines()
    return text[0], int(status)


@pytest.mark.parametrize(
    ("host", "site"),
    [("demo.test", "demo"), ("a.demo.test", "demo"), ("special.demo.test", "special"), ("shop.test", "shop")],
)
def test_a_host_gets_its_site_and_its_certificate(
    server: Server, authority: Authority, scheme: str, host: str, site: str
) -> None:
    assert ask(server, host, scheme, authority) == (f"this is {site}", 200)


def test_case_and_final_dot_of_a_host_mean_nothing(server: Server, authority: Authority) -> None:
    assert ask(server, "demo.test", "http", authority, "--header", "Host: DEMO.test.")[0] == "this is demo"


@pytest.mark.parametrize("host", ["unknown.test", "notdemo.test", "127.0.0.1"])
def test_an_unknown_host_is_404(server: Server, authority: Authority, host: str) -> None:
    assert ask(server, host, "http", authority)[1] == 404


def test_an_unknown_host_over_tls_is_421(server: Server, authority: Authority) -> None:
    assert ask(server, "demo.test", "https", authority, "--header", "Host: unknown.test")[1] == 421


def test_the_host_of_another_certificate_is_421(server: Server, authority: Authority) -> None:
    assert ask(server, "demo.test", "https", authority, "--header", "Host: shop.test")[1] == 421


def test_a_host_of_the_same_certificate_is_served(server: Server, authority: Authority) -> None:
    assert ask(server, "a.demo.test", "https", authority, "--header", "Host: special.demo.test") == (
        "this is special",
        200,
    )


def test_plain_text_on_the_tls_port_is_told_so(server: Server) -> None:
    answer = curl("--write-out", "\n%{http_code}", server.secure_url.replace("https", "http"))
    assert answer.stdout.endswith(b"\n400"), (answer.stdout, answer.stderr)


@pytest.mark.parametrize(("version", "fine"), [("1.2", True), ("1.3", True), ("1.1", False)])
def test_tls_versions(server: Server, authority: Authority, version: str, fine: bool) -> None:
    _, port = address_of(server.secure_url)
    seclevel = ("--ciphers", "DEFAULT@SECLEVEL=0") if version == "1.1" else ()
    resolve = ("--resolve", f"demo.test:{port}:127.0.0.1", "--cacert", authority.file)
    answer = curl(*resolve, *seclevel, f"--tlsv{version}", "--tls-max", version, f"https://demo.test:{port}/")
    assert (answer.returncode == 0) is fine


def presented(server: Server, authority: Authority, name: str) -> str:
    """The serial number of the certificate that a client is shown."""
    context = ssl.create_default_context(cafile=authority.file)
    with (
        socket.create_connection(address_of(server.secure_url), 10) as raw,
        context.wrap_socket(raw, server_hostname=name) as secure,
    ):
        shown = secure.getpeercert()
        assert shown
        return str(shown["serialNumber"])


def test_a_hup_takes_up_a_renewed_certificate(server: Server, authority: Authority) -> None:
    before = presented(server, authority, "shop.test")
    authority.issue("shop.test", name="hosts-shop")
    assert presented(server, authority, "shop.test") == before
    server.signal(signal.SIGHUP)
    server.log.wait_for("certificates and keys were read again")
    assert presented(server, authority, "shop.test") != before


def test_a_hup_with_a_broken_certificate_keeps_the_old(
    server: Server, authority: Authority, pems: tuple[Path, Path]
) -> None:
    before = presented(server, authority, "demo.test")
    good = pems[0].read_bytes()
    pems[0].write_text("not a certificate")
    server.signal(signal.SIGHUP)
    server.log.wait_for("the reload has changed nothing")
    assert presented(server, authority, "demo.test") == before
    pems[0].write_bytes(good)
