"""The demo's brand: a shop with two Segment workspaces, two Antavo stacks, Qualtrics, its customers, and its books."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import requests
from django.contrib.auth import get_user_model
from django.db import transaction
from segment.analytics.client import Client  # type: ignore[import-untyped]

from integrations import secrets
from integrations.models import Account, Brand, Destination, Mapping, Membership, Source
from logs.models import BookHour
from logs.models.books import Balance
from logs.verdict import Line

BRAND, SHOP = 1, 2  # ids; the names are free to change
LOGIN = "admin"
AT_EASE = 1_000_000  # requests a minute that a sandbox takes
ORDERED = 'type = "track" and event = "Order Completed"'
LOYALTY = {
    "customer": {"@path": "$.userId"},
    "data": {
        "transaction_id": {"@path": "$.properties.order_id"},
        "total": {"@path": "$.properties.total"},
        "currency": {"@path": "$.properties.currency"},
    },
}
POOL, SURVEY = "POOL_demo0123456789", "order-survey"
PERSON = {
    "directoryId": POOL,
    "extRef": {"@path": "$.userId"},
    "email": {"@path": "$.traits.email"},
    "firstName": {"@path": "$.traits.first_name"},
    "lastName": {"@path": "$.traits.last_name"},
    "embeddedData": {"newsletter": {"@path": "$.traits.newsletter"}},
}
VENDORS = ("segment", "antavo", "qualtrics")
PRODUCTS = (
    ("SY-100", "Trail shoe", "Shoes", 119.0),
    ("SY-204", "Rain jacket", "Jackets", 189.0),
    ("SY-310", "Day pack 22 l", "Bags", 79.0),
    ("SY-412", "Merino shirt", "Shirts", 64.5),
    ("SY-550", "Head lamp", "Light", 44.9),
)
NAMES = (("Ada", "Okafor"), ("Bruno", "Silva"), ("Chiara", "Rossi"), ("Dmitri", "Ivanov"), ("Emma", "Larsen"))


@transaction.atomic
def settle(password: str) -> Source:
    """The shop's own source, with everything that hangs on it made at the first start; one may log in as LOGIN."""
    brand, _ = Brand.objects.get_or_create(pk=BRAND, defaults={"name": "Demo shop"})
    users = get_user_model().objects
    admin, _ = users.get_or_create(username=LOGIN, defaults={"is_staff": True, "is_superuser": True})
    if not admin.check_password(password):
        admin.set_password(password)
        admin.save()
    Membership.objects.get_or_create(user=admin, brand=brand, defaults={"role": Membership.Role.ADMINISTRATOR})
    shop = Source.objects.filter(pk=SHOP).first()
    if shop is None:
        shop = Source.objects.create(pk=SHOP, brand=brand, kind=Source.Kind.APPLICATION, name="Web shop")
        for mapping in _mappings(shop):
            mapping.enabled = True
            mapping.full_clean()
            mapping.save()
    return shop


def _mappings(shop: Source) -> Iterator[Mapping]:
    oregon = _segment(shop.brand, "Segment (Oregon)", "oregon")
    dublin = _segment(shop.brand, "Segment (Dublin)", "dublin")
    st1, st2 = (_antavo(shop.brand, f"Antavo {stack}", stack) for stack in ("st1", "st2"))
    for action in ("identify", "page", "track"):
        yield Mapping.objects.create_mapping(shop, oregon, action)
    yield Mapping.objects.create_mapping(shop, dublin, "track", name="Orders to Dublin", trigger=ORDERED)
    yield Mapping.objects.create_mapping(shop, st1, "profile")
    for antavo, action in ((st1, "checkout"), (st2, "point_add")):
        fields = LOYALTY | {"action": action}
        name = f"Orders as {action}"
        yield Mapping.objects.create_mapping(shop, antavo, "event", name=name, trigger=ORDERED, fields=fields)
    surveys = _qualtrics(shop.brand)
    yield Mapping.objects.create_mapping(shop, surveys, "addContactToXmd", fields=PERSON)
    workflow = f"https://iad1.qualtrics.com/inbound-event/v1/events/json/triggers?urlTokenId={SURVEY}"
    fields = {"workflowUrl": workflow, "eventPayload": {"order": {"@path": "$.properties.order_id"}}}
    name = "Ask about the order"
    yield Mapping.objects.create_mapping(
        shop, surveys, "triggerXflowWorkflow", name=name, trigger=ORDERED, fields=fields
    )


