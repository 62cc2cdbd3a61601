"""Answers connectors.book from the models: rules cached by the source's version, mapping versions compiled once."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from django.conf import settings

from connectors import mapping, trigger
from connectors.book import Lane, Rule, RuleSet, Terms, Version
from connectors.client import AddressPolicy
from integrations import rates, secrets
from integrations.models import Destination, Mapping, MappingVersion, Source
from logs import models as logs
from logs.verdict import Held


class Book:
    def rule_set(self, source: int) -> RuleSet:
        return rules_at(source, Source.objects.values_list("rules_version", flat=True).get(pk=source))

    def versions(self, ids: set[int]) -> dict[int, Version]:
        there = MappingVersion.objects.filter(pk__in=ids).select_related("mapping__source")
        return {row.pk: replace(_version(row.pk), terms=_terms(row.mapping)) for row in there}

    def terms(self, mappings: Iterable[int]) -> dict[int, Terms]:
        """The terms of mappings as they stand now; a deleted one is absent."""
        return {m.pk: _terms(m) for m in Mapping.objects.filter(pk__in=set(mappings)).select_related("source")}

    def tokens(self, name: str, per_minute: float, n: float) -> float:
        return rates.take(name, per_minute, n)

    def lane(self, lane: int) -> Lane | None:
        destination = Destination.objects.select_related("account", "source__account").filter(pk=lane).first()
        if destination is None:
            return None
        definition = destination.definition
        return Lane(
            id=lane,
            brand=destination.brand_id,
            destination=definition,
            settings=settings_of(destination),
            policy=address_policy(),
            concurrency=destination.concurrency or definition.concurrency,
            account=destination.account_id,
            on=destination.enabled,
            schedule=destination.schedule,
            limits=tuple(
                replace(limit, per_minute=destination.account.limits.get(limit.slug, limit.per_minute))
                for limit in definition.limits
            ),
        )


book = Book()


def settings_of(destination: Destination) -> dict[str, Any]:
    """What the client gets: the account's settings, the destination's, and what comes from the Source it sends to."""
    opened = destination.account.open_settings() | destination.open_settings()
    if destination.source is not None and destination.source.account is not None:
        opened |= {
            "source_write_key": secrets.open_all("source", [destination.source.pk])[destination.source.pk].get(
                "write_key", ""
            ),
            "region": destination.source.account.settings.get("region", ""),
        }
    return opened


@lru_cache(maxsize=1)
def address_policy() -> AddressPolicy:
    """Where requests may go: public addresses, and what the operator's environment allows beside them."""
    return AddressPolicy(allowed=tuple(settings.SEND_ALLOWED), routes=dict(settings.SEND_ROUTES))


@lru_cache(maxsize=10_000)
def rules_at(source: int, version: int) -> RuleSet:
    """The rules of a source at a version of them; the version changes whenever they may have."""
    on = Source.objects.values_list("enabled", flat=True).get(pk=source)
    mappings = Mapping.objects.filter(source=source, version__isnull=False).select_related("destination").order_by("pk")
    rules = tuple(
        Rule(
            mapping=m.pk,
            version=m.version_id or 0,
            lane=m.destination_id,
            # What is off needs no trigger, and must not stop the others should it no longer parse.
            trigger=trigger.parse(m.trigger if m.enabled else ""),
            on=m.enabled,
            destination_on=m.destination.enabled,
            ordered=m.ordered,
        )
        for m in mappings
    )
    rule_set = RuleSet(_rule_set_id(source, rules), source, on, rules)
    logs.RuleSet.objects.bulk_create(
        [
            logs.RuleSet(
                id=rule_set.id,
                source=source,
                mappings=[rule.mapping for rule in rules],
                versions=[rule.version for rule in rules],
            )
        ],
        ignore_conflicts=True,
    )
    return rule_set


def _rule_set_id(source: int, rules: tuple[Rule, ...]) -> int:
    """The same for the same list of mapping versions, wherever it is made; positive, 63 bits."""
    listed = [source, *(id for rule in rules for id in (rule.mapping, rule.version))]
    packed = struct.pack(f">{len(listed)}q", *listed)
    return int.from_bytes(blake2b(packed, digest_size=8).digest(), "big") >> 1


def _terms(m: Mapping) -> Terms:
    return Terms(
        paused=Held.SOURCE_PAUSED if m.source.paused else Held.MAPPING_PAUSED if m.paused else None,
        max_age=m.max_age,
        hourly=m.hourly_limit,
        once=timedelta(days=m.once_days) if m.once_days else None,
        first_run=m.first_run,
        first_run_since=m.first_run_since,
        ordered=m.ordered,
    )


@lru_cache(maxsize=10_000)
def _version(id: int) -> Version:
    row = MappingVersion.objects.select_related("mapping__destination__account", "mapping__source__brand").get(pk=id)
    return Version(
        id=id,
        mapping=row.mapping_id,
        action=row.mapping.destination.definition.action(row.action),
        fields=mapping.compile(row.fields),
        seed=bytes(row.mapping.source.brand.seed),
    )
