"""The inbound log as a list: every event that was kept, and every request of which something was refused."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from logs import ids


class Inbound(models.Model):
    """A row of the view `logs_inbound`; its id is the event's if it was kept, else the request's."""

    id = models.BigIntegerField(primary_key=True)
    brand = models.BigIntegerField()
    source = models.BigIntegerField()
    type = models.TextField()
    name = models.TextField()
    customer = models.TextField()
    anonymous = models.BooleanField()
    identifier = models.TextField()
    kept = models.BooleanField()
    status = models.SmallIntegerField()
    error = models.TextField()

    class Meta:
        managed = False
        verbose_name = "inbound event"
        verbose_name_plural = "inbound log"

    def __str__(self) -> str:
        return f"{self.type} {self.name}".strip()

    @property
    def received(self) -> datetime:
        return ids.moment(self.id)
