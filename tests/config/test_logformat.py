"""How an access log format is written. What the atoms stand for is tested in ``tests/front/test_atoms.py``."""

import pytest

from tinfront.config.logformat import ATOMS, WORDS, parse_log_format
from tinfront.front.accesslog import FORMATS
from tinfront.front.atoms import ATOMS as FILLED


@pytest.mark.parametrize("text", ["combined", "json", '%(h)s "%(r)s" %({X-Thing}i)s', "100% %d"])
def test_a_format(text):
    assert parse_log_format(text, "") == text


def test_no_format():
    with pytest.raises(ValueError, match=r'"combine" is neither combined nor json.*, did you mean "combined"'):
        parse_log_format("combine", "")


def test_unknown_atoms_are_all_named():
    with pytest.raises(ValueError, match=r"^unknown atoms %\(nope\)s, %\(also\)s; known are a .* and \{name\}i$"):
        parse_log_format("%(nope)s %(s)s %(also)s", "")
    with pytest.raises(ValueError, match=r"^unknown atom %\(x\)s; "):
        parse_log_format("%(x)s", "")


def test_the_log_knows_the_same():
    assert set(ATOMS) == set(FILLED)
    assert set(WORDS) == set(FORMATS)
