"""What is still to do: a row in `queue` is ready, a row in `waiting` has a due time; the row goes when done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models
from django.db.models.functions import Now

from logs import ids
from logs.verdict import Cause, Held, Line, Status

DECIDE_LANE = 0
"""The lane of events that could not be decided at the door."""

MAX_CLAIMS = 3
"""Claims without an outcome after which a row is quarantined instead of being tried again."""

SMALL_CLAIM = 10
"""Rows taken at once whose first claim had no outcome; after a second such claim they are taken one by one, so that a
row which kills its worker is soon alone and takes no sibling with it."""


@dataclass(slots=True)
class Claimed:
    """A row under our lease, as one delivery attempt sees it."""

    memo: dict[str, Any]
    id: int
    rank: int
    event: int
    mapping: int
    version: int
    brand: int
    customer: int
    replay: int
    run: int
    step: int
    cause: int
    attempts: int
    claims: int


@dataclass(slots=True)
class Outcome:
    """What became of one claimed row. `wait` is the seconds until it is tried again, None when this was the end.

    `sent` says whether anything left; that is an attempt, unless it was only to see whether the vendor works again (not
    `counted`). `happened` is set where the customer's newest delivered update is remembered. Its `exchanges` are so
    many of those recorded along with it, from the one numbered `exchange`; `part` is its place in a batch's.
    """

    row: Claimed
    status: Status
    sent: bool = True
    counted: bool = True
    happened: datetime | None = None
    wait: float | None = None
    code: int | None = None
    ms: float | None = None
    exchange: int | None = None
    exchanges: int = 0
    part: int | None = None
    fault: str = ""
    error: str = ""
    memo: dict[str, Any] | None = None
    retry_after: float | None = None


@dataclass(slots=True)
class Aside:
    """A claimed row that is not tried now: it waits so many seconds, or (None) until what holds it ends."""

    row: Claimed
    wait: float | None
    hold: Held | int = 0
    attempts: int = 0


NEVER = "'9999-12-31'::timestamptz"
"""Due when somebody says so."""

LINE_OF = {
    Status.DELIVERED: Line.DELIVERED,
    Status.FAILED: Line.FAILED,
    Status.QUARANTINED: Line.QUARANTINED,
    Status.CANCELLED: Line.CANCELLED,
    Status.EXPIRED: Line.EXPIRED,
    Status.SUPERSEDED: Line.SUPERSEDED,
    Status.DISCARDED: Line.DISCARDED,
}


class QueueQuerySet(models.QuerySet["Queue"]):
    def claim(self, lane: int, n: int, token: int, lease: float) -> list[Claimed]:
        """Take about n rows of the lane for one attempt each; rows someone else has are passed over.

        First tries come first, a fifth is left to retries and a tenth to replays when there are such. Rows an earlier
        claim left without an outcome come back alone.
        """
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, {"lane": lane, "n": n, "token": token, "lease": lease, "small": SMALL_CLAIM})
            rows = [Claimed(json.loads(memo or "{}"), *row) for memo, *row in cursor.fetchall()]
        return sorted(rows, key=lambda row: (row.rank, row.id))

    def renew(self, lane: int, rows: Sequence[Claimed], token: int, lease: float) -> set[int]:
        """Hold on to the rows for another lease; returns the ids that are still ours."""
        with connection.cursor() as cursor:
            cursor.execute(
                """UPDATE logs_queue q SET lease = now() + make_interval(secs => %s)
                   FROM unnest(%s::smallint[], %s::bigint[]) AS mine(rank, id)
                   WHERE q.lane = %s AND q.rank = mine.rank AND q.id = mine.id AND q.token = %s RETURNING q.id""",
                [lease, [row.rank for row in rows], [row.id for row in rows], lane, token],
            )
            return {id for (id,) in cursor.fetchall()}

    def give_back(self, lane: int, rows: Sequence[Claimed], token: int) -> None:
        """Return rows that were not sent, as if they had never been claimed."""
        with connection.cursor() as cursor:
            cursor.execute(
                """UPDATE logs_queue q SET lease = NULL, token = NULL, claims = q.claims - 1
                   FROM unnest(%s::smallint[], %s::bigint[]) AS mine(rank, id)
                   WHERE q.lane = %s AND q.rank = mine.rank AND q.id = mine.id AND q.token = %s""",
                [[row.rank for row in rows], [row.id for row in rows], lane, token],
            )

    def record(
        self,
        lane: int,
        outcomes: Sequence[Outcome],
        token: int,
        exchanges: Sequence[tuple[Any, ...]],
        *,
        ordered: bool = False,
    ) -> int:
        """One transaction: rows leave the queue, attempts and exchanges are logged, what is tried again waits.

        A row whose lease someone else has taken over meanwhile (another token) is not touched: its new owner reports
        for it. `exchanges` are the columns of Exchange after its id, lane and brand; `ordered` says that a mapping in
        strict order is among them, whose next event may go now. Returns how many rows were ours.
        """
        made = ids.maker.many(len(outcomes) + len(exchanges))
        exchange_ids = made[: len(exchanges)]
        rows = [o.row for o in outcomes]
        with connection.cursor() as cursor:
            cursor.execute(
                _RECORD,
                {
                    "lane": lane,
                    "token": token,
                    "rank": [r.rank for r in rows],
                    "id": [r.id for r in rows],
                    "delivery": made[len(exchanges) :],
                    "status": [int(o.status) for o in outcomes],
                    "attempts": [int(o.sent and o.counted) for o in outcomes],
                    "causes": [int(Cause.RETRY if o.counted else Cause.PROBE) for o in outcomes],
                    "happened": [o.happened for o in outcomes],
                    "wait": [o.wait for o in outcomes],
                    "code": [o.code for o in outcomes],
                    "ms": [o.ms for o in outcomes],
                    "exchange": [None if o.exchange is None else exchange_ids[o.exchange] for o in outcomes],
                    "exchanges": [o.exchanges for o in outcomes],
                    "part": [o.part for o in outcomes],
                    "fault": [o.fault for o in outcomes],
                    "error": [o.error for o in outcomes],
                    "memo": [json.dumps(o.memo) if o.memo else None for o in outcomes],
                    "line": [LINE_OF.get(o.status, 0) for o in outcomes],
                    "hour": [ids.hour_of(r.event) for r in rows],
                    "ordered": ordered,
                    "x_id": exchange_ids,
                    "brand": rows[0].brand,
                    **{f"x_{i}": [x[i] for x in exchanges] for i in range(11)},
                },
            )
            return int(cursor.fetchone()[0])

    def put_off(self, lane: int, aside: Sequence[Aside], token: int) -> None:
        """Let rows wait that were not tried: for their time, or for a person."""
        with connection.cursor() as cursor:
            cursor.execute(
                _PUT_OFF,
                [
                    [a.row.rank for a in aside],
                    [a.row.id for a in aside],
                    [a.wait for a in aside],
                    [int(a.hold) for a in aside],
                    [a.attempts for a in aside],
                    lane,
                    token,
                ],
            )

    def lanes(self) -> list[int]:
        """Lanes with something to claim that nobody holds: one probe a lane, however long their queues."""
        with connection.cursor() as cursor:
            cursor.execute(_LANES)
            return [lane for (lane,) in cursor.fetchall()]

    def expire(self) -> int:
        """Free the rows whose lease has run out: their worker died or froze. Their claims stay counted."""
        return self.filter(lease__lt=Now()).update(lease=None, token=None)


class Queue(models.Model):
    """Ready to be delivered. With a lease someone is at it; `token` fences off an owner whose lease was taken over."""

    id = models.BigIntegerField(primary_key=True)
    lane = models.BigIntegerField()
    rank = models.SmallIntegerField()
    event = models.BigIntegerField()
    mapping = models.BigIntegerField()
    version = models.BigIntegerField()
    brand = models.BigIntegerField()
    customer = models.BigIntegerField()
    replay = models.BigIntegerField(default=0)
    run = models.BigIntegerField(default=0)
    step = models.SmallIntegerField(default=0)
    cause = models.SmallIntegerField()
    attempts = models.SmallIntegerField(default=0)
    claims = models.SmallIntegerField(default=0)
    token = models.BigIntegerField(null=True)
    lease = models.DateTimeField(null=True)
    memo = models.JSONField(null=True)

    objects = QueueQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Event {self.event} for mapping {self.mapping}"


class WaitingQuerySet(models.QuerySet["Waiting"]):
    def release(self, most: int = 5000) -> set[int]:
        """Move what is due to the queue; returns the lanes that got something. Any number may do it at once."""
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE, [most])
            return {lane for (lane,) in cursor.fetchall()}


class Waiting(models.Model):
    """Not before `due`, by the database's clock."""

    id = models.BigIntegerField(primary_key=True)
    due = models.DateTimeField()
    lane = models.BigIntegerField()
    rank = models.SmallIntegerField()
    event = models.BigIntegerField()
    mapping = models.BigIntegerField()
    version = models.BigIntegerField()
    brand = models.BigIntegerField()
    customer = models.BigIntegerField()
    replay = models.BigIntegerField()
    run = models.BigIntegerField()
    step = models.SmallIntegerField()
    cause = models.SmallIntegerField()
    attempts = models.SmallIntegerField()
    memo = models.JSONField(null=True)
    hold = models.SmallIntegerField(default=0)

    objects = WaitingQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Event {self.event} for mapping {self.mapping}, due {self.due}"


