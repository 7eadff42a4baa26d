"""The unit files in etc/examples/systemd are unit files, and agree with each other and with the commands."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tinfront.catalog import discover
from tinfront.config.load import loads
from tinfront.config.model import Config
from tinfront.tap import EX_CONFIG, EX_USAGE

UNITS = Path(__file__).parent.parent / "etc" / "examples" / "systemd"


def unit(name: str) -> configparser.ConfigParser:
    """systemd's own rules, but for repeated options, of which there are none here."""
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#", ";"), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((UNITS / name).read_text())
    return parser


def test_the_service() -> None:
    service = unit("tinfront.service")["Service"]
    command = shlex.split(service["ExecStart"])
    assert command[0].endswith("/tinfront")
    assert command[1] == "run"
    assert service["Type"] == "notify-reload"
    assert service["KillMode"] == "mixed"
    assert {*service["RestartPreventExitStatus"].split()} == {str(EX_USAGE), str(EX_CONFIG)}


@pytest.fixture
def site(tmp_path: Path) -> Config:
    """What the service runs; systemd makes the directory of its logs."""
    assert unit("tinfront.service")["Service"]["LogsDirectory"] == "tinfront"
    text = (UNITS / "site.ini").read_text()
    return loads(text.replace("/var/log/tinfront", str(tmp_path)), discover())


def test_it_has_time_to_stop(site: Config) -> None:
    stop = unit("tinfront.service")["Service"]["TimeoutStopSec"]
    server = site.server
    assert float(stop.removesuffix("s")) > server.grace + server.drain_delay


def test_the_socket_has_the_name_that_the_site_asks_for(site: Config) -> None:
    socket = unit("tinfront.socket")["Socket"]
    [listener] = site.listeners
    [address] = listener.addresses
    assert (address.kind, address.path) == ("systemd", socket["FileDescriptorName"])
    assert socket["Service"] == "tinfront.service"
    assert "tinfront.socket" in unit("tinfront.service")["Unit"]["After"].split()


@pytest.mark.parametrize("name", ["tinfront.service", "tinfront.socket"])
def test_sections_are_those_of_systemd(name: str) -> None:
    assert {*unit(name).sections()} == {"Unit", name.partition(".")[2].capitalize(), "Install"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_agrees(tmp_path: Path) -> None:
    for name in ("tinfront.service", "tinfront.socket"):
        text = (UNITS / name).read_text().replace("/srv/site/.venv/bin/tinfront", "/bin/true")
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in ("tinfront.service", "tinfront.socket")]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    assert "Unknown" not in done.stderr
