"""An event: what came in, in Segment's spec, and what was decided about it."""

from __future__ import annotations

from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models

from logs import ids
from logs.verdict import Verdict


class RuleSet(models.Model):
    """Which mapping versions a verdict string speaks of, in order. The id is a hash of the rest."""

    id = models.BigIntegerField(primary_key=True)
    source = models.BigIntegerField()
    mappings = ArrayField(models.BigIntegerField())
    versions = ArrayField(models.BigIntegerField())

    def __str__(self) -> str:
        return f"Rule set {self.id}"


class Event(models.Model):
    """`start` and `size` are its place in the request's body; `customer` is the user ID, else the anonymous ID.

    Without a rule set it was not decided at the door: then `Decision` has the verdicts, or the queue still has a row
    for it in lane 0.
    """

    id = models.BigIntegerField(primary_key=True)
    brand = models.BigIntegerField()
    source = models.BigIntegerField()
    rule_set = models.BigIntegerField(null=True)
    start = models.IntegerField()
    size = models.IntegerField()
    anonymous = models.BooleanField()
    type = models.TextField()
    name = models.TextField()
    customer = models.TextField()
    message_id = models.TextField()
    verdicts = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.type} {self.name}".strip()

    @property
    def received(self) -> datetime:
        return ids.moment(self.id)

    @property
    def request(self) -> int:
        return ids.request_of(self.id)


class Decision(models.Model):
    """The verdicts of an event decided after the door, under the event's id."""

    id = models.BigIntegerField(primary_key=True)
    rule_set = models.BigIntegerField(null=True)
    verdicts = models.BinaryField()

    def __str__(self) -> str:
        return f"Decision of event {self.id}"


class Seen(models.Model):
    """(source, hash of the messageId) of each event, under the event's id."""

    id = models.BigIntegerField(primary_key=True)
    source = models.BigIntegerField()
    hash = models.BinaryField()

    def __str__(self) -> str:
        return f"Seen {self.id}"


def verdicts_of(events: list[Event]) -> dict[int, dict[int, Verdict]]:
    """Event id → {mapping id → verdict}, in two queries; an undecided event has no entry."""
    strings: dict[int, tuple[int | None, bytes]] = {e.id: (e.rule_set, bytes(e.verdicts)) for e in events if e.rule_set}
    undecided = [e.id for e in events if not e.rule_set]
    for late in Decision.objects.filter(id__in=undecided) if undecided else ():
        strings[late.id] = (late.rule_set, bytes(late.verdicts))
    sets = RuleSet.objects.in_bulk({rule_set for rule_set, _ in strings.values() if rule_set})
    return {
        id: {m: Verdict(v) for m, v in zip(sets[rule_set].mappings, string, strict=True)} if rule_set else {}
        for id, (rule_set, string) in strings.items()
    }