def _segment(brand: Brand, name: str, region: str) -> Destination:
    account = Account.objects.create_account(
        brand, "segment", name, {"region": region, "token": f"demo-token-{region}"}
    )
    source = Source.objects.create_segment(account, f"Shop in {name}", f"demo-write-key-{region}")
    return Destination.objects.create_destination(account, name, source=source)


def _antavo(brand: Brand, name: str, stack: str) -> Destination:
    account = Account.objects.create_account(brand, "antavo", name, {"stack": stack, "api_key": f"demo-key-{stack}"})
    account.limits = {"requests": AT_EASE}
    account.save()
    return Destination.objects.create_destination(account, name)


def _qualtrics(brand: Brand) -> Destination:
    account = Account.objects.create_account(brand, "qualtrics", "Qualtrics", {"apiToken": "demo-token-qualtrics"})
    return Destination.objects.create_destination(account, "Surveys")


class Sandbox:
    """The emulated vendors, from outside: told what to know, asked what arrived."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def answers(self) -> bool:
        try:
            return bool(self.counts())
        except requests.RequestException:
            return False

    def counts(self) -> dict[str, Any]:
        """Vendor → what arrived there since it was started."""
        counts: dict[str, Any] = requests.get(f"{self.origin}/__sandbox__/counts", timeout=5).json()
        return counts

    def accepted(self) -> int:
        return sum(self.counts()[vendor]["accepted"] for vendor in VENDORS)

    def seed(self) -> None:
        """Make known there what the brand's accounts and sources hold."""
        known = {
            "segment": [_workspace(source) for source in _sources()],
            "antavo": dict(_antavo_keys()),
            "qualtrics": list(_qualtrics_accounts()),
        }
        requests.post(f"{self.origin}/__sandbox__/seed", json=known, timeout=5).raise_for_status()


def _sources() -> Iterator[Source]:
    yield from Source.objects.filter(brand=BRAND, kind=Source.Kind.SEGMENT).select_related("account")


def _workspace(source: Source) -> dict[str, Any]:
    """A workspace of Segment with this one source in it."""
    assert source.account
    settings = source.account.open_settings()
    key = secrets.open_all("source", [source.pk])[source.pk].get("write_key", "")
    there = {"id": str(source.pk), "slug": f"shop-{settings['region']}", "name": source.name}
    workspace = {"id": str(source.account.pk), "slug": there["slug"], "name": source.account.name}
    about = {"region": settings["region"], "token": settings.get("token", "")}
    return {**workspace, **about, "sources": [{**there, "writeKeys": [key]}]}


def _antavo_keys() -> Iterator[tuple[str, str]]:
    for account in Account.objects.filter(brand=BRAND, connector="antavo"):
        settings = account.open_settings()
        yield settings["stack"], settings["api_key"]


def _qualtrics_accounts() -> Iterator[dict[str, Any]]:
    """Each with a directory that knows people by their External Data Reference, and a workflow."""
    directory = {"id": POOL, "name": "Shop", "rules": [["externalDataReference"]]}
    for account in Account.objects.filter(brand=BRAND, connector="qualtrics"):
        token = account.open_settings()["apiToken"]
        yield {"token": token, "brand": "demo", "directories": [directory], "workflows": [{"id": SURVEY}]}


