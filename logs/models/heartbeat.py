"""Who is alive: workers and beat each say so in a row, because a process that hangs looks like one that runs."""

from __future__ import annotations

from django.db import connection, models

EVERY = 5
"""Seconds a sign of life is good for before another one is written."""

KEPT = 600
"""Seconds the last sign of a process stays, so that one that fell silent can be seen to have done so."""


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def note(self, kind: Heartbeat.Kind, process: str = "") -> None:
        """Say that this process is alive, by the database's clock. Within `EVERY` of the last time, write nothing."""
        with connection.cursor() as cursor:
            cursor.execute(
                """WITH gone AS (DELETE FROM logs_heartbeat WHERE at < now() - make_interval(secs => %s))
                   INSERT INTO logs_heartbeat AS known (kind, process, at) VALUES (%s, %s, now())
                   ON CONFLICT (kind, process) DO UPDATE SET at = now()
                   WHERE known.at < now() - make_interval(secs => %s)""",
                [KEPT, kind.value, process, EVERY],
            )

    def ages(self) -> dict[tuple[str, str], float]:
        """(kind, process) → seconds since its last sign."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT kind, process, extract(epoch FROM now() - at) FROM logs_heartbeat ORDER BY 1, 2")
            return {(kind, process): float(age) for kind, process, age in cursor.fetchall()}


class Heartbeat(models.Model):
    """A worker sweeping (`process` is host and pid), or beat, of which there is one: its row is written by the worker
    that does what it asked for."""

    class Kind(models.TextChoices):
        WORKER = "worker"
        BEAT = "beat"

    pk = models.CompositePrimaryKey("kind", "process")
    kind = models.TextField(choices=Kind.choices)
    process = models.TextField()
    at = models.DateTimeField()

    objects = HeartbeatQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.kind} {self.process}".strip()
