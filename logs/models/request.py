"""A request at one of our doors: how we answered, and the bytes it brought."""

from __future__ import annotations

import zlib
from datetime import datetime

from django.db import models

from logs import ids


class Request(models.Model):
    """One request of a known source. `refusals` lists `[index, code, message]` of the events not kept, capped."""

    id = models.BigIntegerField(primary_key=True)
    brand = models.BigIntegerField()
    source = models.BigIntegerField()
    ms = models.FloatField()
    status = models.SmallIntegerField()
    accepted = models.SmallIntegerField()
    duplicates = models.SmallIntegerField()
    refused = models.SmallIntegerField()
    kind = models.TextField()
    code = models.TextField()
    message = models.TextField()
    refusals = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"Request {self.id}"

    @property
    def received(self) -> datetime:
        return ids.moment(self.id)


class RequestBody(models.Model):
    """The work copy of what was sent: raw bytes (zlib), allow-listed headers, and a batch's own context.

    Events point into it by offset; only the write key that opened the door is blanked.
    """

    id = models.BigIntegerField(primary_key=True)
    size = models.IntegerField()
    headers = models.JSONField()
    envelope = models.JSONField(null=True)
    body = models.BinaryField()

    def __str__(self) -> str:
        return f"Body of request {self.id}"

    @property
    def raw(self) -> bytes:
        return zlib.decompress(self.body)
