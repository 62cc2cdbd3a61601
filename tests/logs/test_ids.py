"""Time-ordered ids: unique over processes, and telling their moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from logs import ids

START = 90_000_000_000.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def maker(clock: Clock, writers=(5, 6, 7)) -> ids.Maker:
    numbers = iter(writers)
    return ids.Maker(lambda: (next(numbers), START), clock)


def test_an_id_tells_its_moment_to_the_millisecond():
    id = maker(Clock()).base()

    assert ids.moment(id) == ids.EPOCH + timedelta(milliseconds=START)


def test_more_ids_than_a_millisecond_holds_run_on_into_the_next():
    made = maker(Clock())

    bases = [made.base() for _ in range(9)]

    assert bases == sorted(set(bases))
    assert [(b >> ids.TIME_SHIFT) - int(START) for b in bases] == [0, 0, 0, 0, 1, 1, 1, 1, 2]


def test_rows_take_as_many_ids_as_they_need_in_order():
    many = maker(Clock()).many(5000)

    assert many == sorted(set(many))
    assert len(many) == 5000


def test_an_event_knows_its_request():
    base = maker(Clock()).base()

    assert ids.request_of(base + 4000) == base


def test_two_writers_never_make_the_same_id():
    one, two = maker(Clock(), [1]), maker(Clock(), [2])

    assert not {one.base() for _ in range(100)} & {two.base() for _ in range(100)}


def test_a_writer_whose_lease_ran_out_takes_another_number():
    clock = Clock()
    made = maker(clock)
    before = made.base()

    clock.now += ids.LEASE
    after = made.base()

    def writer(id: int) -> int:
        return id >> (ids.INDEX_BITS + ids.COUNTER_BITS) & (ids.WRITERS - 1)

    assert (writer(before), writer(after)) == (5, 6)


def test_bounds_of_a_day_hold_its_ids():
    day = datetime(2026, 11, 21, tzinfo=UTC)

    assert ids.moment(ids.first_at(day)) == day
    assert ids.moment(ids.first_at(day) - 1) < day


@pytest.mark.django_db
def test_the_database_leases_each_number_once():
    numbers = [ids.lease_writer()[0] for _ in range(20)]

    assert len(set(numbers)) == 20


@pytest.mark.django_db
def test_time_is_the_databases():
    _, milliseconds = ids.lease_writer()

    apart = ids.EPOCH + timedelta(milliseconds=milliseconds) - datetime.now(UTC)
    assert abs(apart) < timedelta(seconds=5)
