"""Certificates, clients and transports for all end-to-end tests."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from tests.e2e.clients import Gate
from tests.e2e.server import TRANSPORTS, running

HOSTS = ("127.0.0.1", "localhost", "demo.test", "*.demo.test")


class Authority:
    """A certificate authority that the clients trust.

    :ivar file: its certificate.
    """

    def __init__(self, directory: Path) -> None:
        self._ca = trustme.CA()
        self._directory = directory
        self.file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *hosts: str, name: str = "") -> Path:
        """A PEM file with a key and its chain."""
        path = self._directory / f"{name or hosts[0].replace('*', '_')}.pem"
        self._ca.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(path)
        return path


@pytest.fixture(scope="session", autouse=True)
def _servers_end_with_us() -> Iterator[None]:
    """A TERM for pytest ends the servers of the tests too, as INT does."""
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Path:
    """For this machine and demo.test."""
    return authority.issue(*HOSTS, name="demo")


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["prefork", "threads"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(authority: Authority) -> Iterator[requests.Session]:
    """Trusts the authority, keeps cookies and connections."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(authority.file)
        yield session


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show with a failed test what the servers have said."""
    report = yield
    if report.failed:
        report.sections += [(f"tinfront in {server.directory}", server.report()) for server in running]
    return report
