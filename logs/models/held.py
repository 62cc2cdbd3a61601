"""What waits for a person: counted, let go, discarded or decided again, always in sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from logs import ids
from logs.models.queue import NEVER
from logs.verdict import Cause, Held, Line, Status


@dataclass(frozen=True, slots=True)
class Group:
    """So many deliveries of a lane (and mapping, 0 for all) that the same thing holds; `oldest` is an event."""

    lane: int
    mapping: int
    hold: int
    count: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Row:
    """A held delivery to be decided again."""

    id: int
    event: int
    mapping: int


def aside(brands: Sequence[int] | None = None) -> list[Group]:
    """Deliveries set aside one by one, grouped by what holds them."""
    where, args = ("AND brand = ANY(%s)", [list(brands)]) if brands is not None else ("", [])
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT lane, mapping, hold, count(*), min(event) FROM logs_waiting
                WHERE hold <> 0 {where} GROUP BY lane, mapping, hold ORDER BY count(*) DESC""",
            args,
        )
        return [Group(*row) for row in cursor.fetchall()]


def behind(lanes: Sequence[int]) -> list[Group]:
    """What waits in these lanes' queues and for their next attempts, whatever holds it, lane by lane and mapping."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT lane, mapping, 0, count(*), min(event) FROM (
                   SELECT lane, mapping, event FROM logs_queue WHERE lane = ANY(%s)
                   UNION ALL SELECT lane, mapping, event FROM logs_waiting WHERE lane = ANY(%s) AND hold = 0
               ) AS work GROUP BY lane, mapping""",
            [list(lanes), list(lanes)],
        )
        return [Group(*row) for row in cursor.fetchall()]


def bodiless(lanes: Sequence[int], mappings: Sequence[int], holds: Sequence[int]) -> int:
    """How many that wait in these lanes, set aside for one of the reasons in `holds` (0: not set aside), can't be
    decided again, since the body they came in is gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(*) FROM (
                   SELECT event FROM logs_queue WHERE 0 = ANY(%(holds)s) AND lane = ANY(%(lanes)s)
                      AND mapping = ANY(%(mappings)s) AND lease IS NULL
                   UNION ALL SELECT event FROM logs_waiting WHERE hold = ANY(%(holds)s) AND lane = ANY(%(lanes)s)
                      AND mapping = ANY(%(mappings)s)
               ) AS work
               WHERE NOT EXISTS (SELECT 1 FROM logs_requestbody b WHERE b.id = work.event & -%(indexes)s::bigint)""",
            {"lanes": list(lanes), "mappings": list(mappings), "holds": list(holds), "indexes": ids.INDEXES},
        )
        return int(cursor.fetchone()[0])


def gather(lane: int, hold: Held) -> int:
    """Set aside what nobody has in hand of a lane: its queue, and what waits there for its next attempt."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH taken AS (
                    DELETE FROM logs_queue WHERE lane = %s AND lease IS NULL RETURNING *
                ), put AS (
                    INSERT INTO logs_waiting (id, due, lane, rank, event, mapping, version, brand, customer, replay,
                                              run, step, cause, attempts, memo, hold)
                    SELECT id, {NEVER}, lane, rank, event, mapping, version, brand, customer, replay, run, step, cause,
                           attempts, memo, %s FROM taken RETURNING 1
                ), waiting AS (
                    UPDATE logs_waiting SET hold = %s, due = {NEVER} WHERE lane = %s AND hold = 0 RETURNING 1
                )
                SELECT (SELECT count(*) FROM put) + (SELECT count(*) FROM waiting)""",
            [lane, hold, hold, lane],
        )
        return int(cursor.fetchone()[0])


def let_go(
    lane: int, mapping: int, hold: int, *, cause: Cause, to: int | None = None, newest_first: bool = False
) -> int:
    """Put what is set aside back into a queue (`to`, or its own); returns how many. A mapping of 0 means all."""
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH gone AS (
                   DELETE FROM logs_waiting
                   WHERE lane = %s AND (%s = 0 OR mapping = %s) AND hold = %s RETURNING *
               )
               INSERT INTO logs_queue (lane, rank, id, event, mapping, version, brand, customer, replay, run, step,
                                       cause, attempts, memo)
               SELECT %s, rank, CASE WHEN %s THEN -abs(id) ELSE abs(id) END, event, mapping, version, brand, customer,
                      replay, run, step, %s, attempts, memo FROM gone""",
            [lane, mapping, mapping, hold, lane if to is None else to, newest_first, cause],
        )
        return int(cursor.rowcount)


def end(rows: Sequence[int], status: Status, reason: str) -> int:
    """End these rows that are set aside without an attempt."""
    line = {Status.DISCARDED: Line.DISCARDED, Status.CANCELLED: Line.CANCELLED}[status]
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH gone AS (
                   DELETE FROM logs_waiting w USING unnest(%s::bigint[], %s::bigint[]) AS chosen(id, delivery)
                   WHERE w.id = chosen.id AND w.hold <> 0
                   RETURNING w.*, chosen.delivery,
                             date_trunc('hour', %s + (w.event >> %s) * interval '1 ms', 'UTC') AS hour
               ), logged AS (
                   INSERT INTO logs_delivery (id, event, mapping, version, lane, brand, replay, run, step, attempt,
                                              cause, status, exchanges, fault, error)
                   SELECT delivery, event, mapping, version, abs(lane), brand, replay, run, step, attempts, cause,
                          %s, 0, '', %s FROM gone
               ), stated AS (
                   UPDATE logs_customerstate s SET attempted = NULL FROM gone
                   WHERE s.mapping = gone.mapping AND s.customer = gone.customer
               ), turned AS (
                   DELETE FROM logs_turn t USING gone
                   WHERE t.mapping = gone.mapping AND t.customer = gone.customer AND t.event = gone.event
               ), booked AS (
                   INSERT INTO logs_bookdelta (hour, brand, source, mapping, line, n)
                   SELECT hour, brand, 0, mapping, %s, count(*) FROM gone GROUP BY hour, brand, mapping
               )
               SELECT count(*) FROM gone""",
            [list(rows), ids.maker.many(len(rows)), ids.EPOCH, ids.TIME_SHIFT, status, reason, line],
        )
        return int(cursor.fetchone()[0])


def some(lane: int, mapping: int, hold: int, after: int, most: int) -> list[Row]:
    """Rows that are set aside, by id, from the one after `after` on."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT id, event, mapping FROM logs_waiting
               WHERE lane = %s AND (%s = 0 OR mapping = %s) AND hold = %s AND id > %s ORDER BY id LIMIT %s""",
            [lane, mapping, mapping, hold, after, most],
        )
        return [Row(*row) for row in cursor.fetchall()]


def send_as(rows: Sequence[int], versions: Sequence[int], lanes: Sequence[int], cause: Cause) -> int:
    """Put rows that are set aside back into a queue, by another mapping version and perhaps in another lane."""
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH chosen AS (
                   SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS c(id, version, lane)
               ), gone AS (
                   DELETE FROM logs_waiting w USING chosen WHERE w.id = chosen.id AND w.hold <> 0
                   RETURNING w.*, chosen.version AS today, chosen.lane AS there
               )
               INSERT INTO logs_queue (lane, rank, id, event, mapping, version, brand, customer, replay, run, step,
                                       cause, attempts, memo)
               SELECT there, rank, id, event, mapping, today, brand, customer, replay, run, step, %s, attempts, memo
               FROM gone""",
            [list(rows), list(versions), list(lanes), cause],
        )
        return int(cursor.rowcount)
