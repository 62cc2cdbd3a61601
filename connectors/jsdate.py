"""JavaScript's `Date.parse`, as V8 has it: which texts are dates, and when; and the words to write dates with.

Segment decides with it whether a date is acceptable, and V8 reads far more than ISO 8601 (`3/4/26 5pm`, `Mar 2026`).
The grammar is that of V8's dateparser: https://github.com/v8/v8/blob/main/src/date/dateparser-inl.h
Texts without a zone are read as UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_ISO = re.compile(
    r"([+-][0-9]{6}|[0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?",
)
_TOKEN = re.compile(r"([0-9]+)|([A-Za-z]+)|(\s+)|(.)", re.DOTALL | re.ASCII)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_MONTHS = {name[:3].lower(): number for number, name in enumerate(MONTHS, 1)}
_ZONES = {"ut": 0, "utc": 0, "gmt": 0, "z": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5}
_ZONES |= {"mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_START = datetime(1970, 1, 1, tzinfo=UTC)
_LIMIT = 8_640_000_000_000_000
_MAX_TEXT = 1_000


def parse(text: str) -> int | None:
    """Milliseconds since 1970, or None where JavaScript says NaN."""
    if len(text) > _MAX_TEXT:
        return None
    text = text.strip()
    found = _ISO.fullmatch(text)
    read = _iso(found) if found else _Reader(text).read()
    return read if read is not None and abs(read) <= _LIMIT else None


def moment(milliseconds: float) -> datetime | None:
    """The date so long after 1970, in UTC; None beyond the years Python knows."""
    try:
        return _START + timedelta(milliseconds=milliseconds)
    except (OverflowError, ValueError):
        return None


def ordinal(day: int) -> str:
    """What English puts behind the day of a month."""
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _iso(found: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    offset = 0
    if zone and zone != "Z":
        offset = int(zone[0] + "1") * (int(zone[1:3]) * 60 + int(zone[4:]))
    milliseconds = int(((fraction or "") + "000")[:3])
    clock = int(hour or 0), int(minute or 0), int(second or 0), milliseconds
    if year == "-000000":
        return None
    return _moment(int(year), int(month or 1), int(day or 1), clock, offset)


def _moment(year: int, month: int, day: int, clock: tuple[int, int, int, int], offset: int) -> int | None:
    hour, minute, second, milliseconds = clock
    if not (1 <= month <= 12 and 1 <= day <= 31 and minute < 60 and second < 60 and milliseconds < 1000):
        return None
    if hour > 24 or (hour == 24 and (minute or second or milliseconds)):
        return None
    days = _days_before(year, month) + day - 1
    return ((days * 24 + hour) * 60 + minute - offset) * 60_000 + second * 1000 + milliseconds


def _days_before(year: int, month: int) -> int:
    """Days from 1970-01-01 to the first of the month, in the proleptic Gregorian calendar."""
    year, month = (year - 1, month + 12) if month < 3 else (year, month)
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 - 719_468


@dataclass(slots=True)
class _Reader:
    """V8's tolerant parser: numbers fall into day, time or zone by what stands around them."""

    text: str
    at: int = 0
    tokens: list[str] = field(default_factory=list)
    day: list[int] = field(default_factory=list)
    month: int | None = None
    time: list[int] = field(default_factory=list)
    time_done: bool = False
    afternoon: int | None = None
    sign: int | None = None
    zone_hour: int | None = None
    zone_minute: int | None = None
    has_number: bool = False

    def read(self) -> int | None:
        self.tokens = list(_tokens(self.text))
        while self.at < len(self.tokens):
            if not self.accept(self.next()):
                return None
        return self.write()

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def skip(self, symbol: str) -> bool:
        found = self.peek() == symbol
        self.at += found
        return found

    def accept(self, token: str) -> bool:
        if token.isdigit():
            self.has_number = True
            return self.number(int(token[:9]))
        if token.isalpha() and token.isascii():
            return self.word(token.lower())
        if token in "+-" and (self.is_utc or self.time):
            return self.offset(1 if token == "+" else -1)
        if token in "+-)" and self.has_number:
            return False
        if token == "(":
            self.skip_parentheses()
        return True

    @property
    def is_utc(self) -> bool:
        return self.zone_hour == 0 and self.zone_minute == 0

    def number(self, n: int) -> bool:
        if self.skip(":"):
            if self.skip(":"):
                if self.time:
                    return False
                self.time = [n, 0]
                return True
            if self.time_done or len(self.time) >= 4:
                return False
            self.time.append(n)
            self.skip(".")
            return True
        dot = self.skip(".")
        expected = not self.time_done and self.expects(n)
        if dot and expected:
            self.time.append(n)
            if not self.peek().isdigit():
                return False
            self.end_time(int((self.next() + "00")[:3]))
            return True
        if self.zone_hour is not None and self.zone_minute is None and n < 60:
            self.zone_minute = n
            return True
        if expected:
            self.end_time(n)
            after = self.peek()
            return not after or after.isspace() or after.lower() == "z" or after in "+-"
        if len(self.day) >= 3:
            return False
        self.day.append(n)
        self.skip("-")
        return True

    def expects(self, n: int) -> bool:
        """Whether a number can be the next part of a time that has begun."""
        return (len(self.time) in {1, 2} and n < 60) or (len(self.time) == 3 and n < 1000)

    def end_time(self, n: int) -> None:
        self.time += [n, *[0] * (3 - len(self.time))]
        self.time_done = True

    def word(self, word: str) -> bool:
        if word in {"am", "pm"} and self.time:
            self.afternoon = 12 if word == "pm" else 0
            return True
        if word[:3] in _MONTHS:
            self.month = _MONTHS[word[:3]]
            self.skip("-")
            return True
        if word in _ZONES and self.has_number:
            self.sign = -1 if _ZONES[word] < 0 else 1
            self.zone_hour, self.zone_minute = abs(_ZONES[word]), 0
            return True
        return not self.has_number and not self.peek().isdigit()

    def offset(self, sign: int) -> bool:
        self.sign = sign
        digits = self.next() if self.peek().isdigit() else ""
        self.has_number = True
        n = int(digits[:9] or 0)
        if self.peek() == ":":
            self.zone_hour, self.zone_minute = n, None
            return True
        if len(digits) in {1, 2}:
            self.zone_hour, self.zone_minute = n, 0
            return True
        if len(digits) in {3, 4}:
            self.zone_hour, self.zone_minute = divmod(n, 100)
            return True
        return False

    def skip_parentheses(self) -> None:
        depth = 1
        while depth and self.at < len(self.tokens):
            depth += {"(": 1, ")": -1}.get(self.next(), 0)

    def write(self) -> int | None:
        if not self.day:
            return None
        one, two, three = (self.day + [1, 1])[:3]
        begins_with_year = not 1 <= one <= 31
        if self.month is None:
            year, month, day = (one, two, three) if begins_with_year else (three, one, two)
        else:
            month = self.month
            year, day = (one, two) if begins_with_year else (two, one)
        if 0 <= year <= 99:
            year += 2000 if year <= 49 else 1900
        hour, minute, second, milliseconds = (self.time + [0] * 4)[:4]
        if self.afternoon is not None:
            if hour > 12:
                return None
            hour = hour % 12 + self.afternoon
        offset = (self.sign or 1) * ((self.zone_hour or 0) * 60 + (self.zone_minute or 0))
        return _moment(year, month, day, (hour, minute, second, milliseconds), offset)


def _tokens(text: str) -> Iterator[str]:
    return (found.group() for found in _TOKEN.finditer(text))
