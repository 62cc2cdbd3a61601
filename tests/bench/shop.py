"""The brand of the measurements: for each of them a source whose events go to one destination by one mapping."""

import json
from typing import Any

from integrations.models import Account, Brand, Destination, Mapping, Source
from logs import partitions
from tests.bench import vendors

AT_EASE = 1_000_000  # requests a minute: the published limits would be what is measured


def settle() -> str:
    """Make it, and the log's days; returns the write keys of the sources, by what they are for, as JSON."""
    partitions.ensure()
    brand = Brand.objects.create(name="Bench")
    segment = Account.objects.create_account(brand, "segment", "Segment", {"region": "oregon"})
    there = Source.objects.create_segment(segment, "Shop in Segment", vendors.SEGMENT_KEY)
    antavo = _account(brand, "antavo", "Antavo", {"stack": vendors.STACK, "api_key": vendors.ANTAVO_KEY})
    qualtrics = _account(brand, "qualtrics", "Qualtrics", {"apiToken": vendors.QUALTRICS_TOKEN})
    create = Destination.objects.create_destination
    return json.dumps(
        {
            "segment": _source(create(segment, "Segment", source=there), "track"),
            "antavo": _mapped(create(antavo, "Antavo"), vendors.LOYALTY),
            "contacts": _mapped(create(qualtrics, "Contacts"), vendors.CONTACT),
            "transactions": _mapped(create(qualtrics, "Transactions"), vendors.TRANSACTION),
        }
    )


def _account(brand: Brand, vendor: str, name: str, settings: dict[str, str]) -> Account:
    account = Account.objects.create_account(brand, vendor, name, settings)
    account.limits = {limit.slug: AT_EASE for limit in account.definition.limits}
    account.save()
    return account


def _mapped(destination: Destination, like: dict[str, Any]) -> str:
    """A source with a mapping of ours like this one of Segment's."""
    return _source(destination, like["partnerAction"], trigger=like["subscribe"], fields=like["mapping"])


def _source(destination: Destination, action: str, **more: Any) -> str:
    source = Source.objects.create_application(destination.brand, f"Shop for {destination.name}")
    Mapping.objects.create_mapping(source, destination, action, enabled=True, **more)
    return source.reveal_key()
