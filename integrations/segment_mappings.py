"""Mappings as Segment writes them, in and out: what a brand has set up there need not be set up here by hand.

Segment calls them subscriptions. Its Public API writes `{name, actionSlug, enabled, trigger, settings}`, its own code
`{name, partnerAction, enabled, subscribe, mapping}`; both are read, the first is written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from connectors.catalog.segment import PublicClient
from integrations.book import address_policy
from integrations.models import Account, Destination, Mapping, Source

JSON = dict[str, Any]


class Unreadable(Exception):
    """A text that holds no subscriptions, in a sentence for who pasted it."""


@dataclass
class Import:
    """What became of each subscription: a mapping, one that was here already, or a sentence saying why not."""

    made: list[Mapping] = field(default_factory=list)
    known: list[Mapping] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def read(text: str) -> list[Any]:
    """The subscriptions in a text: one, a list, or an answer of the Public API. Raises Unreadable."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"This is not JSON: {error}.") from None
    for name in ("data", "subscriptions"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    subscriptions = found if isinstance(found, list) else [found]
    if not subscriptions:
        raise Unreadable("There is no subscription in it.")
    return subscriptions


def fetch(account: Account, destination: str) -> list[Any]:
    """The subscriptions of a destination in Segment, by its id there. Raises DeliveryError."""
    with PublicClient(account.open_settings(), policy=address_policy()) as client:
        return list(client.list_subscriptions(destination))


def import_(subscriptions: Sequence[Any], source: Source, destination: Destination, author: User) -> Import:
    """A mapping, off, for each subscription that can be one; each is made whole or not at all."""
    result = Import()
    for number, subscription in enumerate(subscriptions, 1):
        try:
            given = _given(subscription)
            if known := Mapping.objects.filter(source=source, destination=destination, **given).first():
                result.known.append(known)
                continue
            with transaction.atomic():
                result.made.append(Mapping.objects.create_mapping(source, destination, author=author, **given))
        except ValidationError as error:
            result.refused.append(f"{_called(subscription, number)}: {_sentences(error)}")
    return result


def export(destination: Destination) -> JSON:
    """The destination's mappings as the Public API would list them; `read` takes them."""
    return {
        "subscriptions": [
            {
                "name": mapping.name,
                "actionSlug": mapping.action,
                "enabled": mapping.enabled,
                "trigger": mapping.trigger,
                "settings": mapping.fields,
            }
            for mapping in destination.mappings.order_by("name", "pk")
        ]
    }


def _given(subscription: Any) -> JSON:
    """Action, trigger, fields and, if there is one, name; ValidationError for what a new mapping would make up."""
    if not isinstance(subscription, dict):
        raise ValidationError("It is not a JSON object.")
    given = {
        "action": subscription.get("actionSlug") or subscription.get("partnerAction"),
        "trigger": subscription.get("trigger") or subscription.get("subscribe"),
        "fields": subscription.get("settings") or subscription.get("mapping"),
    }
    faults = {name: "There is none." for name, value in given.items() if not value}
    given |= {"name": subscription["name"]} if subscription.get("name") else {}
    faults |= {name: "It must be text." for name, value in given.items() if name != "fields" and _no_text(value)}
    if faults:
        raise ValidationError(faults)
    return given


def _no_text(value: Any) -> bool:
    return bool(value) and not isinstance(value, str)


def _called(subscription: Any, number: int) -> str:
    name = subscription.get("name") if isinstance(subscription, dict) else None
    return f"No. {number}, “{name}”" if name else f"No. {number}"


def _sentences(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(f"{name}: {' '.join(messages)}" for name, messages in error.message_dict.items())