_READY = """
    (SELECT rank, id, claims FROM logs_queue
     WHERE lane = %(lane)s AND rank = {rank} AND lease IS NULL
     ORDER BY id LIMIT {limit} FOR UPDATE SKIP LOCKED)"""

_CLAIM = f"""
WITH first AS {_READY.format(rank=0, limit="%(n)s")},
retry AS {_READY.format(rank=1, limit="(SELECT CASE WHEN EXISTS (TABLE first) THEN %(n)s / 5 ELSE %(n)s END)")},
replay AS {
    _READY.format(
        rank=2,
        limit="(SELECT CASE WHEN EXISTS (TABLE first) OR EXISTS (TABLE retry) THEN %(n)s / 10 ELSE %(n)s END)",
    )
},
ready AS (TABLE first UNION ALL TABLE retry UNION ALL TABLE replay),
taken AS (
    SELECT rank, id FROM ready WHERE claims = (SELECT max(claims) FROM ready) ORDER BY rank, id
    LIMIT (SELECT CASE max(claims) WHEN 0 THEN 2 * %(n)s WHEN 1 THEN %(small)s ELSE 1 END FROM ready)
)
UPDATE logs_queue q
SET lease = now() + make_interval(secs => %(lease)s), token = %(token)s, claims = q.claims + 1
FROM taken WHERE q.lane = %(lane)s AND q.rank = taken.rank AND q.id = taken.id
RETURNING memo, q.id, q.rank, event, mapping, version, brand, customer, replay, run, step, cause, attempts, claims"""

