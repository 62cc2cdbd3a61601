"""One row per attempt to deliver; the last attempt of (event, mapping, replay, step) tells how it ended."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Exists, OuterRef

from logs import ids


def identifier(event: int, mapping: int, replay: int = 0, run: int = 0, step: int = 0) -> str:
    """The idempotency key of a delivery: the same on every attempt, and telling which delivery it is."""
    more = f"-{replay}-{run}-{step}" if replay or run or step else ""
    return f"{event}-{mapping}{more}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def newest_attempts(self) -> DeliveryQuerySet:
        """Only the newest attempt of each delivery: one row is one event's delivery."""
        later = Delivery.objects.filter(
            event=OuterRef("event"),
            mapping=OuterRef("mapping"),
            replay=OuterRef("replay"),
            run=OuterRef("run"),
            step=OuterRef("step"),
            id__gt=OuterRef("id"),
        )
        return self.filter(~Exists(later))

    def identified(self, identifier: str) -> DeliveryQuerySet:
        """The attempts under an idempotency key; none if it is no key of ours."""
        parts = identifier.strip().split("-")
        if len(parts) not in (2, 5) or not all(part.isdecimal() and len(part) < 20 for part in parts):
            return self.none()
        event, mapping, replay, run, step = [*map(int, parts), 0, 0, 0][:5]
        return self.filter(event=event, mapping=mapping, replay=replay, run=run, step=step)

    def attempts_of(self, delivery: Delivery) -> DeliveryQuerySet:
        """Every attempt of the same delivery, oldest first."""
        return self.filter(
            event=delivery.event,
            mapping=delivery.mapping,
            replay=delivery.replay,
            run=delivery.run,
            step=delivery.step,
        ).order_by("id")


class Delivery(models.Model):
    """`attempt` counts what was sent; `fault` is the error's class.

    Its HTTP is `exchanges` many rows from id `exchange` on; `part` is this event's place in them if they are a batch's.
    """

    id = models.BigIntegerField(primary_key=True)
    event = models.BigIntegerField()
    mapping = models.BigIntegerField()
    version = models.BigIntegerField()
    lane = models.BigIntegerField()
    brand = models.BigIntegerField()
    replay = models.BigIntegerField()
    run = models.BigIntegerField()
    exchange = models.BigIntegerField(null=True)
    ms = models.FloatField(null=True)
    step = models.SmallIntegerField()
    attempt = models.SmallIntegerField()
    cause = models.SmallIntegerField()
    status = models.SmallIntegerField()
    code = models.SmallIntegerField(null=True)
    exchanges = models.SmallIntegerField()
    part = models.SmallIntegerField(null=True)
    fault = models.TextField()
    error = models.TextField()

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "outbound log"

    def __str__(self) -> str:
        return f"Attempt {self.attempt} of event {self.event}"

    @property
    def identifier(self) -> str:
        return identifier(self.event, self.mapping, self.replay, self.run, self.step)

    @property
    def at(self) -> datetime:
        return ids.moment(self.id)
