"""The destination: a configured receiver."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from connectors.definitions import DestinationDefinition, InputField
from connectors.schedule import Schedule, parse_waits
from integrations.models.account import Account
from integrations.models.base import Configured
from integrations.models.brand import Brand
from integrations.models.segment import Source


class DestinationManager(models.Manager["Destination"]):
    def create_destination(
        self, account: Account, name: str, values: dict[str, Any] | None = None, source: Source | None = None
    ) -> Destination:
        """A destination of the account's brand, with its own settings, plain and secret ones alike in `values`."""
        destination = self.model(brand=account.brand, account=account, name=name, source=source)
        destination.full_clean()
        destination.write_settings(destination.with_defaults(values or {}))
        return destination


class Destination(Configured):
    secrets_kind = "destination"

    brand = models.ForeignKey(Brand, models.PROTECT, related_name="destinations")
    account = models.ForeignKey(
        Account,
        models.PROTECT,
        related_name="destinations",
        help_text="The login it sends with. Set one up under Accounts first.",
    )
    source = models.ForeignKey(
        Source,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="destinations",
        verbose_name="sends to the source",
        help_text="For Segment: the source that receives the events. Its write key and region are used as they stand.",
    )
    enabled = models.BooleanField(
        "on", default=True, help_text="Switched off, new events pass it by and what already waits is held."
    )
    concurrency = models.PositiveSmallIntegerField(
        "requests at the same time",
        null=True,
        blank=True,
        help_text="How many requests may be on their way at once. Empty: what the connector suggests.",
    )

    retry_waits = models.CharField(
        "tried again after",
        max_length=200,
        default="5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h, 8 h",
        help_text="The waits between one attempt and the next when the vendor fails or does not answer; each is made "
        "up to a fifth shorter or longer, and never shorter than the vendor asks for.",
    )
    retry_every = models.CharField(
        "then every", max_length=20, default="12 h", help_text="The wait after all of these."
    )
    retry_days = models.PositiveSmallIntegerField(
        "given up after days",
        default=14,
        validators=[MinValueValidator(1), MaxValueValidator(30)],
        help_text="How long after it was received an event is still tried, from 1 to 30 days.",
    )

    objects = DestinationManager()

    class Meta(Configured.Meta):
        constraints = [
            models.CheckConstraint(
                condition=models.Q(concurrency__isnull=True) | models.Q(concurrency__range=(1, 64)),
                name="concurrency_from_1_to_64",
                violation_error_message="From 1 to 64 requests at the same time.",
            )
        ]

    @property
    def schedule(self) -> Schedule:
        """When its deliveries are tried again. Raises ValueError for a schedule that cannot be."""
        [every] = parse_waits(self.retry_every)
        return Schedule(parse_waits(self.retry_waits), every, timedelta(days=self.retry_days))

    @property
    def definition(self) -> DestinationDefinition:
        return self.account.definition

    @property
    def declared(self) -> tuple[InputField, ...]:
        return self.definition.settings

    def clean_fields(self, exclude: Any = None) -> None:
        """Refuse a schedule that cannot be, at its own field."""
        faults: dict[str, Any] = {}
        try:
            super().clean_fields(exclude=exclude)
        except ValidationError as error:
            faults = error.error_dict
        for name in ("retry_waits", "retry_every"):
            try:
                waits = parse_waits(getattr(self, name))
                if name == "retry_every" and len(waits) > 1:
                    raise ValueError("Give one time, such as 12 h.")
            except ValueError as error:
                faults.setdefault(name, str(error))
        if faults:
            raise ValidationError(faults)

    def clean(self) -> None:
        if self.account_id is None:
            return
        if self.account.brand_id != self.brand_id:
            raise ValidationError({"account": "This account belongs to another brand."})
        if not self.definition.sends_to_source:
            if self.source_id is not None:
                raise ValidationError(
                    {"source": f"{self.definition.name} does not send to a source: leave this empty."}
                )
        elif self.source is None:
            raise ValidationError({"source": f"Choose the source {self.definition.name} is to send to."})
        elif self.source.account_id != self.account_id:
            raise ValidationError({"source": "This source belongs to another account."})
