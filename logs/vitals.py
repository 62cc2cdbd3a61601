"""What operators watch: how much work each lane has and how old it is, by probes of indexes and never by a scan."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection, transaction

from logs import ids

LANES = 200
"""Lanes told of at most, those with the lowest ids."""

COUNTED = 10_000
"""Rows of a lane counted at most; a longer queue is told as this many."""


@dataclass(frozen=True, slots=True)
class LaneVitals:
    """One lane's work: rows ready or being sent, rows not due yet, and the seconds since the oldest was made."""

    lane: int
    queued: int
    waiting: int
    age: float


def lanes() -> list[LaneVitals]:
    """Every lane that has work, up to `LANES` of them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_WITHOUT_BITMAPS)
        cursor.execute(_LANES, {"lanes": LANES, "counted": COUNTED})
        return [
            LaneVitals(lane, queued, waiting, (now - ids.moment(id)).total_seconds())
            for lane, queued, waiting, id, now in cursor.fetchall()
        ]


# A bitmap is made of a whole lane before the first of its rows is counted.
_WITHOUT_BITMAPS = "SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off"

_LANES = """
WITH RECURSIVE lanes AS (
    SELECT 1 AS n, least((SELECT min(lane) FROM logs_queue), (SELECT min(lane) FROM logs_waiting)) AS lane
    UNION ALL
    SELECT n + 1, least(
        (SELECT min(q.lane) FROM logs_queue q WHERE q.lane > lanes.lane),
        (SELECT min(w.lane) FROM logs_waiting w WHERE w.lane > lanes.lane)
    )
    FROM lanes WHERE lanes.lane IS NOT NULL AND n < %(lanes)s
)
SELECT
    lane,
    (SELECT count(*) FROM (
        SELECT 1 FROM logs_queue q WHERE q.lane = lanes.lane ORDER BY rank, id LIMIT %(counted)s
    ) AS few),
    (SELECT count(*) FROM (
        SELECT 1 FROM logs_waiting w WHERE w.lane = lanes.lane ORDER BY id LIMIT %(counted)s
    ) AS few),
    least(
        (SELECT min(id) FROM logs_queue q WHERE q.lane = lanes.lane AND rank = 0),
        (SELECT min(id) FROM logs_queue q WHERE q.lane = lanes.lane AND rank = 1),
        (SELECT min(id) FROM logs_queue q WHERE q.lane = lanes.lane AND rank = 2),
        (SELECT min(id) FROM logs_waiting w WHERE w.lane = lanes.lane)
    ),
    clock_timestamp()
FROM lanes WHERE lane IS NOT NULL"""
