"""How hard a lane may be pushed."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from connectors import lanes


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 5), (2, 30), (3, 120), (9, 28_800), (10, 43_200), (40, 43_200)])
def test_waits_grow_along_the_schedule_give_or_take_a_fifth(attempts, seconds):
    waits = [lanes.wait(attempts) for _ in range(200)]

    assert 0.8 * seconds <= min(waits) < max(waits) <= 1.2 * seconds


def test_the_vendors_own_wish_is_a_lower_bound():
    assert lanes.wait(1, retry_after=90) == 90
    assert lanes.wait(4, retry_after=1) >= 480


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
            pace.note(lane, 15.0)

    with pace.room(1) as first, pace.room(2) as second, pace.room(3) as third, pace.room(4) as fast:
        assert (first, second, third, fast) == (True, True, False, True)
    with pace.room(3) as now:
        assert now
