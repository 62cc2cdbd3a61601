"""Who saw or changed a key of ours or held the reins: rows that stay when what they speak of is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models.functions import Now

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractUser

    from integrations.models.base import Named


class AuditEntryManager(models.Manager["AuditEntry"]):
    def record(
        self, user: AbstractUser, action: str, thing: Named, brand: int, address: str, reason: str = ""
    ) -> AuditEntry:
        """Write down that this person did this to this thing of a brand, from this network address, and why."""
        return self.create(
            user=user.pk,
            user_name=user.get_username(),
            brand=brand,
            action=action,
            object_kind=str(thing._meta.model_name),
            object_id=thing.pk,
            object_label=thing.name,
            address=address,
            reason=reason,
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
    reason = models.TextField("because", default="")

    objects = AuditEntryManager()

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-id"]
        indexes = [models.Index(fields=["brand", "-id"])]

    def __str__(self) -> str:
        return f"{self.user_name} {self.action} {self.object_label}"
