"""The one statement that takes a request in: keys against duplicates, events, body, queue and books, or nothing."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from django.db import connection
from django.db.utils import IntegrityError

from logs import ids, partitions
from logs.models.queue import DECIDE_LANE, Claimed
from logs.verdict import Cause, Line

WINDOW = timedelta(days=7)
"""How long a (source, messageId) is remembered at least: the day partition of its event and the seven before."""

REFUSED_BODY = 2048
"""Bytes kept of a request of which nothing was kept."""

MOST_REFUSALS = 100
"""Refusals listed with a request; all are counted."""


@dataclass(slots=True)
class Work:
    """A delivery to be made: the event matched this mapping version, whose destination has this lane.

    `ordered`: not before the customer's earlier events of the same mapping are finished.
    """

    lane: int
    mapping: int
    version: int
    ordered: bool = False


@dataclass(slots=True)
class Arrival:
    """One event of a request. Its id is the request's plus `index` (from 1); `rule_set` None: not decided yet."""

    index: int
    start: int
    size: int
    type: str
    name: str
    customer: str
    anonymous: bool
    message_id: str
    rule_set: int | None = None
    verdicts: bytes = b""
    work: Sequence[Work] = ()
    undecided: bool = False


@dataclass(slots=True)
class Arrived:
    """A request as the log keeps it. `refusals` are `(index, code, message)`; `presented` counts its events."""

    id: int
    brand: int
    source: int
    kind: str
    ms: float
    presented: int
    body: bytes
    headers: dict[str, str]
    envelope: dict[str, Any] | None = None
    refusals: Sequence[tuple[int, str, str]] = field(default_factory=list)


def message_hash(message_id: str) -> bytes:
    return blake2b(message_id.encode(), digest_size=16).digest()


def customer_hash(brand: int, customer: str) -> int:
    """A signed 64-bit hash, the customer's name in the queue and in `customer_state`."""
    digest = blake2b(customer.encode(), digest_size=8, key=brand.to_bytes(8, "big")).digest()
    return int.from_bytes(digest, "big", signed=True)


def record(request: Arrived, arrivals: Sequence[Arrival]) -> int:
    """Commit the request: when this returns, everything that must happen next is written. Returns how many were new.

    The others were duplicates: their messageId was seen at this source in the last seven days, or earlier in this
    request. Raises django.db errors, and then nothing is stored.
    """
    id, unique = request.id, _unique(arrivals)
    works = [(a, w) for a in unique for w in a.work] + [(a, _DECIDE) for a in unique if a.undecided]
    made = ids.maker.many(len(works))
    first = request.refusals[0] if request.refusals else (0, "", "")
    midnight = ids.moment(id).replace(hour=0, minute=0, second=0, microsecond=0)
    args = {
        "id": id,
        "brand": request.brand,
        "source": request.source,
        "kind": request.kind,
        "ms": request.ms,
        "status": 200 if arrivals else 400,
        "presented": request.presented,
        "given": len(arrivals),
        "refused": len(request.refusals),
        "code": first[1],
        "message": first[2],
        "refusals": json.dumps(request.refusals[:MOST_REFUSALS]) if request.refusals else None,
        "hour": ids.hour_of(id),
        "since": ids.first_at(midnight - WINDOW),
        "today": ids.first_at(midnight),
        "size": len(request.body),
        "headers": json.dumps(request.headers),
        "envelope": json.dumps(request.envelope) if request.envelope else None,
        "body": zlib.compress(request.body if arrivals else request.body[:REFUSED_BODY], 1),
        "e_id": [id + a.index for a in unique],
        "e_hash": [message_hash(a.message_id) for a in unique],
        "e_rules": [a.rule_set for a in unique],
        "e_start": [a.start for a in unique],
        "e_size": [a.size for a in unique],
        "e_anonymous": [a.anonymous for a in unique],
        "e_type": [a.type for a in unique],
        "e_name": [a.name for a in unique],
        "e_customer": [a.customer for a in unique],
        "e_message": [a.message_id for a in unique],
        "e_verdicts": [a.verdicts for a in unique],
        "q_id": made,
        "q_lane": [w.lane for _, w in works],
        "q_event": [id + a.index for a, _ in works],
        "q_mapping": [w.mapping for _, w in works],
        "q_version": [w.version for _, w in works],
        "q_customer": [customer_hash(request.brand, a.customer) for a, _ in works],
        "t_mapping": [w.mapping for _, w in works if w.ordered],
        "t_customer": [customer_hash(request.brand, a.customer) for a, w in works if w.ordered],
        "t_event": [id + a.index for a, w in works if w.ordered],
        "undecided": [id + a.index for a in unique if a.undecided],
        "first": Cause.FIRST,
        **_LINES,
    }
    try:
        return _execute(args)
    except IntegrityError as error:
        if "no partition of relation" not in str(error):
            raise
        partitions.ensure()
        return _execute(args)