class Customers:
    """People in the shop, told about by Segment's own library as the shop would do it."""

    def __init__(self, origin: str, write_key: str) -> None:
        self.lost: list[Exception] = []
        self._client = Client(write_key, host=origin, gzip=True, on_error=lambda error, items: self.lost.append(error))
        self._events = _events(random.Random())

    def send(self, count: int) -> None:
        """Hand over that many events and wait until the door has acknowledged them."""
        for _ in range(count):
            method, arguments = next(self._events)
            getattr(self._client, method)(**arguments)
        self._client.flush()

    def leave(self) -> None:
        self._client.join()


def _events(chance: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """Visit after visit, without end: a method of the library, and what it is called with."""
    while True:
        yield from _visit(chance)


def _visit(chance: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """Someone looks for something, may log in, may buy."""
    anonymous = {"anonymous_id": f"{chance.getrandbits(64):016x}", "context": {"locale": "en-GB", "ip": "203.0.113.7"}}
    sku, name, category, price = chance.choice(PRODUCTS)
    product = {"product_id": sku, "sku": sku, "name": name, "category": category, "price": price, "currency": "EUR"}
    yield "page", {**anonymous, "name": "Home", "properties": {"path": "/", "title": "Outdoor shop"}}
    yield "track", {**anonymous, "event": "Products Searched", "properties": {"query": name.lower()}}
    yield "track", {**anonymous, "event": "Product Viewed", "properties": product}
    if chance.random() < 0.3:
        return
    number = chance.randrange(1, 500)
    first, last = NAMES[number % len(NAMES)]
    person = {**anonymous, "user_id": f"customer-{number}"}
    email = f"{first}.{last}.{number}@example.com".lower()
    traits = {"first_name": first, "last_name": last, "email": email, "language": "en", "newsletter": number % 2 == 0}
    yield "identify", {**person, "traits": traits}
    quantity = chance.randrange(1, 4)
    yield "track", {**person, "event": "Product Added", "properties": {**product, "quantity": quantity}}
    if chance.random() < 0.4:
        return
    order = {"order_id": f"{chance.randrange(10**9):09d}", "total": round(price * quantity, 2), "currency": "EUR"}
    bought = {**order, "products": [{**product, "quantity": quantity}]}
    yield "track", {**person, "event": "Order Completed", "properties": bought}


# What became of them


def balance() -> Balance:
    return BookHour.objects.balance(BRAND)


def nothing_waits() -> bool:
    """Whether everything that came in is decided, and everything decided is done."""
    return not balance().sum(Line.PENDING, Line.UNDECIDED)


def faults(before: Balance, count: int, taken: int) -> list[str]:
    """What does not add up about `count` events of which vendors took `taken` deliveries; empty when all is well."""
    now = balance()

    def more(*lines: Line) -> int:
        return now.sum(*lines) - before.sum(*lines)

    done = (Line.DELIVERED, Line.SUPERSEDED)
    checks = {
        f"{count} events were sent, {more(Line.ACCEPTED)} accepted": more(Line.ACCEPTED) == count,
        f"{now.unaccounted} are in no line of the books": not now.unaccounted,
        f"{now.sum(Line.PENDING)} deliveries and {now.sum(Line.UNDECIDED)} decisions are still to be made": not now.sum(
            Line.PENDING, Line.UNDECIDED
        ),
        f"{more(Line.MATCHED)} matched, {more(*done)} were delivered or superseded": more(Line.MATCHED) == more(*done),
        f"{more(Line.DELIVERED)} were delivered, the vendors took {taken}": more(Line.DELIVERED) == taken,
    }
    return [sentence for sentence, fine in checks.items() if not fine]


def report(sandbox: Sandbox) -> str:
    """The three books and what the vendors got, for the terminal."""
    lines = []
    for book, counts in balance().books.items():
        (first, total), *rest = counts.items()
        lines.append(f"  {book:9} {total:6} {first} = " + " + ".join(f"{n} {line}" for line, n in rest))
    arrived = sandbox.counts()
    for vendor in VENDORS:
        lines.append(f"  {vendor:9} {arrived[vendor]['accepted']:6} taken in {arrived[vendor]['requests']} requests")
    return "\n".join(lines).replace("_", " ")
