"""Who takes part: brands with a source each, and mappings that match all, some and none of what is sent."""

from typing import Any

from integrations.demo_brand import ORDERED
from integrations.models import Account, Brand, Destination, Mapping, Source

REGIONS = ("oregon", "dublin")


def settle(brands: int) -> dict[str, Any]:
    """Make them. Returns the write key of each brand's source, and what the sandbox's Segment has to know."""
    cast: dict[str, Any] = {"keys": [], "segment": []}
    for number in range(brands):
        brand = Brand.objects.create(name=f"Brand {number}")
        shop = Source.objects.create_application(brand, "Shop")
        region, write_key = REGIONS[number % len(REGIONS)], f"segment-key-{number}"
        segment = _segment(brand, region, write_key)
        webhook = Destination.objects.create_destination(
            Account.objects.create_account(brand, "webhook", "Webhook"), "Webhook"
        )
        url = f"https://brand-{number}.example.com/hooks/orders"
        order = {"url": url, "method": "POST", "data": {"tag": {"@path": "$.messageId"}}}
        Mapping.objects.create_mapping(shop, segment, "track", enabled=True)
        Mapping.objects.create_mapping(shop, webhook, "send", trigger=ORDERED, fields=order, enabled=True)
        Mapping.objects.create_mapping(shop, segment, "identify", enabled=True)  # nobody is identified
        Mapping.objects.create_mapping(shop, webhook, "send", trigger=ORDERED, fields=order)  # off
        cast["keys"].append(shop.reveal_key())
        there = {"id": f"source-{number}", "slug": "shop", "writeKeys": [write_key]}
        workspace = {"id": f"workspace-{number}", "slug": f"brand-{number}", "name": brand.name, "sources": [there]}
        cast["segment"].append({**workspace, "region": region})
    return cast


def _segment(brand: Brand, region: str, write_key: str) -> Destination:
    account = Account.objects.create_account(brand, "segment", "Segment", {"region": region})
    source = Source.objects.create_segment(account, "Shop in Segment", write_key)
    return Destination.objects.create_destination(account, "Segment", source=source)