def _execute(args: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        if args["e_id"] and _near_midnight(args["id"]):
            # Yesterday's key, not yet committed, would be seen by neither today's index nor the probe.
            cursor.execute("SELECT pg_advisory_lock(%s)", [args["source"]])
            try:
                cursor.execute(_RECORD, args)
                return int(cursor.fetchone()[0])
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [args["source"]])
        cursor.execute(_RECORD, args)
        return int(cursor.fetchone()[0])


def refuse(request: Arrived, *, status: int, code: str, message: str, logged: bool) -> None:
    """Book a request of which nothing was kept and, unless it is one of too many (`logged`), keep its start."""
    with connection.cursor() as cursor:
        cursor.execute(
            _REFUSE,
            {
                "id": request.id,
                "brand": request.brand,
                "source": request.source,
                "kind": request.kind,
                "ms": request.ms,
                "status": status,
                "code": code,
                "message": message,
                "n": request.presented,
                "hour": ids.hour_of(request.id),
                "size": len(request.body),
                "headers": json.dumps(request.headers),
                "body": zlib.compress(request.body[:REFUSED_BODY], 1),
                "logged": logged,
                "presented": Line.PRESENTED,
                "refused": Line.REFUSED,
            },
        )


def record_late(
    row: Claimed, token: int, *, source: int, rule_set: int | None, verdicts: bytes, work: Sequence[Work]
) -> None:
    """Write down the decision of an event that was taken in undecided; the row of lane 0 that asked for it goes.

    Does nothing if another worker has taken the row over.
    """
    made = ids.maker.many(len(work))
    with connection.cursor() as cursor:
        cursor.execute(
            _LATE,
            {
                "lane": DECIDE_LANE,
                "rank": row.rank,
                "id": row.id,
                "token": token,
                "source": source,
                "rule_set": rule_set,
                "verdicts": verdicts,
                "hour": ids.hour_of(row.event),
                "first": Cause.FIRST,
                "q_id": made,
                "q_lane": [w.lane for w in work],
                "q_mapping": [w.mapping for w in work],
                "q_version": [w.version for w in work],
                "t_mapping": [w.mapping for w in work if w.ordered],
                "was": Line.UNDECIDED,
                "is": Line.NO_MAPPING if rule_set is None else Line.DECIDED,
            },
        )


