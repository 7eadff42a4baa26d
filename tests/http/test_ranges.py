"""RFC 9110 section 14."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import parse_range_header

from tinfront.http.dates import format_date
from tinfront.http.ranges import RANGES_MAX, UNSATISFIABLE, closing, content_range, part_head, select

NOW = 1_700_000_000.75
SAME, LATER = format_date(NOW), format_date(NOW + 5)


def ask(value, length=100, **fields):
    return select({"range": value, **fields}, length, '"tag"', NOW)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", ((0, 1),)),
        ("bytes=0-9", ((0, 10),)),
        ("bytes=90-", ((90, 10),)),
        ("bytes=90-99", ((90, 10),)),
        ("bytes=90-1000", ((90, 10),)),
        ("bytes=-1", ((99, 1),)),
        ("bytes=-1000", ((0, 100),)),
        ("bytes=0-", ((0, 100),)),
        ("BYTES=0-9", ((0, 10),)),
        ("bytes=000000000000000000000000-0000000000000000000000009", ((0, 10),)),
        ("bytes=10-" + "9" * 5000, ((10, 90),)),
        ("bytes=0-9,20-29", ((0, 10), (20, 10))),
        ("bytes= 0-9 ,\t20-29", ((0, 10), (20, 10))),
        ("bytes=,0-9,,", ((0, 10),)),
        ("bytes=90-,0-9", ((90, 10), (0, 10))),
        ("bytes=0-9,200-,-5", ((0, 10), (95, 5))),
    ],
)
def test_satisfiable(value, expected):
    assert ask(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-9,10-19", ((0, 20),)),
        ("bytes=0-9,5-14", ((0, 15),)),
        ("bytes=5-14,0-9", ((0, 15),)),
        ("bytes=20-29,0-9,5-19", ((0, 30),)),
        ("bytes=50-59,0-9,55-64,80-", ((50, 15), (0, 10), (80, 20))),
        ("bytes=0-9,0-9", ((0, 10),)),
    ],
)
def test_what_overlaps_or_touches_is_merged_where_it_first_stood(value, expected):
    assert ask(value) == expected


@pytest.mark.parametrize(
    "value", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=100-,200-", "bytes=" + "9" * 5000 + "-"]
)
def test_unsatisfiable(value):
    assert ask(value) == UNSATISFIABLE
    assert ask(value) is not None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=9-0",
        "bytes=0-9,9-0",
        "bytes=a-b",
        "bytes=0-9;10-19",
        "bytes=0--9",
        "bytes=+1-9",
        "bytes=1 - 9",
        "bytes =0-9",
        "bytes=\u0660-\u0669",
        "seconds=0-9",
        "0-9",
    ],
)
def test_what_is_not_understood_gives_the_whole(value):
    assert ask(value) is None


def test_more_ranges_than_the_bound_give_the_whole():
    few = ",".join(f"{2 * number}-{2 * number}" for number in range(RANGES_MAX))
    assert len(ask("bytes=" + few)) == RANGES_MAX
    assert ask(f"bytes={few},90-") is None


def test_ranges_that_add_up_to_more_than_there_is_give_the_whole():
    assert ask("bytes=0-,0-") is None
    assert ask("bytes=0-59,40-99") is None


def test_nothing_to_choose_from():
    assert ask("bytes=0-", length=0) == UNSATISFIABLE
    assert ask("bytes=-5", length=0) is None


def test_no_range_field():
    assert select({}, 100, None, None) is None
    assert select({"if-range": '"tag"'}, 100, '"tag"', None) is None


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        ('"tag"', True),
        ('W/"tag"', False),
        ('"other"', False),
        (SAME, True),
        (LATER, False),
        ("tag", False),
        ("", False),
    ],
)
def test_if_range(value, holds):
    assert (select({"range": "bytes=0-9", "if-range": value}, 100, '"tag"', NOW) is not None) is holds


def test_if_range_never_holds_without_a_strong_validator():
    for value in ('"tag"', SAME, 'W/"tag"'):
        assert select({"range": "bytes=0-9", "if-range": value}, 100, None, None) is None
    assert select({"range": "bytes=0-9", "if-range": 'W/"tag"'}, 100, 'W/"tag"', NOW) is None


numbers = st.integers(0, 130)
specs = st.one_of(
    st.builds("{}-{}".format, numbers, numbers), st.builds("{}-".format, numbers), st.builds("-{}".format, numbers)
)


@given(st.lists(specs, min_size=1, max_size=20), st.integers(0, 120))
def test_ranges_lie_within_and_apart_and_cover_what_was_asked(listed, length):
    chosen = ask("bytes=" + ",".join(listed), length)
    if not chosen:
        return
    assert all(offset >= 0 and count > 0 and offset + count <= length for offset, count in chosen)
    ordered = sorted(chosen)
    assert all(a + b < c for (a, b), (c, _) in pairwise(ordered))
    wanted = set()
    for spec in listed:
        first, _, last = spec.partition("-")
        if not first:
            wanted |= set(range(max(0, length - int(last)), length))
        else:
            wanted |= set(range(int(first), min(length, int(last or length) + 1)))
    assert wanted == {place for offset, count in chosen for place in range(offset, offset + count)}


@given(specs, st.integers(1, 120))
def test_one_range_means_what_it_means_to_werkzeug(spec, length):
    theirs = parse_range_header(f"bytes={spec}")
    ours = ask(f"bytes={spec}", length)
    if theirs is None:
        assert not ours
        return
    if spec.startswith("-") and int(spec[1:]) > length:  # werkzeug finds it unsatisfiable; section 14.1.2: the whole
        assert ours == ((0, length),)
        return
    bounds = theirs.range_for_length(length)
    if bounds is not None and bounds[0] < bounds[1]:
        start, end = max(0, bounds[0]), bounds[1]
        assert ours == ((start, end - start),)
        assert content_range(*ours[0], length) == f"bytes {start}-{end - 1}/{length}"
    else:
        assert ours == UNSATISFIABLE


@given(st.text(max_size=30), st.integers(0, 50))
def test_no_text_breaks_it(text, length):
    assert ask(text, length) is None
    ask("bytes=" + text, length)


def test_the_parts_of_a_multipart_body():
    assert part_head("xyz", "text/plain", "bytes 0-1/9") == (
        b"\r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/9\r\n\r\n"
    )
    assert closing("xyz") == b"\r\n--xyz--\r\n"
