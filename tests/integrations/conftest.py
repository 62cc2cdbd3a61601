"""The cast: two brands, the people in them, and what one of them has configured."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client

from connectors import delivery, lanes
from integrations import book as books
from integrations import tasks
from integrations.models import Account, Brand, Destination, Mapping, Membership, Source
from logs.models import Hold, Queue, Waiting

Role = Membership.Role

ANTAVO = "https://api.st1.antavo.com/v1/webhook/segment"
CHECKOUT = {"customer": {"@path": "$.userId"}, "action": "checkout", "data": {"@path": "$.properties"}}


def person(name: str, *places: tuple[Brand, str]) -> User:
    """Somebody who may log in, with these roles in these brands."""
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.bulk_create(Membership(user=user, brand=brand, role=role) for brand, role in places)
    return user


def application(brand: Brand, name: str) -> Source:
    """A source of the brand's own systems, with its write key in plain as `.key`."""
    source = Source.objects.create_application(brand, name)
    source.key = source.reveal_key()
    return source


@pytest.fixture
def brand(db):
    return Brand.objects.create(name="Acme")


@pytest.fixture
def other_brand(db):
    return Brand.objects.create(name="Rival")


@pytest.fixture
def alice(brand):
    """Administrator of the brand."""
    return person("alice", (brand, Role.ADMINISTRATOR))


@pytest.fixture
def mike(brand):
    """Member of the brand."""
    return person("mike", (brand, Role.MEMBER))


@pytest.fixture
def bob(brand):
    """Viewer of the brand."""
    return person("bob", (brand, Role.VIEWER))


@pytest.fixture
def mallory(other_brand):
    """Administrator of the other brand."""
    return person("mallory", (other_brand, Role.ADMINISTRATOR))


@pytest.fixture
def operator(db):
    return User.objects.create_superuser("olga")


@pytest.fixture
def logged_in():
    """logged_in(alice) → a browser where she is."""

    def browser(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return browser


@pytest.fixture
def shop(brand):
    """An application of the brand; `shop.key` opens the door."""
    return application(brand, "Shop")


@pytest.fixture
def other_shop(other_brand):
    return application(other_brand, "Rival shop")


@pytest.fixture
def make_account(brand):
    """make_account(), or of another connector, brand or owner."""

    def make(
        connector: str = "antavo", name: str = "Loyalty login", of: Brand = brand, owner: User | None = None
    ) -> Account:
        values = {"antavo": {"stack": "st1", "api_key": "s3cret"}, "segment": {"region": "oregon"}}.get(connector)
        return Account.objects.create_account(of, connector, name, values, owner)

    return make


@pytest.fixture
def make_destination(make_account):
    """make_destination(), or with an account and source of your own."""

    def make(name: str = "Loyalty", account: Account | None = None, source: Source | None = None) -> Destination:
        return Destination.objects.create_destination(account or make_account(), name, source=source)

    return make


@pytest.fixture
def loyalty(make_destination):
    """An Antavo destination of the brand."""
    return make_destination()


@pytest.fixture
def make_segment(make_account):
    """make_segment() → a destination that sends to a Segment source, both under one account."""

    def make(name: str = "Warehouse", write_key: str = "segment-key") -> Destination:
        account = make_account("segment", f"{name} login")
        source = Source.objects.create_segment(account, name, write_key)
        return Destination.objects.create_destination(account, name, source=source)

    return make


@pytest.fixture
def make_mapping(shop, loyalty):
    """make_mapping(), on, from the shop to loyalty, or with anything else said."""

    def make(action: str = "profile", **more) -> Mapping:
        given = {"source": shop, "destination": loyalty, "enabled": True} | more
        return Mapping.objects.create_mapping(given.pop("source"), given.pop("destination"), action, **given)

    return make


@pytest.fixture
def quiet(monkeypatch):
    """No bell: tests drain the lanes themselves."""
    monkeypatch.setattr(tasks, "bell", lambda ready: None)


@pytest.fixture
def send(shop, quiet):
    """send(n) → n orders of as many customers at the door; more by name."""
    sent = iter(range(1_000_000))

    def post(n: int = 1, **more) -> None:
        events = [
            {"type": "track", "event": "Order", "userId": f"u{i}", "messageId": f"m-{next(sent)}", **more}
            for i in range(n)
        ]
        basic = base64.b64encode(f"{shop.key}:".encode()).decode()
        body = json.dumps({"batch": events})
        answer = Client().post("/v1/batch", body, "application/json", headers={"authorization": f"Basic {basic}"})
        assert answer.status_code == 200

    return post


@pytest.fixture
def pace():
    return lanes.Pace(4)


@pytest.fixture
def deliver(pace):
    def run() -> None:
        for lane in Queue.objects.lanes():
            delivery.drain(lane, books.book, pace, lambda: False)

    return run


@pytest.fixture
def pass_time():
    """Let so much time pass for everything that waits or is held."""

    def run(**time) -> None:
        passed = timedelta(**time)
        Waiting.objects.filter(hold=0).update(due=F("due") - passed)
        Hold.objects.exclude(until=None).update(until=F("until") - passed)
        Waiting.objects.release()

    return run


@pytest.fixture
def checkout(make_mapping):
    return make_mapping("event", name="Checkouts", trigger='event = "Order"', fields=CHECKOUT)
