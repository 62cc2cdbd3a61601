"""The brand of the measurements: one source whose events go to Segment, one whose go to Antavo, one mapping each."""

import json

from integrations.models import Account, Brand, Destination, Mapping, Source
from logs import partitions
from tests.bench.vendors import ANTAVO_KEY, SEGMENT_KEY, STACK


def settle() -> str:
    """Make it, and the log's days; returns the write keys of the two sources, by vendor, as JSON."""
    partitions.ensure()
    brand = Brand.objects.create(name="Bench")
    segment = Account.objects.create_account(brand, "segment", "Segment", {"region": "oregon"})
    there = Source.objects.create_segment(segment, "Shop in Segment", SEGMENT_KEY)
    antavo = Account.objects.create_account(brand, "antavo", "Antavo", {"stack": STACK, "api_key": ANTAVO_KEY})
    antavo.limits = {"requests": 1_000_000}
    antavo.save()
    return json.dumps(
        {
            "segment": _source(Destination.objects.create_destination(segment, "Segment", source=there), "track"),
            "antavo": _source(
                Destination.objects.create_destination(antavo, "Antavo"),
                "event",
                fields={
                    "customer": {"@path": "$.userId"},
                    "action": "checkout",
                    "data": {"@path": "$.properties"},
                },
            ),
        }
    )


def _source(destination: Destination, action: str, **more) -> str:
    source = Source.objects.create_application(destination.brand, f"Shop for {destination.name}")
    Mapping.objects.create_mapping(source, destination, action, enabled=True, **more)
    return source.reveal_key()
