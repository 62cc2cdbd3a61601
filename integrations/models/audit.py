"""Who saw or changed a key of ours: rows that stay when the people and things they speak of are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models.functions import Now

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractUser

    from integrations.models.segment import Source


class AuditEntryManager(models.Manager["AuditEntry"]):
    def record(self, user: AbstractUser, action: str, source: Source, address: str) -> AuditEntry:
        """Write down that this person did this to this source, from this network address."""
        return self.create(
            user=user.pk,
            user_name=user.get_username(),
            brand=source.brand_id,
            action=action,
            object_kind="source",
            object_id=source.pk,
            object_label=source.name,
            address=address,
        )


class AuditEntry(models.Model):
    at = models.DateTimeField("when", db_default=Now())
    user = models.BigIntegerField()
    user_name = models.CharField("who", max_length=150)
    brand = models.BigIntegerField()
    action = models.CharField("did", max_length=50)
    object_kind = models.CharField("kind", max_length=20)
    object_id = models.BigIntegerField("id")
    object_label = models.CharField("to", max_length=200)
    address = models.CharField("from the address", max_length=45)

    objects = AuditEntryManager()

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-id"]
        indexes = [models.Index(fields=["brand", "-id"])]

    def __str__(self) -> str:
        return f"{self.user_name} {self.action} {self.object_label}"
