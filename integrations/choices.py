"""What a vendor knows and a mapping's fields ask for: fetched when somebody asks, and kept in Redis for ten minutes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

from connectors import fields as field_engine
from connectors.definitions import UNSET, ActionDefinition, Choice, Creation, InputField
from connectors.errors import Fault, PayloadError
from integrations import book
from integrations.models import Mapping

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KEPT = 600
"""Seconds."""


class NotKept(Exception):
    """The vendor answered, and Redis did not."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the vendor said a field can be, and when."""

    choices: tuple[Choice, ...]
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Box:
    """A field, what the mapping makes of it, and what the vendor knows; `given` is its value if no event changes it."""

    field: InputField
    mapped: bool
    given: Any = None
    known: Known | None = None
    creation: Creation | None = None

    @property
    def has_offer(self) -> bool:
        return self.field.offer is not UNSET


def boxes(mapping: Mapping, *, known: bool = True) -> list[Box]:
    """The fields of the mapping's action that the vendor knows something of, or that have an offer."""
    action, given = _action(mapping), _given(mapping)
    fields = action.fields if action else ()
    dynamic = [field.name for field in fields if field.dynamic]
    kept = _read([_key(mapping, name) for name in dynamic]) if known else []
    found = dict(zip(dynamic, kept, strict=False))
    return [
        Box(
            field,
            field.name in mapping.fields,
            given.get(field.name),
            found.get(field.name),
            mapping.destination.definition.creations.get(field.name),
        )
        for field in fields
        if field.dynamic or field.offer is not UNSET
    ]


def ask(mapping: Mapping, name: str) -> None:
    """Fetch what a dynamic field offers, and keep it.

    Raises a DeliveryError or SecretError where it cannot be asked, NotKept where it was for nothing.
    """
    destination = mapping.destination
    asked = book.settings_of(destination) | _above(mapping, name)
    offered = destination.definition.choices(name, asked, policy=book.address_policy())
    # What a connector takes from an answer need not be text.
    choices = tuple(replace(c, value=str(c.value), label=str(c.label or c.value)) for c in offered)
    known = msgspec.json.encode(Known(choices, timezone.now()))
    try:
        _redis(settings.REDIS_URL).set(_key(mapping, name), known, ex=KEPT)
    except redis.RedisError as error:
        told = f"{destination.definition.name} answered, but Redis, which keeps the answer, did not: {error}. Start it"
        raise NotKept(f"{told}, or type the value into the fields.") from None


def create(mapping: Mapping, name: str, where: str, called: str) -> str:
    """Make at the vendor what a field can name, and return its value. Raises as `ask` does."""
    destination = mapping.destination
    asked = book.settings_of(destination)
    made = destination.definition.create(name, asked, where, called, policy=book.address_policy())
    with contextlib.suppress(redis.RedisError):
        _redis(settings.REDIS_URL).delete(_key(mapping, name))
    return made


@transaction.atomic
def put(mapping: Mapping, name: str, value: Any, author: User) -> Mapping:
    """The mapping, with this value in this field, as a new version. Raises ValidationError."""
    found = Mapping.objects.select_for_update().get(pk=mapping.pk)
    found.fields = {**found.fields, name: value}
    found.author = author
    found.full_clean()
    found.save()
    return found


def warnings(mapping: Mapping) -> list[str]:
    """What the connector says to the values that are the same for every event."""
    action, given = _action(mapping), _given(mapping)
    if action is None:
        return []
    faults: Sequence[Fault] = ()
    try:
        payload = field_engine.clean([replace(f, required=False) for f in action.fields if f.name in given], given)
        faults = action.warn(payload) if action.warn else ()
    except PayloadError as error:
        faults = error.faults
    return [fault.message for fault in faults]


def _action(mapping: Mapping) -> ActionDefinition | None:
    try:
        return mapping.definition
    except KeyError:
        return None


def _given(mapping: Mapping) -> dict[str, Any]:
    """The fields that are the same for every event."""
    return {name: value for name, value in mapping.fields.items() if _is_fixed(value)}


def _is_fixed(value: Any) -> bool:
    if isinstance(value, dict):
        return not any(name.startswith("@") or not _is_fixed(member) for name, member in value.items())
    return all(map(_is_fixed, value)) if isinstance(value, list) else True


def _above(mapping: Mapping, name: str) -> dict[str, Any]:
    """The values of the dynamic fields above this one, on which its choices may depend."""
    given, above = _given(mapping), {}
    for field in mapping.definition.fields:
        if field.name == name:
            break
        if field.dynamic and given.get(field.name):
            above[field.name] = given[field.name]
    return above


def _key(mapping: Mapping, name: str) -> str:
    """Where an answer is kept: one for each account, its settings, the destination's, and the fields above."""
    destination = mapping.destination
    asked = [name, destination.account.settings, destination.settings, _above(mapping, name)]
    digest = blake2b(msgspec.json.encode(asked, order="sorted"), digest_size=16).hexdigest()
    return f"switchyard:choices:{destination.account_id}:{digest}"


def _read(keys: Sequence[str]) -> list[Known | None]:
    """What is kept there; nothing while Redis is away."""
    try:
        kept = _redis(settings.REDIS_URL).mget(keys) if keys else []
    except redis.RedisError:
        return [None] * len(keys)
    return [None if raw is None else msgspec.json.decode(raw, type=Known) for raw in kept]


@lru_cache(maxsize=1)
def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0))
