"""One HTTP request to a vendor and its answer, redacted when written; it serves one attempt or a batch of them."""

from __future__ import annotations

import zlib

from django.db import models


class Exchange(models.Model):
    id = models.BigIntegerField(primary_key=True)
    lane = models.BigIntegerField()
    brand = models.BigIntegerField()
    ms = models.FloatField()
    status = models.SmallIntegerField(null=True)
    truncated = models.BooleanField()
    method = models.TextField()
    url = models.TextField()
    request_id = models.TextField()
    error = models.TextField()
    request_headers = models.JSONField()
    response_headers = models.JSONField()
    request_body = models.BinaryField()
    response_body = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.method} {self.url}"

    @property
    def sent(self) -> bytes:
        return zlib.decompress(self.request_body)

    @property
    def answer(self) -> bytes:
        return zlib.decompress(self.response_body)
