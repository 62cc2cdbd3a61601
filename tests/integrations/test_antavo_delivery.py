"""What the settings of an account and a destination say reaches the delivery, and what Antavo says reaches the log."""

from __future__ import annotations

import json

import pytest
import responses
from django.core.exceptions import ValidationError
from requests import ConnectionError as Broken

from logs.models import Delivery
from logs.verdict import Status

pytestmark = pytest.mark.django_db

WEBHOOK = "https://api.st1.antavo.com/v1/webhook/segment"
EVENTS, BULK = "https://api.st1.antavo.com/events", "https://api.st1.antavo.com/events/bulk"
POINTS = {"customer": {"@path": "$.userId"}, "action": "point_add", "data": {"@path": "$.properties"}}


@pytest.fixture
def loyalty(make_account, make_destination):
    """loyalty(path="native"), or with other settings of account or destination."""
    destination = make_destination()

    def configure(account: dict | None = None, **settings):
        destination.account.write_settings(destination.account.settings | (account or {}))
        destination.write_settings(destination.settings | settings)
        return destination

    configure()
    return configure


@pytest.fixture
def make_points(shop, make_mapping):
    def make(destination, **fields):
        return make_mapping(
            "event", destination=destination, trigger='type = "track"', fields=POINTS | fields, source=shop
        )

    return make


@responses.activate
def test_events_travel_together_and_each_has_its_own_line_in_the_log(loyalty, make_points, send, deliver):
    make_points(loyalty(path="native"))
    taken = {"error": {"type": "T", "code": 5003, "message": "Known"}}
    refused = {"error": {"type": "T", "code": 160212, "message": "Who?"}}
    responses.post(BULK, json={"results": [{"events": []}, taken, refused], "total": 3, "errors": 2})

    send(3)
    deliver()

    attempts = Delivery.objects.order_by("event")
    assert len(responses.calls) == 1
    assert [(a.status, a.part, a.fault) for a in attempts] == [
        (Status.DELIVERED, 0, ""),
        (Status.DELIVERED, 1, ""),
        (Status.FAILED, 2, "Rejected"),
    ]
    assert [a.error for a in attempts[:2]] == [
        "",
        "Antavo has booked this transaction_id before, so nothing was booked twice (5003).",
    ]


@responses.activate
def test_an_external_id_is_sent_and_one_that_is_missing_is_told(loyalty, make_points, send, deliver):
    make_points(loyalty({"customer_id": "external", "customer_attribute": "card"}, path="native"))
    responses.post(EVENTS, json={})

    send(properties={"card": "4711"})
    send(properties={})
    deliver()

    attempts = Delivery.objects.order_by("event")
    assert [json.loads(call.request.body) for call in responses.calls] == [
        {"customer": "4711", "action": "point_add", "data": {"card": "4711"}, "external_id": "card"}
    ]
    assert [(a.status, a.fault) for a in attempts] == [(Status.DELIVERED, ""), (Status.FAILED, "PayloadError")]
    assert attempts[1].error.startswith("Customer ID: the event has no card in its traits")


@responses.activate
def test_without_an_account_nothing_leaves_where_accounts_are_many(loyalty, make_points, send, deliver):
    make_points(loyalty(multi_accounts=True), account={"@path": "$.properties.account"})
    responses.post(WEBHOOK, status=202)

    send(properties={})
    send(properties={"account": "club"})
    deliver()

    attempts = Delivery.objects.order_by("event")
    assert [json.loads(call.request.body)["account"] for call in responses.calls] == ["club"]
    assert (attempts[0].status, attempts[0].error) == (
        Status.FAILED,
        "The root value is missing the required field 'account'.",
    )


def test_a_mapping_without_an_account_is_not_switched_on_where_accounts_are_many(loyalty, make_points):
    with pytest.raises(ValidationError, match="Required and not mapped yet: Account"):
        make_points(loyalty(multi_accounts=True))


@responses.activate
def test_an_attempt_of_unknown_outcome_says_so_and_is_made_again(loyalty, make_points, send, deliver):
    make_points(loyalty(path="native"))
    responses.post(EVENTS, body=Broken("reset"))

    send()
    deliver()

    attempt = Delivery.objects.get()
    assert (attempt.status, attempt.fault) == (Status.AGAIN, "NoAnswer")
    assert "Outcome unknown: Antavo may have booked the event" in attempt.error