_LANES = """
WITH RECURSIVE lanes AS (
    (SELECT lane FROM logs_queue ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT q.lane FROM logs_queue q WHERE q.lane > lanes.lane ORDER BY q.lane LIMIT 1)
    FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT lane FROM lanes
WHERE lane IS NOT NULL
  AND EXISTS (SELECT 1 FROM logs_queue q WHERE q.lane = lanes.lane AND q.lease IS NULL)
  AND NOT EXISTS (
      SELECT 1 FROM logs_hold h WHERE h.lane = lanes.lane AND (h.until IS NULL OR h.until > now())
  )"""

_RELEASE = """
WITH due AS (
    DELETE FROM logs_waiting WHERE id IN (
        SELECT id FROM logs_waiting WHERE due <= now() ORDER BY due LIMIT %s FOR UPDATE SKIP LOCKED
    ) RETURNING *
)
INSERT INTO logs_queue (lane, rank, id, event, mapping, version, brand, customer, replay, run, step, cause, attempts,
                        memo)
SELECT lane, rank, id, event, mapping, version, brand, customer, replay, run, step, cause, attempts, memo FROM due
RETURNING lane"""

_PUT_OFF = f"""
WITH aside AS (
    SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::float8[], %s::smallint[], %s::smallint[])
    AS a(rank, id, wait, hold, attempts)
),
mine AS (
    DELETE FROM logs_queue q USING aside a WHERE q.lane = %s AND q.rank = a.rank AND q.id = a.id AND q.token = %s
    RETURNING q.*, a.wait, a.hold, a.attempts AS more
)
INSERT INTO logs_waiting (id, due, lane, rank, event, mapping, version, brand, customer, replay, run, step, cause,
                          attempts, memo, hold)
SELECT id, coalesce(now() + make_interval(secs => wait), {NEVER}), lane, rank, event, mapping, version, brand, customer,
       replay, run, step, cause, attempts + more, memo, hold
FROM mine"""

