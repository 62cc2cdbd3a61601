"""When to try again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.schedule import Schedule, parse_waits


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 5), (2, 30), (3, 120), (9, 28_800), (10, 43_200), (40, 43_200)])
def test_waits_grow_along_the_schedule_give_or_take_a_fifth(attempts, seconds):
    waits = [Schedule().wait(attempts) for _ in range(200)]

    assert 0.8 * seconds <= min(waits) < max(waits) <= 1.2 * seconds


def test_the_vendors_own_wish_is_a_lower_bound():
    assert Schedule().wait(1, retry_after=90) == 90
    assert Schedule().wait(4, retry_after=1) >= 480


def test_a_schedule_is_written_in_words():
    assert parse_waits("5 s, 30s, 2 min,1.5 h, 1 d") == (5, 30, 120, 5400, 86_400)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "Give at least one time, such as 30 s."),
        ("soon", "“soon” is no time: write a number and s, min, h or d, such as 30 s or 2 h."),
        ("5 s, -3 s", "“-3 s” is no time: write a number and s, min, h or d, such as 30 s or 2 h."),
        ("0 s", "“0 s” is out of bounds: waits are from 1 s to 30 d."),
        ("31 d", "“31 d” is out of bounds: waits are from 1 s to 30 d."),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(text, fault):
    with pytest.raises(ValueError, match=f"^{fault.replace('.', '[.]')}$"):
        parse_waits(text)


def test_the_schedule_reaches_over_two_weeks_by_itself():
    assert Schedule().longest == timedelta(days=14)
