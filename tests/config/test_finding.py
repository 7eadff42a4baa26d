import pytest

from tinfront.config.finding import Findings, did_you_mean
from tinfront.config.model import Place
from tinfront.errors import ConfigError


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("adress", ', did you mean "address"?'),
        ("ADDRESS", ', did you mean "address"?'),
        ("back-log", ', did you mean "backlog"?'),
        ("zebra", ""),
        ("", ""),
        ("address" * 100, ""),
    ],
)
def test_did_you_mean(word, hint):
    assert did_you_mean(word, ["address", "backlog"]) == hint


def test_findings_are_raised_by_file_in_reading_order_and_by_line():
    findings = Findings()
    findings.raise_if_any()
    assert not findings
    findings.open("z.ini")
    findings.add(Place("a.ini", 3), "[server] x", "bad")
    findings.add(Place("z.ini", 12), "[server]", "worse")
    findings.add(Place("z.ini", 2), "", "worst")
    assert findings
    with pytest.raises(ConfigError) as caught:
        findings.raise_if_any()
    assert caught.value.findings == ("z.ini:2: worst", "z.ini:12: [server]: worse", "a.ini:3: [server] x: bad")
