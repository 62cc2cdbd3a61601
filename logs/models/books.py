"""The three books: every event accounted for, by hour of receipt, still true when the events are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, models, transaction

from logs import ids
from logs.models.event import RuleSet
from logs.verdict import Line, Verdict

FOLD_LOCK = 0x5357_424F
"""Advisory lock: one folder at a time."""

LINE_OF = {
    Verdict.MATCHED: Line.MATCHED,
    Verdict.NOT_MATCHED: Line.NOT_MATCHED,
    Verdict.MAPPING_OFF: Line.MAPPING_OFF,
    Verdict.DESTINATION_OFF: Line.DESTINATION_OFF,
    Verdict.SOURCE_OFF: Line.SOURCE_OFF,
}
BOOKS = {
    "door": (Line.PRESENTED, Line.ACCEPTED, Line.DUPLICATE, Line.REFUSED),
    "routing": (Line.ACCEPTED, Line.DECIDED, Line.NO_MAPPING, Line.UNDECIDED),
    "delivery": (
        Line.MATCHED,
        Line.DELIVERED,
        Line.FAILED,
        Line.QUARANTINED,
        Line.CANCELLED,
        Line.EXPIRED,
        Line.SUPERSEDED,
        Line.DISCARDED,
        Line.PENDING,
        Line.HELD,
    ),
}
"""What comes in (first) is what goes out (the rest)."""

Key = tuple[int, datetime, int, int, int]
"""(brand, hour of receipt, source, mapping, line); source or mapping is 0 where the line has none."""


class BookHourQuerySet(models.QuerySet["BookHour"]):
    def fold(self, most: int = 5000) -> int:
        """Fold up to `most` deltas into the hours; returns how many. May run anywhere, twice at once."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [FOLD_LOCK])
            if not cursor.fetchone()[0]:
                return 0
            cursor.execute(
                """DELETE FROM logs_bookdelta WHERE id IN (SELECT id FROM logs_bookdelta ORDER BY id LIMIT %s)
                   RETURNING brand, hour, source, mapping, line, rule_set, verdicts, n""",
                [most],
            )
            rows = cursor.fetchall()
            totals = _expand(rows)
            if totals:
                columns = list(zip(*totals, strict=True))
                cursor.execute(
                    """INSERT INTO logs_bookhour AS b (brand, hour, source, mapping, line, n)
                       SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[],
                                            %s::smallint[], %s::bigint[])
                       ON CONFLICT (brand, hour, source, mapping, line) DO UPDATE SET n = b.n + excluded.n""",
                    [*map(list, columns), list(totals.values())],
                )
            return len(rows)

    def balance(self, brand: int | None = None, since: datetime | None = None) -> Balance:
        """All books as they stand at one moment, folded or not, beside what is still pending.

        With `since`, a full hour, only those of events received from then on.
        """
        booked = work = "WHERE true" if brand is None else "WHERE brand = %(brand)s"
        if since is not None:
            booked += " AND hour >= %(since)s"
            work += " AND event >= %(id)s"
        with connection.cursor() as cursor:
            cursor.execute(
                f"""SELECT brand, hour, source, mapping, line, NULL, NULL, n FROM logs_bookhour {booked}
                    UNION ALL
                    SELECT brand, hour, source, mapping, line, rule_set, verdicts, n FROM logs_bookdelta {booked}
                    UNION ALL
                    SELECT brand, 'epoch', 0, mapping, CASE WHEN held THEN {Line.HELD} ELSE {Line.PENDING} END,
                           NULL, NULL, sum(n)::bigint
                    FROM (
                        SELECT brand, mapping, n, EXISTS (
                            SELECT 1 FROM logs_hold h WHERE h.lane IN (q.lane, q.brand)
                        ) AS held
                        FROM (
                            SELECT brand, lane, mapping, count(*) AS n
                            FROM logs_queue {work} AND mapping <> 0 GROUP BY brand, lane, mapping
                        ) AS q
                        UNION ALL
                        SELECT brand, mapping, count(*), hold <> 0
                        FROM logs_waiting {work} AND mapping <> 0 GROUP BY brand, mapping, hold <> 0
                    ) AS work GROUP BY brand, mapping, held""",
                {"brand": brand, "since": since, "id": since and ids.first_at(since)},
            )
            return Balance(_expand(cursor.fetchall()))


class BookDelta(models.Model):
    """What one transaction changed. With a rule set it stands for `n` events that have that verdict string."""

    hour = models.DateTimeField()
    brand = models.BigIntegerField()
    source = models.BigIntegerField()
    mapping = models.BigIntegerField()
    rule_set = models.BigIntegerField(null=True)
    n = models.IntegerField()
    line = models.SmallIntegerField()
    verdicts = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"{Line(self.line).name} {self.n:+}"


class BookHour(models.Model):
    """What the deltas of an hour of receipt came to."""

    pk = models.CompositePrimaryKey("brand", "hour", "source", "mapping", "line")
    hour = models.DateTimeField()
    brand = models.BigIntegerField()
    source = models.BigIntegerField()
    mapping = models.BigIntegerField()
    n = models.BigIntegerField()
    line = models.SmallIntegerField()

    objects = BookHourQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{Line(self.line).name} {self.n}"


@dataclass(frozen=True, slots=True)
class Balance:
    """The books of one moment."""

    totals: Counter[Key]

    def sum(self, *lines: Line) -> int:
        return sum(n for key, n in self.totals.items() if key[4] in lines)

    @property
    def books(self) -> dict[str, dict[str, int]]:
        """Book → line → count; the first line of each is what came in, the others say where it went."""
        return {name: {line.name.lower(): self.sum(line) for line in lines} for name, lines in BOOKS.items()}

    @property
    def unaccounted(self) -> int:
        """Events that stand in no line, or in two, added up over every source, mapping and book; 0 when all close."""
        gaps: Counter[tuple[str, int, int]] = Counter()
        for (_, _, source, mapping, line), n in self.totals.items():
            for name, lines in BOOKS.items():
                if line in lines:
                    # The delivery book has no source: the event's is not carried along to its attempts.
                    owner = (0, mapping) if name == "delivery" else (source, 0)
                    gaps[(name, *owner)] += n if line == lines[0] else -n
        return sum(map(abs, gaps.values()))


def _expand(rows: Iterable[tuple[int, datetime, int, int, int, int | None, bytes | None, int]]) -> Counter[Key]:
    """Rows of deltas, verdict strings spelt out mapping by mapping, summed by key."""
    rows = list(rows)
    sets = RuleSet.objects.in_bulk({row[5] for row in rows if row[5]})
    totals: Counter[Key] = Counter()
    for brand, hour, source, mapping, line, rule_set, verdicts, n in rows:
        totals[brand, hour, source, mapping, line] += n
        if rule_set and verdicts:
            for id, verdict in zip(sets[rule_set].mappings, bytes(verdicts), strict=True):
                totals[brand, hour, source, id, LINE_OF[Verdict(verdict)]] += n
    return totals
