"""One row per attempt to deliver; the last attempt of (event, mapping, replay, step) tells how it ended."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Exists, OuterRef

from logs import ids
from logs.verdict import Cause, Status


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def last(self) -> DeliveryQuerySet:  # type: ignore[override]
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
    cause = models.SmallIntegerField(choices=[(c.value, c.name.lower()) for c in Cause])
    status = models.SmallIntegerField(choices=[(s.value, s.name.lower()) for s in Status])
    code = models.SmallIntegerField(null=True)
    exchanges = models.SmallIntegerField()
    part = models.SmallIntegerField(null=True)
    fault = models.TextField()
    error = models.TextField()

    objects = DeliveryQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Attempt {self.attempt} of event {self.event}"

    @property
    def at(self) -> datetime:
        return ids.moment(self.id)
