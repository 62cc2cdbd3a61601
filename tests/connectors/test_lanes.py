"""How hard a lane may be pushed."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from connectors import lanes


@pytest.mark.django_db(transaction=True)
def test_a_lane_has_as_many_places_as_its_concurrency_over_all_workers():
    taken, go = [], threading.Barrier(4)
    leave = threading.Event()

    def work() -> None:
        with lanes.slot(7, 2) as got:
            taken.append(got)
            go.wait()
            leave.wait()
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    go.wait()

    assert sorted(taken) == [False, True, True]
    leave.set()
    for worker in workers:
        worker.join()
    with lanes.slot(7, 2) as got:
        assert got


def test_slow_lanes_never_hold_more_than_half_of_the_threads():
    pace = lanes.Pace(threads=4)
    for lane in (1, 2, 3):
        for _ in range(10):
            pace.note(lane, 15.0, well=True)

    with pace.room(1, 1) as first, pace.room(2, 2) as second, pace.room(3, 3) as third, pace.room(4, 4) as fast:
        assert (first, second, third, fast) == (True, True, False, True)
    with pace.room(3, 3) as now:
        assert now


def test_one_brand_never_holds_all_threads():
    pace = lanes.Pace(threads=4)

    with pace.room(1, 1) as a, pace.room(2, 1) as b, pace.room(3, 1) as c, pace.room(4, 1) as d, pace.room(5, 2) as e:
        assert (a, b, c, d, e) == (True, True, True, False, True)
        assert pace.full
    assert not pace.full


def test_the_breaker_opens_when_half_of_at_least_ten_sends_fail():
    pace = lanes.Pace(threads=4)

    for number in range(9):
        pace.note(1, 0.1, well=False)
        pace.note(2, 0.1, well=number % 3 > 0)
    assert not pace.failing(1)

    pace.note(1, 0.1, well=False)
    pace.note(2, 0.1, well=True)
    assert pace.failing(1)
    assert not pace.failing(2)
    assert not pace.failing(1)
