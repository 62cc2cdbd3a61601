"""Day partitions of the log tables: made ahead, so that a door never meets a day without a place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from logs import ids

TABLES = (
    "logs_request",
    "logs_requestbody",
    "logs_event",
    "logs_seen",
    "logs_decision",
    "logs_delivery",
    "logs_exchange",
)
AHEAD = 14
"""Days made ahead: how long every beat and worker may be down before a door has to make its own."""

LOCK = 0x5357_4944
"""Advisory lock: one maker of partitions at a time."""


def ensure(ahead: int = AHEAD) -> list[str]:
    """Make the partitions of yesterday to `ahead` days from now that are missing; returns their names.

    May run at any time, anywhere, twice at once.
    """
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("SELECT relname FROM pg_class WHERE relispartition AND relname ~ '^logs_.*_[0-9]{8}$'")
        there = {name for (name,) in cursor.fetchall()}
        for offset in range(-1, ahead + 1):
            day = today + timedelta(days=offset)
            start, end = ids.first_at(day), ids.first_at(day + timedelta(days=1))
            for table in TABLES:
                name = f"{table}_{day:%Y%m%d}"
                if name not in there:
                    # Not CREATE TABLE … PARTITION OF: that locks out everybody who writes to any day of the table.
                    cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
                    cursor.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})")
                    if table == "logs_seen":
                        cursor.execute(f"CREATE UNIQUE INDEX {name}_key ON {name} (source, hash)")
                    made.append(name)
    return made
