"""What contradicts itself is in ``tests/golden``; here is what must not be taken for a contradiction."""

import pytest

from tinfront.config.checks import clash
from tinfront.config.load import loads
from tinfront.config.model import Address
from tinfront.errors import ConfigError

SITE = "[site:demo]\ndefault = yes\n"
LISTEN = "[listen:http]\naddress = 127.0.0.1:80\n"


def tcp(host, port=80):
    return Address("tcp", host, port)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (tcp("127.0.0.1"), tcp("127.0.0.1"), True),
        (tcp("127.0.0.1"), tcp("127.0.0.2"), False),
        (tcp("127.0.0.1"), tcp("127.0.0.1", 81), False),
        (tcp("127.0.0.1", 0), tcp("127.0.0.1", 0), False),
        (tcp(""), tcp("127.0.0.1"), True),
        (tcp(""), tcp("::1"), True),
        (tcp("0.0.0.0"), tcp("10.0.0.1"), True),
        (tcp("0.0.0.0"), tcp("::1"), False),
        (tcp("0.0.0.0"), tcp("::"), False),
        (tcp("::"), tcp("::1"), True),
        (tcp("::"), tcp("127.0.0.1"), False),
        (Address("unix", path="/a"), Address("unix", path="/a"), True),
        (Address("unix", path="/a"), Address("unix", path="/b"), False),
        (Address("fd", port=3), Address("fd", port=3), True),
        (Address("fd", port=3), Address("fd", port=4), False),
        (Address("systemd", path="x"), Address("systemd", path="x"), True),
        (Address("systemd", path="x"), Address("unix", path="x"), False),
    ],
)
def test_addresses_that_cannot_both_be_had(one, two, expected):
    assert clash(one, two) is clash(two, one) is expected


@pytest.mark.parametrize(
    "text",
    [
        SITE + "[listen:http]\nendpoint = tcp:80\n",
        SITE + "certificate = development\n" + "[listen:http]\nendpoint = tcp:80\ntls = yes\n",
        SITE + LISTEN + "[app:a]\nwsgi = m:a\nmode = threads\n",
        SITE + LISTEN + "[app:a]\nwsgi = m:a\nmode = threads\nworkers = 1\n",
        SITE + LISTEN + "[server]\nspool_max = 64k\n[route:demo /]\nrespond = 200\n",
        SITE + LISTEN + "[site:b]\nhosts = b.test\n[site:c]\nhosts = *.b.test\n",
    ],
)
def test_what_is_fine(text, vocabulary):
    assert loads(text, vocabulary).listeners


def test_a_bad_value_is_not_also_a_contradiction(vocabulary):
    text = "[site:demo]\ndefault = maybe\n[listen:http]\naddress = 80\n[app:a]\nwsgi = m:a\nmode = threds\nworkers = 3"
    with pytest.raises(ConfigError) as caught:
        loads(text, vocabulary)
    assert len(caught.value.findings) == 3


def test_a_certificate_that_may_not_be_read_is_left_to_whoever_may(vocabulary, tmp_path, monkeypatch):
    (tmp_path / "a.pem").write_text("no key in here")
    text = "[listen:http]\naddress = :80\n[site:demo]\ndefault = yes\ncertificate = a.pem\n"
    with pytest.raises(ConfigError, match="holds no key"):
        loads(text, vocabulary, directory=str(tmp_path))

    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("tinfront.config.checks.open", refuse, raising=False)
    assert loads(text, vocabulary, directory=str(tmp_path)).sites[0].certificate_key == f"{tmp_path}/a.pem"


@pytest.mark.parametrize(
    ("text", "default"),
    [("[site:a]", True), ("[site:a]\nencoded_slashes = reject", True), ("[site:a]\nhosts = a.test", False)],
)
def test_a_site_alone_answers_everybody_unless_it_is_told_for_whom(text, default, vocabulary):
    [site] = loads(LISTEN + text, vocabulary).sites
    assert site.default is default


@pytest.mark.parametrize("text", ["[site:a]\ndefault = no", "[site:a]\n[site:b]\ndefault = yes"])
def test_but_not_against_what_is_written(text, vocabulary):
    with pytest.raises(ConfigError, match="can never be asked for"):
        loads(LISTEN + text, vocabulary)


def test_the_directory_of_a_log_that_may_not_be_looked_at_is_left_to_whoever_may(vocabulary, tmp_path, monkeypatch):
    text = f"[server]\naccess_log = {tmp_path}/missing/access.log\n{SITE}{LISTEN}"
    with pytest.raises(ConfigError, match="missing: No such file or directory"):
        loads(text, vocabulary)

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("tinfront.config.checks.os.stat", refuse)
    assert loads(text, vocabulary).server.access_log == f"{tmp_path}/missing/access.log"


@pytest.mark.parametrize("word", ["-", "off"])
def test_a_log_that_is_no_file_needs_no_directory(vocabulary, word):
    assert loads(f"[server]\naccess_log = {word}\n{SITE}{LISTEN}", vocabulary).server.access_log == word
