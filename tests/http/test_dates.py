"""RFC 9110 section 5.6.7."""

from email.utils import formatdate, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinfront.http.dates import format_date, parse_date

MOMENT = 784111777.0  # the RFC's own example
seconds = st.integers(-62135596800, 253402300799)


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_the_three_formats_mean_the_same(text):
    assert parse_date(text) == MOMENT


def test_the_preferred_format_is_written():
    assert format_date(MOMENT) == "Sun, 06 Nov 1994 08:49:37 GMT"


@given(seconds)
def test_what_is_written_is_read_back(second):
    assert parse_date(format_date(second)) == second


@given(seconds.filter(lambda second: second > -59000000000))
def test_written_as_the_standard_library_does(second):
    assert format_date(second) == formatdate(second, usegmt=True)
    assert parse_date(format_date(second)) == parsedate_to_datetime(format_date(second)).timestamp()


@given(st.floats(-62135596800, 253402300799))
def test_a_fraction_never_moves_a_date_into_the_future(moment):
    assert parse_date(format_date(moment)) == moment // 1


def test_asking_again_within_the_second_gives_the_same_text():
    assert format_date(5.9) is format_date(5.1)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (1e18, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (-1e18, "Mon, 01 Jan 0001 00:00:00 GMT"),
        (-0.5, "Wed, 31 Dec 1969 23:59:59 GMT"),
    ],
)
def test_what_has_no_date_becomes_the_nearest(moment, text):
    assert format_date(moment) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=5",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Thu, 31 Feb 1994 08:49:37 GMT",
        "Sat, 01 Jan 0000 00:00:00 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov 06 08:49:37 1994 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
    ],
)
def test_anything_else_is_no_date(text):
    assert parse_date(text) is None


@given(st.text(max_size=40))
def test_no_text_breaks_it(text):
    assert parse_date(text) is None


def test_a_leap_second_is_the_next_one():
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT") == parse_date("Sun, 01 Jan 2017 00:00:00 GMT")


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("Friday, 01-Jan-99 00:00:00 GMT", 1999),
        ("Thursday, 01-Jan-26 00:00:00 GMT", 2026),
        ("Friday, 01-Jan-38 00:00:00 GMT", 2038),
        ("Saturday, 01-Jan-00 00:00:00 GMT", 2000),
    ],
)
def test_a_two_digit_year_is_at_most_fifty_years_ahead(text, year):
    now = parse_date("Thu, 01 Jan 2026 00:00:00 GMT")
    assert format_date(parse_date(text, now)).split()[3] == str(year)


def test_the_century_turns_with_the_present():
    in_1970, in_2170 = 0.0, 6311433600.0
    assert format_date(parse_date("Wednesday, 01-Jan-30 00:00:00 GMT", in_1970)) == "Wed, 01 Jan 1930 00:00:00 GMT"
    assert format_date(parse_date("Sunday, 01-Jan-30 00:00:00 GMT", in_2170)) == "Sun, 01 Jan 2130 00:00:00 GMT"


def test_a_year_just_past_the_turn_of_the_century():
    in_2099 = 4070908800.0
    assert format_date(parse_date("Wednesday, 01-Jan-10 00:00:00 GMT", in_2099)) == "Wed, 01 Jan 2110 00:00:00 GMT"
