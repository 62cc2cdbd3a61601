"""The inbound and the outbound log as people see them."""

from __future__ import annotations

import base64
import json

import pytest
import responses
from django.test import Client

from connectors import delivery, lanes
from integrations import book as books
from integrations import tasks
from integrations.admin.logs import readable
from logs.models import Delivery, Event, Inbound, Queue

pytestmark = pytest.mark.django_db

INBOUND = "/admin/logs/inbound/"
OUTBOUND = "/admin/logs/delivery/"
ANTAVO = "https://api.st1.antavo.com/v1/webhook/segment"
CHECKOUT = {"customer": {"@path": "$.userId"}, "action": "checkout", "data": {"@path": "$.properties"}}


@pytest.fixture
def traffic(shop, loyalty, make_mapping, monkeypatch):
    """Two orders delivered, one that lacks its customer, a page nobody asked for, and a track that was refused."""
    monkeypatch.setattr(tasks, "bell", lambda ready: None)
    mapping = make_mapping("event", name="Checkouts", trigger='event = "Order Completed"', fields=CHECKOUT)
    order = {"type": "track", "event": "Order Completed", "properties": {"total": 12, "note": "<b>loud</b>"}}
    events = [
        {**order, "userId": "u1", "messageId": "m-1"},
        {**order, "userId": "u2", "messageId": "m-2"},
        {**order, "anonymousId": "a3", "messageId": "m-3"},
        {"type": "page", "name": "Home", "userId": "u1", "messageId": "m-4"},
        {"type": "track", "userId": "u1", "messageId": "m-5"},
    ]
    with responses.RequestsMock() as vendor:
        vendor.post(ANTAVO, status=202, json={"thanks": True})
        Client().post(
            "/v1/batch",
            json.dumps({"batch": events, "writeKey": shop.key}),
            "application/json",
            headers={"authorization": "Basic " + base64.b64encode(f"{shop.key}:".encode()).decode()},
        )
        for lane in Queue.objects.lanes():
            delivery.drain(lane, books.book, lanes.Pace(4), lambda: False)
    return mapping


def rows(browser: Client, address: str, **search) -> list[str]:
    """The identifiers of the rows the list shows, newest first; a refused request has none."""
    page = browser.get(address, search)
    assert page.status_code == 200
    return [str(row.identifier) for row in page.context["cl"].result_list]


def test_the_inbound_log_shows_what_came_and_what_came_of_it(logged_in, alice, traffic):
    page = logged_in(alice).get(INBOUND)

    shown = {row.identifier: row for row in page.context["cl"].result_list}
    assert set(shown) == {"m-1", "m-2", "m-3", "m-4", ""}
    admin = page.context["cl"].model_admin
    assert admin.came_of_it(shown["m-1"]) == "1 mapping: 1 delivered"
    assert admin.came_of_it(shown["m-3"]) == "1 mapping: 1 failed"
    assert admin.came_of_it(shown["m-4"]) == "1 mapping: 1 not matched"
    assert admin.came_of_it(shown[""]) == "refused"
    assert shown[""].error.startswith("1 of 5 refused: event_not_defined")
    assert admin.customer_id(shown["m-3"]) == "a3 (anonymous)"
    assert admin.event_type(shown["m-1"]) == "track: Order Completed"


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ({"identifier": "m-2"}, ["m-2"]),
        ({"customer": "u1"}, ["m-4", "m-1"]),
        ({"type": ["page"]}, ["m-4"]),
        ({"type": ["page", "track"], "customer": "u2"}, ["m-2"]),
        ({"status": "200", "customer": "u2"}, ["m-2"]),
        ({"status": "nonsense"}, []),
        ({"error": "event_not"}, [""]),
    ],
)
def test_the_inbound_log_is_searched(logged_in, alice, traffic, search, found):
    assert rows(logged_in(alice), INBOUND, **search) == found


@pytest.mark.parametrize(
    ("search", "customers"),
    [
        ({}, ["a3", "u2", "u1"]),
        ({"customer": "u1"}, ["u1"]),
        ({"type": ["identify"]}, []),
        ({"status": "202"}, ["u2", "u1"]),
        ({"error": "customer"}, ["a3"]),
        ({"identifier": "nonsense"}, []),
    ],
)
def test_the_outbound_log_is_searched(logged_in, alice, traffic, search, customers):
    page = logged_in(alice).get(OUTBOUND, search)

    assert sorted(row.customer for row in page.context["cl"].result_list) == sorted(customers)


