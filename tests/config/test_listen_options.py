"""Bounds of what listeners allow; that each limit has its row, ``test_schema`` sees to."""

import pytest

from tinfront.config.listen_options import LIMITS, LISTEN

ROWS = {row.name: row for row in LISTEN}


@pytest.mark.parametrize("name", LIMITS)
def test_no_limit_can_be_below_nothing(name):
    with pytest.raises(ValueError, match="-1"):
        ROWS[name].kind.read("-1")


@pytest.mark.parametrize("bad", ["1", "1g"])
def test_a_head_can_be_bounded_neither_to_nothing_nor_by_nothing(bad):
    with pytest.raises(ValueError, match=bad):
        ROWS["header_max"].kind.read(bad)