_RECORD = """
WITH outcome AS (
    SELECT * FROM unnest(
        %(rank)s::smallint[], %(id)s::bigint[], %(delivery)s::bigint[], %(status)s::smallint[],
        %(attempts)s::smallint[], %(causes)s::smallint[], %(happened)s::timestamptz[],
        %(wait)s::float8[], %(code)s::smallint[], %(ms)s::real[], %(exchange)s::bigint[], %(exchanges)s::smallint[],
        %(part)s::smallint[], %(fault)s::text[], %(error)s::text[], %(memo)s::text[], %(line)s::smallint[],
        %(hour)s::timestamptz[]
    ) AS o(rank, id, delivery, status, attempts, next_cause, happened, wait, code, ms, exchange, exchanges, part, fault,
           error, memo, line, hour)
),
done AS (
    DELETE FROM logs_queue q USING outcome o
    WHERE q.lane = %(lane)s AND q.rank = o.rank AND q.id = o.id AND q.token = %(token)s
    RETURNING q.id, q.event, q.mapping, q.version, q.brand, q.customer, q.replay, q.run, q.step, q.cause,
              q.attempts + o.attempts AS attempt, o.next_cause, o.happened, o.delivery, o.status, o.wait, o.code, o.ms,
              o.exchange, o.exchanges,
              o.part, o.fault, o.error, o.memo, o.line, o.hour
),
exchanged AS (
    INSERT INTO logs_exchange (id, lane, brand, method, url, request_headers, request_body, status, response_headers,
                               response_body, truncated, ms, request_id, error)
    SELECT x.id, abs(%(lane)s), %(brand)s, x.method, x.url, x.sent::jsonb, x.body, x.status, x.got::jsonb, x.answer,
           x.truncated, x.ms, x.request_id, x.error
    FROM unnest(
        %(x_id)s::bigint[], %(x_0)s::text[], %(x_1)s::text[], %(x_2)s::text[], %(x_3)s::bytea[], %(x_4)s::smallint[],
        %(x_5)s::text[], %(x_6)s::bytea[], %(x_7)s::boolean[], %(x_8)s::real[], %(x_9)s::text[], %(x_10)s::text[]
    ) AS x(id, method, url, sent, body, status, got, answer, truncated, ms, request_id, error)
),
logged AS (
    INSERT INTO logs_delivery (id, event, mapping, version, lane, brand, replay, run, step, attempt, cause, status,
                               code, ms, exchange, exchanges, part, fault, error)
    SELECT delivery, event, mapping, version, abs(%(lane)s), brand, replay, run, step, attempt, cause, status,
           code, ms, exchange, exchanges, part, fault, error
    FROM done
),
waits AS (
    INSERT INTO logs_waiting (id, due, lane, rank, event, mapping, version, brand, customer, replay, run, step, cause,
                              attempts, memo)
    SELECT id, now() + make_interval(secs => wait), %(lane)s, CASE replay WHEN 0 THEN 1 ELSE 2 END, event, mapping,
           version, brand, customer, replay, run, step, next_cause, attempt, memo::jsonb
    FROM done WHERE wait IS NOT NULL
),
booked AS (
    INSERT INTO logs_bookdelta (hour, brand, source, mapping, line, n)
    SELECT hour, brand, 0, mapping, line, count(*) FROM done WHERE wait IS NULL GROUP BY hour, brand, mapping, line
),
stated AS (
    UPDATE logs_customerstate s
    SET newest = greatest(s.newest, done.newest), sent = CASE WHEN done.delivered THEN now() ELSE s.sent END,
        attempted = CASE WHEN done.given_up THEN NULL ELSE s.attempted END
    FROM (
        SELECT mapping, customer, max(happened) FILTER (WHERE status = 1) AS newest, bool_or(status = 1) AS delivered,
               bool_or(wait IS NULL AND status NOT IN (1, 7)) AS given_up
        FROM done WHERE happened IS NOT NULL OR (wait IS NULL AND status NOT IN (1, 7)) GROUP BY mapping, customer
    ) AS done
    WHERE s.mapping = done.mapping AND s.customer = done.customer
),
turned AS (
    DELETE FROM logs_turn t USING done
    WHERE %(ordered)s AND done.wait IS NULL
      AND t.mapping = done.mapping AND t.customer = done.customer AND t.event = done.event
)
SELECT count(*) FROM done"""
