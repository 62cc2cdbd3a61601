"""What holds a lane, what a customer's state is in a mapping that asks, and what limited mappings have sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection, models
from django.db.models import F
from django.db.models.functions import Now

from logs.verdict import Held

SECONDS = "make_interval(secs => %s)"


class HoldQuerySet(models.QuerySet["Hold"]):
    def of(self, lane: int, brand: int) -> HoldQuerySet:
        """What holds this lane, itself or with its whole brand."""
        return self.filter(lane__in=(lane, brand))

    def put(
        self, lane: int, brand: int, kind: Held, reason: str, *, seconds: float | None = None, who: str = ""
    ) -> bool:
        """Hold the lane, for so many seconds until it is probed or until a person ends it; False if it was held."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"""INSERT INTO logs_hold (lane, brand, kind, reason, who, until)
                    VALUES (%s, %s, %s, %s, %s, now() + {SECONDS}) ON CONFLICT DO NOTHING""",
                [lane, brand, kind, reason, who, seconds],
            )
            return bool(cursor.rowcount)

    def lift(self, lane: int, *kinds: Held) -> bool:
        """End the hold; whether there was one."""
        return bool(self.filter(lane=lane, kind__in=kinds).delete()[0])

    def again(self, lane: int, kind: Held, first: float, most: float) -> None:
        """The probe failed: hold on, each time twice as long, from `first` up to `most` seconds."""
        with connection.cursor() as cursor:
            cursor.execute(
                """UPDATE logs_hold SET level = least(level + 1, 30), ramp = 1,
                    until = now() + make_interval(secs => least(%s, %s * 2 ^ least(level + 1, 20)))
                    WHERE lane = %s AND kind = %s""",
                [most, first, lane, kind],
            )

    def climb(self, lane: int, top: int) -> None:
        """The probe worked: twice as many places, and at the top the hold is over."""
        if not self.filter(lane=lane, kind=Held.BREAKER, ramp__lt=top).update(ramp=F("ramp") * 2):
            self.lift(lane, Held.BREAKER)


class Hold(models.Model):
    """While the row is there the lane is held, save for probes once `until` has passed; `ramp` places are open then."""

    pk = models.CompositePrimaryKey("lane", "kind")
    lane = models.BigIntegerField()
    brand = models.BigIntegerField()
    since = models.DateTimeField(db_default=Now())
    until = models.DateTimeField(null=True)
    kind = models.SmallIntegerField()
    level = models.SmallIntegerField(default=0)
    ramp = models.SmallIntegerField(default=1)
    reason = models.TextField()
    who = models.TextField(default="")

    objects = HoldQuerySet.as_manager()

    def __str__(self) -> str:
        return self.reason


class CustomerStateQuerySet(models.QuerySet["CustomerState"]):
    def occupy(
        self, pairs: Sequence[tuple[int, int]], token: int, seconds: float
    ) -> dict[tuple[int, int], datetime | None]:
        """Take these (mapping, customer) for so long, unless somebody else has them.

        Returns what was taken, with the time something was last sent.
        """
        unique = sorted(set(pairs))
        with connection.cursor() as cursor:
            cursor.execute(
                f"""INSERT INTO logs_customerstate AS s (mapping, customer, busy, token)
                    SELECT mapping, customer, now() + {SECONDS}, %s
                    FROM unnest(%s::bigint[], %s::bigint[]) AS asked(mapping, customer)
                    ON CONFLICT (mapping, customer) DO UPDATE SET busy = excluded.busy, token = excluded.token
                    WHERE s.busy IS NULL OR s.busy < now() OR s.token = excluded.token
                    RETURNING mapping, customer, sent""",
                [seconds, token, [m for m, _ in unique], [c for _, c in unique]],
            )
            return {(mapping, customer): sent for mapping, customer, sent in cursor.fetchall()}

    def attempt(
        self, updates: Iterable[tuple[int, int, datetime]], token: int
    ) -> dict[tuple[int, int], tuple[datetime | None, datetime | None]]:
        """Write down, before they leave, that these updates (mapping, customer, when it happened) are attempted.

        Returns for each (mapping, customer) when the newest delivered update happened, and the newest that was
        attempted before now: with no outcome recorded since, the vendor may have it or not.
        """
        latest: dict[tuple[int, int], datetime] = {}
        for mapping, customer, happened in updates:
            latest[mapping, customer] = max(happened, latest.get((mapping, customer), happened))
        with connection.cursor() as cursor:
            cursor.execute(
                """WITH asked AS (
                       SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[])
                           AS a(mapping, customer, happened)
                   ), before AS (
                       SELECT s.mapping, s.customer, s.newest, s.attempted, asked.happened
                       FROM logs_customerstate s JOIN asked USING (mapping, customer) WHERE s.token = %s FOR UPDATE OF s
                   )
                   UPDATE logs_customerstate s SET attempted = greatest(before.attempted, before.happened)
                   FROM before WHERE s.mapping = before.mapping AND s.customer = before.customer
                   RETURNING s.mapping, s.customer, before.newest, before.attempted""",
                [[m for m, _ in latest], [c for _, c in latest], list(latest.values()), token],
            )
            return {(mapping, customer): (newest, tried) for mapping, customer, newest, tried in cursor.fetchall()}

    def leave(self, token: int, pairs: Iterable[tuple[int, int]]) -> None:
        """Let others have these again."""
        pairs = list(pairs)
        with connection.cursor() as cursor:
            cursor.execute(
                """UPDATE logs_customerstate s SET busy = NULL, token = NULL
                   FROM unnest(%s::bigint[], %s::bigint[]) AS mine(mapping, customer)
                   WHERE s.mapping = mine.mapping AND s.customer = mine.customer AND s.token = %s""",
                [[m for m, _ in pairs], [c for _, c in pairs], token],
            )


class CustomerState(models.Model):
    """The newest delivered update of a customer and when the last one was sent, for mappings that ask.

    `attempted` is the newest that may have been delivered: nothing older is sent until its outcome is known.

    `busy` until then, under `token`: one delivery of a customer's updates is under way at a time.
    """

    pk = models.CompositePrimaryKey("mapping", "customer")
    mapping = models.BigIntegerField()
    customer = models.BigIntegerField()
    newest = models.DateTimeField(null=True)
    sent = models.DateTimeField(null=True)
    hashes = models.JSONField(null=True)
    busy = models.DateTimeField(null=True)
    token = models.BigIntegerField(null=True)
    attempted = models.DateTimeField(null=True)

    objects = CustomerStateQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Customer {self.customer} of mapping {self.mapping}"


class TurnQuerySet(models.QuerySet["Turn"]):
    def earliest(self, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:  # type: ignore[override]
        """The events of each (mapping, customer) that are not finished, in their order; as many as anyone may hold."""
        unique = sorted(set(pairs))
        with connection.cursor() as cursor:
            cursor.execute(
                """SELECT mapping, customer, ARRAY(
                       SELECT event FROM logs_turn t
                       WHERE t.mapping = asked.mapping AND t.customer = asked.customer ORDER BY event LIMIT 200
                   ) FROM unnest(%s::bigint[], %s::bigint[]) AS asked(mapping, customer)""",
                [[m for m, _ in unique], [c for _, c in unique]],
            )
            return {(mapping, customer): events for mapping, customer, events in cursor.fetchall()}


class Turn(models.Model):
    """An event that a mapping in strict order has matched and not finished."""

    pk = models.CompositePrimaryKey("mapping", "customer", "event")
    mapping = models.BigIntegerField()
    customer = models.BigIntegerField()
    event = models.BigIntegerField()

    objects = TurnQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Event {self.event}"


class QuotaQuerySet(models.QuerySet["Quota"]):
    def take(self, mapping: int, period: datetime, most: int, n: int) -> int:
        """Count up to n more sends of the mapping in the period; returns how many stay within `most`."""
        with connection.cursor() as cursor:
            cursor.execute(
                """INSERT INTO logs_quota AS q (mapping, period, n) VALUES (%s, %s, 0)
                   ON CONFLICT (mapping, period) DO NOTHING""",
                [mapping, period],
            )
            cursor.execute(
                """WITH before AS (SELECT n FROM logs_quota WHERE mapping = %s AND period = %s FOR UPDATE)
                   UPDATE logs_quota q SET n = least(greatest(before.n, %s), before.n + %s) FROM before
                   WHERE q.mapping = %s AND q.period = %s RETURNING q.n - before.n""",
                [mapping, period, most, n, mapping, period],
            )
            return int(cursor.fetchone()[0])


class Quota(models.Model):
    pk = models.CompositePrimaryKey("mapping", "period")
    mapping = models.BigIntegerField()
    period = models.DateTimeField()
    n = models.IntegerField()

    objects = QuotaQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.n} since {self.period}"


def take_tokens(name: str, per_minute: float, burst: float, n: float) -> float:
    """Take up to n tokens of a bucket that fills by `per_minute`; the database's turn when Redis is away.

    Returns what was granted; a negative n gives back.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO logs_bucket (name, tokens, at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING", [name, burst]
        )
        cursor.execute(
            """WITH full_now AS (
                   SELECT least(%s, tokens + extract(epoch FROM now() - at) * %s / 60) AS tokens
                   FROM logs_bucket WHERE name = %s FOR UPDATE
               ), granted AS (SELECT tokens, least(%s, greatest(0, floor(tokens))) AS n FROM full_now)
               UPDATE logs_bucket b SET tokens = granted.tokens - granted.n, at = now() FROM granted
               WHERE name = %s RETURNING granted.n""",
            [burst, per_minute, name, n, name],
        )
        return float(cursor.fetchone()[0])
