"""HTTP dates (RFC 9110 section 5.6.7): written as IMF-fixdate, read in all three formats that were ever allowed.

Called for the Date field once a second, for Last-Modified once per cached file, and for conditional requests.
"""

from __future__ import annotations

import re
import time
from datetime import date

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}
_FIRST = -62135596800  # 0001-01-01T00:00:00Z: four digits must do for the year
_LAST = 253402300799  # 9999-12-31T23:59:59Z
_EPOCH = date(1970, 1, 1).toordinal()

_TIME = r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_imf_fixdate = re.compile(
    rf"(?P<weekday>{'|'.join(_DAYS)}), (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT", re.ASCII
).fullmatch
_rfc850_date = re.compile(
    rf"(?P<weekday>{'|'.join(_LONG_DAYS)}), (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT", re.ASCII
).fullmatch
_asctime_date = re.compile(
    rf"(?P<weekday>{'|'.join(_DAYS)}) {_MONTH} (?P<day>\d\d| \d) {_TIME} (?P<year>\d{{4}})", re.ASCII
).fullmatch

_last_second = 0
_last_text = "Thu, 01 Jan 1970 00:00:00 GMT"


def format_date(seconds: float) -> str:
    """Write a time (seconds since the epoch) as an IMF-fixdate: ``Sun, 06 Nov 1994 08:49:37 GMT``.

    Fractions are cut off, never rounded up into the future; what four digits cannot hold becomes the nearest date.
    """
    global _last_second, _last_text
    second = int(seconds // 1)
    if second == _last_second:
        return _last_text
    year, month, day, hour, minute, rest, weekday, _, _ = time.gmtime(min(max(second, _FIRST), _LAST))
    text = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{rest:02} GMT"
    _last_second, _last_text = second, text
    return text


def parse_date(text: str, now: float | None = None) -> float | None:
    """Read an HTTP-date in any of its three formats; None if it is none, or a day that never was.

    A weekday that belongs to another date makes it invalid: such a sender does not know what it asks for.

    :param now: for the century of a two-digit year; the present if None.
    :returns: seconds since the epoch, whole.
    """
    match = _imf_fixdate(text) or _asctime_date(text)
    if match is not None:
        year = int(match["year"])
        weekday = _DAYS.index(match["weekday"])
    else:
        match = _rfc850_date(text)
        if match is None:
            return None
        year = _full_year(int(match["year"]), time.time() if now is None else now)
        weekday = _LONG_DAYS.index(match["weekday"])
    try:
        day = date(year, _MONTH_NUMBERS[match["month"]], int(match["day"]))
    except ValueError:
        return None
    if day.weekday() != weekday:
        return None
    days = day.toordinal() - _EPOCH
    return float(((days * 24 + int(match["hour"])) * 60 + int(match["minute"])) * 60 + int(match["second"]))


def _full_year(year: int, now: float) -> int:
    """The year that two digits mean: no more than 50 years ahead, else the most recent past one."""
    this_year = time.gmtime(now).tm_year
    full = this_year - this_year % 100 + year
    if full > this_year + 50:
        return full - 100
    if full <= this_year - 50:
        return full + 100
    return full
