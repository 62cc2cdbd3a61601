"""The mapping: when an event from this source matches this trigger, run this action with these fields."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from connectors import mapping as mapping_engine
from connectors import trigger as trigger_engine
from connectors.definitions import ActionDefinition
from connectors.errors import MappingError, TriggerError
from integrations.models.base import Named, opaque_id
from integrations.models.destination import Destination
from integrations.models.segment import Source

LIMIT = 50
"""Mappings a destination may have, on or off; the database holds to it too."""


class MappingManager(models.Manager["Mapping"]):
    def create_mapping(self, source: Source, destination: Destination, action: str, **more: Any) -> Mapping:
        """A mapping that passed every check; trigger and fields left out are the action's own, the name is its name."""
        mapping = self.model(source=source, destination=destination, action=action, **more)
        mapping.full_clean()
        mapping.save()
        return mapping


class Mapping(Named):
    """New ones are off. The database makes a MappingVersion of every saved change of action, trigger or fields."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="mappings", help_text="Where the events come from.")
    destination = models.ForeignKey(
        Destination, models.CASCADE, related_name="mappings", help_text="Who receives what becomes of them."
    )
    action = models.CharField(max_length=100, help_text="What the destination is to do for each matching event.")
    trigger = models.TextField(
        blank=True,
        help_text='Which events it is for, such as: type = "track" and event = "Order Completed". An empty trigger '
        "matches nothing. A new mapping starts with the action's own when this is left empty.",
    )
    fields = models.JSONField(
        default=dict,
        blank=True,
        help_text='What the action is given, as JSON: {"userId": {"@path": "$.userId"}} takes the value from the '
        'event, {"currency": "EUR"} is the same for every event. A new mapping starts with the action\'s own when this '
        "is left empty.",
    )
    enabled = models.BooleanField("on", default=False, help_text="Only events that arrive while it is on are sent.")
    paused = models.BooleanField(
        default=False, help_text="Events are still matched; what they would send waits until you resume."
    )
    ordered = models.BooleanField(
        "strictly in order",
        default=False,
        help_text="Each customer's events one after the other, as they came: the next one only when the one before is "
        "finished. Slower, and one event that keeps failing holds up the customer's others.",
    )
    max_age = models.DurationField(
        "too old after",
        null=True,
        blank=True,
        validators=[MinValueValidator(timedelta(seconds=1))],
        help_text="For what must not come late, such as 02:00:00 for two hours after it was received. Empty: it is "
        "tried for as long as the destination's schedule says.",
    )
    hourly_limit = models.PositiveIntegerField(
        "at most in an hour",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Events sent in one hour; what comes beyond is held until the next hour. Empty: no limit.",
    )
    once_days = models.PositiveIntegerField(
        "once per customer in days",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="A customer for whom something was sent in so many days is held back. Empty: no limit.",
    )
    first_run = models.PositiveIntegerField(
        "first run",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Send so many and then wait until you say “go on”, by emptying this. Empty: no first run.",
    )
    first_run_since = models.DateTimeField(null=True, editable=False)
    version = models.ForeignKey(
        "MappingVersion", models.RESTRICT, null=True, editable=False, related_name="+", verbose_name="current version"
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    """Who saved it last; each version takes its author from here."""

    objects = MappingManager()

    @property
    def definition(self) -> ActionDefinition:
        """The action's definition; KeyError if the connector has no such action."""
        return self.destination.definition.action(self.action)

    def clean_fields(self, exclude: Any = None) -> None:
        self.fields = {} if self.fields is None else self.fields
        if self._state.adding:
            self._start_from_the_action()
        super().clean_fields(exclude=exclude)

    def clean(self) -> None:
        """Refuse, field by field, what delivery would otherwise stumble over."""
        if self.source_id is None or self.destination_id is None:
            return
        if self.source.brand_id != self.destination.brand_id:
            raise ValidationError({"destination": "Source and destination belong to different brands."})
        try:
            action = self.definition
        except KeyError:
            offered = ", ".join(a.slug for a in self.destination.definition.actions)
            raise ValidationError({"action": f"{self.destination} offers these actions: {offered}."}) from None
        faults = self._faults(action)
        others = Mapping.objects.filter(destination=self.destination_id).exclude(pk=self.pk)
        if others.count() >= LIMIT:
            faults["destination"] = f"{self.destination} has {LIMIT} mappings, on or off, which is the most."
        if faults:
            raise ValidationError(faults)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A first run counts from when it was asked for."""
        if self.first_run and self.first_run_since is None:
            self.first_run_since = timezone.now()
        elif not self.first_run:
            self.first_run_since = None
        super().save(*args, **kwargs)
        self.refresh_from_db(fields=["version"])

    def _start_from_the_action(self) -> None:
        try:
            action = self.definition
        except (KeyError, Destination.DoesNotExist):
            return
        self.name = self.name or action.name
        self.trigger = self.trigger or action.trigger
        self.fields = self.fields or action.default_mapping

    def _faults(self, action: ActionDefinition) -> dict[str, str | list[str]]:
        faults: dict[str, str | list[str]] = {}
        try:
            trigger_engine.parse(self.trigger)
        except TriggerError as error:
            faults["trigger"] = f"{error.message} (at character {error.position + 1})"
        try:
            mapping_engine.compile(self.fields)
        except MappingError as error:
            faults["fields"] = list(error.messages)
        if not isinstance(self.fields, dict):
            faults["fields"] = 'Not a JSON object; it starts with { and names each field: {"userId": …}.'
        if self.enabled and not self.trigger.strip():
            faults["trigger"] = "Without a trigger no event matches: give it one before you switch the mapping on."
        if self.enabled and "fields" not in faults:
            given = {name for name, value in self.fields.items() if value not in (None, "", {})}
            fields = action.fields_under(self.destination.account.settings | self.destination.settings)
            missing = [field.label for field in fields if field.required is True and field.name not in given]
            if missing:
                faults["fields"] = f"Required and not mapped yet: {', '.join(missing)}."
        return faults


class MappingVersion(models.Model):
    """A saved state of a mapping; written by the database with the save, never changed after."""

    id = models.BigIntegerField(primary_key=True, default=opaque_id, editable=False)
    mapping = models.ForeignKey(Mapping, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    action = models.CharField(max_length=100)
    trigger = models.TextField()
    fields = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["mapping", "number"], name="versions_are_numbered")]

    def __str__(self) -> str:
        return f"Version {self.number}"
