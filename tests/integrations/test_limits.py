"""The door under stress: one brand may be held back and no other, and nobody waits for a server that is away."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection
from django.test import Client

from integrations.doors import answers, limits
from integrations.models import Brand
from logs.models import Event, Request

KEPT = (200, {"success": True}, None)


@pytest.fixture(autouse=True)
def _redis_is_asked(monkeypatch):
    monkeypatch.setattr(limits, "_ask_again_at", 0.0)


@pytest.fixture
def closed_database(db, monkeypatch):
    """The port of a database that ends every connection at once, and who has called."""
    monkeypatch.setattr(answers, "_connect_again_at", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        callers = []

        def turn_away() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, address = server.accept()
                    caller.close()
                    callers.append(address)

        pool.submit(turn_away)
        yield server.getsockname()[1], callers
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def limited(brand):
    """The brand, allowed two events a second."""
    Brand.objects.filter(pk=brand.pk).update(events_per_second=2)
    return brand


@pytest.fixture
def send(client, db):
    """send(source, n) → status, body and Retry-After of a batch of n events."""

    def post(source, n: int = 1):
        batch = [{"type": "track", "event": "Order Completed", "userId": "u"}] * n
        body = {"batch": batch, "writeKey": source.key}
        response = client.post("/v1/batch", body, "application/json")
        return response.status_code, response.json(), response.get("Retry-After")

    return post


@pytest.fixture
def frozen_redis(settings):
    """A Redis that takes connections and never says a word; `.accept()` raises when nobody has called."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        yield server


def test_a_batch_beyond_the_limit_is_kept_whole_and_the_next_has_to_wait_for_it(limited, shop, send):
    assert send(shop, 21) == KEPT

    status, body, after = send(shop)

    assert (status, body["code"], after) == (429, "brand_limit", "10")
    assert body["message"] == (
        "This brand may send 2 events a second; send this again in 10 s, or ask an operator for more."
    )
    assert Event.objects.count() == 21


def test_what_is_turned_away_stands_in_the_inbound_log(limited, shop, send):
    send(shop, 21)

    send(shop, 3)

    refused = Request.objects.get(status=429)
    assert (refused.code, refused.accepted, refused.refused) == ("brand_limit", 0, 3)


def test_a_waiting_sender_does_not_make_its_wait_longer(limited, shop, send):
    send(shop, 21)

    waits = {send(shop, 100)[2] for _ in range(3)}

    assert waits == {"10"}


def test_up_to_its_limit_a_brand_is_let_in(limited, shop, send):
    assert [send(shop), send(shop)] == [KEPT, KEPT]


def test_one_brands_limit_is_nobody_elses(limited, shop, other_shop, send):
    send(shop, 21)

    assert send(shop)[0] == 429
    assert [send(other_shop, 21), send(other_shop, 21)] == [KEPT, KEPT]


def test_without_a_limit_redis_is_not_asked(frozen_redis, shop, send):
    assert send(shop, 500) == KEPT

    with pytest.raises(BlockingIOError):
        frozen_redis.accept()


def test_a_frozen_redis_lets_all_in_and_is_asked_once(limited, frozen_redis, shop, send):
    answers = [send(shop, 21), send(shop, 21), send(shop, 21)]

    assert answers == [KEPT] * 3
    frozen_redis.accept()[0].close()
    with pytest.raises(BlockingIOError):
        frozen_redis.accept()


def test_an_absent_redis_lets_all_in(limited, settings, shop, send):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert [send(shop, 21), send(shop, 21)] == [KEPT, KEPT]


def test_after_its_pause_redis_is_asked_again(limited, settings, monkeypatch, shop, send):
    working, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    monkeypatch.setattr(limits, "PAUSE", 0.0)
    send(shop, 21)
    settings.REDIS_URL = working

    assert send(shop, 21) == KEPT
    assert send(shop)[0] == 429


def test_a_limit_of_nothing_is_refused_by_the_database(brand):
    with pytest.raises(IntegrityError, match="brand_limit_is_positive"):
        Brand.objects.filter(pk=brand.pk).update(events_per_second=0)


def test_only_operators_set_a_limit(brand, alice, operator, logged_in):
    page = f"/admin/integrations/brand/{brand.pk}/change/"

    logged_in(alice).post(page, {"name": "Renamed", "events_per_second": "7"})
    brand.refresh_from_db()
    assert (brand.name, brand.events_per_second) == ("Renamed", None)

    logged_in(operator).post(page, {"name": "Renamed", "events_per_second": "7"})
    brand.refresh_from_db()
    assert brand.events_per_second == 7


def test_while_no_connection_can_be_made_one_request_tries_and_the_rest_are_told_at_once(closed_database):
    options = connection.settings_dict["OPTIONS"] | {"sslmode": "disable", "gssencmode": "disable"}
    port, callers = closed_database

    def post():
        connection.settings_dict = connection.settings_dict | {"HOST": "127.0.0.1", "PORT": port, "OPTIONS": options}
        response = Client().post("/v1/track", {"event": "A", "userId": "u", "writeKey": "w" * 32}, "application/json")
        return response.status_code, response.json()["code"], response["Retry-After"]

    with ThreadPoolExecutor(1) as thread:
        told = [thread.submit(post).result() for _ in range(3)]

    assert told == [(503, "database_away", "5")] * 3
    assert len(callers) == 1