def test_a_delivery_is_found_by_its_identifier(logged_in, alice, traffic):
    attempt = Delivery.objects.order_by("id").last()

    assert rows(logged_in(alice), OUTBOUND, identifier=attempt.identifier) == [attempt.identifier]


def test_an_inbound_row_opens_to_event_decision_and_answer(logged_in, alice, traffic):
    event = Event.objects.get(message_id="m-1")

    page = logged_in(alice).get(f"{INBOUND}{event.pk}/change/").content.decode()

    assert "Order Completed" in page
    assert "Checkouts: <strong>delivered</strong>" in page
    assert "&lt;b&gt;loud&lt;/b&gt;" in page
    assert "<b>loud</b>" not in page


def test_a_refused_row_opens_to_its_reasons(logged_in, alice, traffic):
    refused = Inbound.objects.get(kept=False)

    page = logged_in(alice).get(f"{INBOUND}{refused.pk}/change/").content.decode()

    assert "Event 5: <code>event_not_defined</code>" in page


def test_an_outbound_row_opens_to_attempt_request_and_answer(logged_in, alice, traffic):
    attempt = Delivery.objects.filter(code=202).first()

    page = logged_in(alice).get(f"{OUTBOUND}{attempt.pk}/change/").content.decode()

    assert f"POST {ANTAVO}" in page
    assert "thanks" in page
    assert "s3cret" not in page


@pytest.mark.parametrize(
    ("body", "path", "part", "shown"),
    [
        (b'{"batch": [{"n": 0}, {"n": 1}]}', "batch", 1, {"n": 1}),
        (b'[{"n": 0}, {"n": 1}]', "", 1, {"n": 1}),
        (b'{"7-8": {"n": 7}, "9-8": {"n": 9}}', "", 1, {"n": 9}),
        (b'{"n": 1}', "", None, {"n": 1}),
        (b'{"n": 1}', "batch", 0, {"n": 1}),
        (b"<html>", "batch", 0, "<html>"),
    ],
)
def test_each_event_of_a_batch_shows_its_own_part(body, path, part, shown):
    assert readable(body, True, path, part, "9-8") == shown


def test_a_viewer_reads_bodies_masked(logged_in, bob, traffic):
    event = Event.objects.get(message_id="m-1")

    page = logged_in(bob).get(f"{INBOUND}{event.pk}/change/").content.decode()

    assert "properties" in page
    assert "loud" not in page
    assert "••••" in page


@pytest.mark.parametrize("address", [INBOUND, OUTBOUND])
def test_another_brands_log_is_empty(logged_in, mallory, traffic, address):
    assert rows(logged_in(mallory), address) == []


def test_another_brands_rows_do_not_open(logged_in, mallory, traffic):
    event, attempt = Event.objects.first(), Delivery.objects.first()

    for address in (f"{INBOUND}{event.pk}/change/", f"{OUTBOUND}{attempt.pk}/change/"):
        assert logged_in(mallory).get(address).status_code == 404


def test_a_list_asks_the_same_queries_for_one_row_and_for_many(
    logged_in, alice, traffic, django_assert_max_num_queries
):
    browser = logged_in(alice)
    counts = []
    for search in ({"identifier": "m-1"}, {}):
        with django_assert_max_num_queries(40) as asked:
            browser.get(INBOUND, search)
        counts.append(len(asked))

    assert counts[0] == counts[1]


@pytest.mark.parametrize("address", [INBOUND, OUTBOUND])
@pytest.mark.parametrize("query", ["customer__startswith=u", "brand=1", "error__regex=a", "p=99", "o=1"])
def test_a_query_nobody_offered_does_no_harm(logged_in, alice, traffic, address, query):
    assert logged_in(alice).get(f"{address}?{query}").status_code in (200, 302, 400)


@pytest.mark.parametrize("address", [INBOUND, OUTBOUND])
def test_a_log_is_read_only(logged_in, operator, traffic, address):
    browser = logged_in(operator)

    assert browser.get(f"{address}add/").status_code == 403
    assert browser.post(address, {"action": "delete_selected", "_selected_action": "1"}).status_code in (200, 302, 403)
    assert Event.objects.count() == 4