def count_unauthenticated(at: datetime, n: int) -> None:
    """Book requests without a valid key, for the operator: they belong to no brand and leave no row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO logs_bookdelta (hour, brand, source, mapping, line, n) VALUES (%s, 0, 0, 0, %s, %s)",
            [at.replace(minute=0, second=0, microsecond=0), Line.UNAUTHENTICATED, n],
        )


def _unique(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """The first of each messageId."""
    first: dict[str, Arrival] = {}
    for arrival in arrivals:
        first.setdefault(arrival.message_id, arrival)
    return list(first.values())


def _near_midnight(id: int) -> bool:
    second = (id >> ids.TIME_SHIFT) // 1000 % 86400
    return second < 60 or second >= 86340


_DECIDE = Work(lane=DECIDE_LANE, mapping=0, version=0)

_LINES = {f"line_{line.name.lower()}": int(line) for line in Line if line < Line.MATCHED}

_RECORD = """
WITH event AS (
    SELECT * FROM unnest(
        %(e_id)s::bigint[], %(e_hash)s::bytea[], %(e_rules)s::bigint[], %(e_start)s::integer[], %(e_size)s::integer[],
        %(e_anonymous)s::boolean[], %(e_type)s::text[], %(e_name)s::text[], %(e_customer)s::text[],
        %(e_message)s::text[], %(e_verdicts)s::bytea[]
    ) AS e(id, hash, rule_set, start, size, anonymous, type, name, customer, message_id, verdicts)
),
fresh AS (
    INSERT INTO logs_seen (id, source, hash)
    SELECT id, %(source)s, hash FROM event
    WHERE NOT EXISTS (
        SELECT 1 FROM logs_seen seen
        WHERE seen.source = %(source)s AND seen.hash = event.hash AND seen.id >= %(since)s AND seen.id < %(today)s
    )
    ON CONFLICT DO NOTHING
    RETURNING id
),
kept AS (
    INSERT INTO logs_event (id, brand, source, rule_set, start, size, anonymous, type, name, customer, message_id,
                            verdicts)
    SELECT id, %(brand)s, %(source)s, rule_set, start, size, anonymous, type, name, customer, message_id, verdicts
    FROM event JOIN fresh USING (id)
),
queued AS (
    INSERT INTO logs_queue (lane, rank, id, event, mapping, version, brand, customer, cause)
    SELECT lane, 0, q.id, q.event, mapping, version, %(brand)s, customer, %(first)s
    FROM unnest(
        %(q_id)s::bigint[], %(q_lane)s::bigint[], %(q_event)s::bigint[], %(q_mapping)s::bigint[],
        %(q_version)s::bigint[], %(q_customer)s::bigint[]
    ) AS q(id, lane, event, mapping, version, customer)
    JOIN fresh ON fresh.id = q.event
),
turns AS (
    INSERT INTO logs_turn (mapping, customer, event)
    SELECT mapping, customer, event
    FROM unnest(%(t_mapping)s::bigint[], %(t_customer)s::bigint[], %(t_event)s::bigint[]) AS t(mapping, customer, event)
    JOIN fresh ON fresh.id = t.event
),
body AS (
    INSERT INTO logs_requestbody (id, size, headers, envelope, body)
    VALUES (%(id)s, %(size)s, %(headers)s::jsonb, %(envelope)s::jsonb, %(body)s)
),
total AS (SELECT count(*)::int AS fresh FROM fresh),
request AS (
    INSERT INTO logs_request (id, brand, source, ms, status, accepted, duplicates, refused, kind, code, message,
                              refusals)
    SELECT %(id)s, %(brand)s, %(source)s, %(ms)s, %(status)s, fresh, %(given)s - fresh, %(refused)s, %(kind)s,
           %(code)s, %(message)s, %(refusals)s::jsonb
    FROM total
),
booked AS (
    INSERT INTO logs_bookdelta (hour, brand, source, mapping, line, n, rule_set, verdicts)
    SELECT %(hour)s, %(brand)s, %(source)s, 0, line, n, NULL, NULL
    FROM total CROSS JOIN LATERAL (VALUES
        (%(line_presented)s, %(presented)s), (%(line_accepted)s, fresh), (%(line_duplicate)s, %(given)s - fresh),
        (%(line_refused)s, %(refused)s)
    ) AS door(line, n) WHERE n <> 0
    UNION ALL
    SELECT %(hour)s, %(brand)s, %(source)s, 0,
           CASE WHEN rule_set IS NOT NULL THEN %(line_decided)s
                WHEN id = ANY (%(undecided)s::bigint[]) THEN %(line_undecided)s
                ELSE %(line_no_mapping)s END AS line,
           count(*), rule_set, CASE WHEN rule_set IS NOT NULL THEN verdicts END AS string
    FROM event JOIN fresh USING (id) GROUP BY line, rule_set, string
)
SELECT fresh FROM total"""

_LATE = """
WITH mine AS (
    DELETE FROM logs_queue WHERE lane = %(lane)s AND rank = %(rank)s AND id = %(id)s AND token = %(token)s
    RETURNING event, brand, customer
),
decided AS (
    INSERT INTO logs_decision (id, rule_set, verdicts) SELECT event, %(rule_set)s, %(verdicts)s FROM mine
),
queued AS (
    INSERT INTO logs_queue (lane, rank, id, event, mapping, version, brand, customer, cause)
    SELECT lane, 0, id, event, mapping, version, brand, customer, %(first)s
    FROM mine CROSS JOIN unnest(%(q_lane)s::bigint[], %(q_id)s::bigint[], %(q_mapping)s::bigint[],
                                %(q_version)s::bigint[]) AS q(lane, id, mapping, version)
),
turns AS (
    INSERT INTO logs_turn (mapping, customer, event)
    SELECT mapping, customer, event FROM mine CROSS JOIN unnest(%(t_mapping)s::bigint[]) AS t(mapping)
)
INSERT INTO logs_bookdelta (hour, brand, source, mapping, line, n, rule_set, verdicts)
SELECT %(hour)s, brand, %(source)s, 0, %(was)s, -1, NULL, NULL FROM mine
UNION ALL
SELECT %(hour)s, brand, %(source)s, 0, %(is)s, 1, %(rule_set)s::bigint,
       CASE WHEN %(rule_set)s::bigint IS NOT NULL THEN %(verdicts)s::bytea END
FROM mine"""

_REFUSE = """
WITH request AS (
    INSERT INTO logs_request (id, brand, source, ms, status, accepted, duplicates, refused, kind, code, message)
    SELECT %(id)s, %(brand)s, %(source)s, %(ms)s, %(status)s, 0, 0, %(n)s, %(kind)s, %(code)s, %(message)s
    WHERE %(logged)s
),
body AS (
    INSERT INTO logs_requestbody (id, size, headers, body)
    SELECT %(id)s, %(size)s, %(headers)s::jsonb, %(body)s WHERE %(logged)s
)
INSERT INTO logs_bookdelta (hour, brand, source, mapping, line, n)
SELECT %(hour)s, %(brand)s, %(source)s, 0, line, %(n)s FROM unnest(ARRAY[%(presented)s, %(refused)s]) AS line"""
