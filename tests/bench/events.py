"""The events of every measurement: what a shop's server sends, about 600 bytes each, the same ones in every run."""

import json
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

PRODUCTS = ("Trail shoe", "Rain jacket", "Day pack 22 l", "Merino shirt", "Head lamp")


def events(count: int, seed: str) -> Iterator[dict[str, Any]]:
    """`seed` keeps the messageIds of one measurement apart from those of the others."""
    chance = random.Random(seed)
    for n in range(count):
        price = round(chance.uniform(5, 250), 2)
        yield {
            "type": "track",
            "event": "Product Viewed",
            "messageId": str(UUID(int=chance.getrandbits(128))),
            "userId": f"customer-{chance.randrange(100_000)}",
            "anonymousId": f"{chance.getrandbits(64):016x}",
            "timestamp": f"2026-01-15T10:{n // 60 % 60:02}:{n % 60:02}.{chance.randrange(1000):03}Z",
            "properties": {
                "run": seed,
                "n": n,
                "product_id": f"SY-{chance.randrange(10_000):05}",
                "name": chance.choice(PRODUCTS),
                "category": "Outdoor",
                "price": price,
                "quantity": chance.randrange(1, 4),
                "currency": "EUR",
                "url": f"https://shop.example.com/products/{chance.randrange(10_000):05}?campaign=spring",
            },
            "context": {
                "ip": f"203.0.113.{chance.randrange(256)}",
                "locale": "en-GB",
                "userAgent": "ShopServer/4.2",
                "library": {"name": "shop", "version": "4.2.0"},
            },
        }


def identities(count: int, seed: str) -> Iterator[dict[str, Any]]:
    """As many people, none of whom another seed knows."""
    for n, event in enumerate(events(count, seed)):
        traits = {
            **{"email": f"{seed}-{n}@shop.example.com", "firstName": "Ann", "lastName": f"Lee {n}", "language": "EN"},
            **{"plan": "gold", "city": "Riga", "age": 20 + n % 60, "vip": n % 2 == 0},
        }
        told = {"type": "identify", "userId": f"{seed}-{n}", "traits": traits}
        yield told | {name: event[name] for name in ("messageId", "anonymousId", "timestamp", "context")}


def transactions(count: int, seed: str) -> Iterator[dict[str, Any]]:
    """One of each of the people of that seed."""
    for n, event in enumerate(events(count, seed)):
        yield event | {"event": "Transaction Created", "userId": f"{seed}-{n}"}


KINDS = {"product": events, "identify": identities, "transaction": transactions}


def bodies(count: int, batch: int, seed: str, kind: str) -> Iterator[bytes]:
    """Bodies of requests: of one event each, or of `batch` events."""
    made = KINDS[kind](count, seed)
    if batch == 1:
        yield from (json.dumps(event).encode() for event in made)
        return
    for start in range(0, count, batch):
        yield json.dumps({"batch": [next(made) for _ in range(min(batch, count - start))]}).encode()
