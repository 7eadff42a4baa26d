"""What a check tries besides reading the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme

from tinfront.catalog import discover
from tinfront.config.load import loads
from tinfront.inspection import Inspection, cautions, inspect

LISTEN = "[listen:https]\naddress = 127.0.0.1:0\ntls = yes\n"
SITE = "[site:one]\nhosts = one.test\ndefault = yes\n"
TWO = "[site:two]\nhosts = two.test\n"
FILES = "certificate = one.pem\ncertificate_key = one.key\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    issued = trustme.CA().issue_cert("one.test")
    (tmp_path / "one.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    (tmp_path / "one.key").write_bytes(issued.private_key_pem.bytes())
    return tmp_path


def look(text: str, folder: Path) -> Inspection:
    from twisted.internet import reactor

    return inspect(loads(text, discover(), "site.ini", str(folder)), reactor)


def test_certificates_that_are_right(folder: Path) -> None:
    assert look(LISTEN + SITE + FILES, folder) == Inspection()


def test_a_key_that_belongs_to_another_certificate(folder: Path) -> None:
    (folder / "one.key").write_bytes(trustme.CA().issue_cert("one.test").private_key_pem.bytes())
    found = look(LISTEN + SITE + FILES, folder)
    told = f"{folder}/one.key is not the key of the first certificate in {folder}/one.pem"
    assert found == Inspection([f"site.ini:4: [site:one] certificate_key: {told}"])


def test_what_is_no_certificate(folder: Path) -> None:
    (folder / "one.pem").write_text("nothing of the kind")
    [finding] = look(LISTEN + SITE + FILES, folder).findings
    assert finding.startswith("site.ini:4: [site:one] certificate: ")


def test_certificates_that_no_listener_needs(folder: Path) -> None:
    (folder / "one.pem").write_text("nothing of the kind")
    assert look(LISTEN.replace("tls = yes", "") + SITE + FILES, folder) == Inspection()


def test_a_certificate_that_clients_will_complain_of(folder: Path) -> None:
    found = look(LISTEN + SITE.replace("one.test", "two.test") + FILES, folder)
    assert found == Inspection(notes=[f"{folder}/one.pem: the certificate does not name two.test"])


def test_a_key_that_may_not_be_read_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: str) -> object:
        if path.endswith(".key"):
            raise PermissionError(13, "Permission denied", path)
        return open(path, mode)

    monkeypatch.setattr("tinfront.inspection.open", refuse, raising=False)
    told = f"{folder}/one.key may not be read by this user, and was not checked"
    assert look(LISTEN + SITE + FILES, folder) == Inspection(notes=[f"site.ini:4: [site:one] certificate_key: {told}"])


def test_a_certificate_for_development_is_not_made(tmp_path: Path) -> None:
    assert look(LISTEN + SITE + "certificate = development\n", tmp_path) == Inspection()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("tcp:0:interface=127.0.0.1", ""),
        ("nonsense:1", "Unknown endpoint type: 'nonsense'"),
        ("tcp:many", "invalid literal for int() with base 10: 'many'"),
    ],
)
def test_endpoints(tmp_path: Path, text: str, finding: str) -> None:
    found = look(f"[listen:web]\nendpoint = {text}\n{SITE}", tmp_path)
    assert found == Inspection([f"site.ini:1: [listen:web] endpoint: {text}: {finding}"] if finding else [])


def test_what_only_systemd_knows_is_no_error(tmp_path: Path) -> None:
    found = look(f"[listen:web]\nendpoint = systemd:domain=INET:index=0\n{SITE}", tmp_path)
    assert found.findings == []
    assert found.notes[0].startswith("site.ini:1: [listen:web] endpoint: systemd:")


@pytest.mark.parametrize(
    ("mode", "more", "count"),
    [("threads", TWO, 1), ("prefork", TWO, 0), ("threads", "", 0)],
)
def test_an_app_among_the_threads_of_several_sites(tmp_path: Path, mode: str, more: str, count: int) -> None:
    text = f"{LISTEN.replace('tls = yes', '')}[app:inside]\nwsgi = m:a\nmode = {mode}\n{SITE}{more}"
    config = loads(text, discover(), "site.ini", str(tmp_path))
    told = (
        "an app with mode = threads runs in the process that serves all 2 sites: it can slow them all, and end them all"
    )
    assert cautions(config) == [f"site.ini:4: [app:inside] mode: {told}"] * count
