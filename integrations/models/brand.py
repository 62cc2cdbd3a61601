"""The brand, and who belongs to it."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models

from integrations.models.base import Named, brand_seed


class Brand(Named):
    seed = models.BinaryField(default=brand_seed, max_length=32, editable=False)
    """Keys every value we make up for this brand, such as random anonymous ids."""

    events_per_second = models.PositiveIntegerField(
        "events per second",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="The most this brand's senders may bring in on average, set by operators. What comes beyond is "
        "answered 429 with the time to wait, and is not kept: Segment's libraries send it again. Empty: no limit.",
    )

    class Meta(Named.Meta):
        constraints = [
            models.CheckConstraint(condition=models.Q(events_per_second__gte=1), name="brand_limit_is_positive")
        ]


class Membership(models.Model):
    class Role(models.TextChoices):
        ADMINISTRATOR = "administrator", "Administrator"
        MEMBER = "member", "Member"
        VIEWER = "viewer", "Viewer"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships", verbose_name="person"
    )
    brand = models.ForeignKey(Brand, models.CASCADE, related_name="memberships")
    role = models.CharField(
        max_length=20,
        choices=Role.choices,
        default=Role.VIEWER,
        help_text="Administrators run the brand: its people, shared accounts and keys. Members set up sources, "
        "destinations, mappings and accounts of their own. Viewers look and change nothing.",
    )

    class Meta:
        verbose_name = "person"
        verbose_name_plural = "people"
        ordering = ["brand", "user"]
        constraints = [models.UniqueConstraint(fields=["user", "brand"], name="one_role_in_a_brand")]

    def __str__(self) -> str:
        return f"{self.user}, {self.get_role_display().lower()} of {self.brand}"
