"""From a request at the door to a request at the vendor, and the rows in between."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
import responses
from django.db.models import F
from django.test import Client
from responses import matchers

from connectors import delivery, lanes
from integrations import book as books
from integrations import tasks
from integrations.models import Account, Destination, Mapping, Source
from logs.models import BookHour, Decision, Delivery, Event, Exchange, Hold, Queue, Waiting
from logs.models.event import verdicts_of
from logs.verdict import Cause, Held, Status, Verdict

pytestmark = pytest.mark.django_db

ANTAVO = "https://api.st1.antavo.com/v1/webhook/segment"
SEGMENT = "https://api.segment.io/v1/batch"
ORDER = {"type": "track", "event": "Order Completed", "userId": "u1", "properties": {"total": 12}}
CHECKOUT = {
    "customer": {"@path": "$.userId"},
    "action": "checkout",
    "data": {"points": {"@path": "$.properties.total"}},
}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """No bell: tests drain the lanes themselves."""
    monkeypatch.setattr(tasks, "bell", lambda ready: None)


@pytest.fixture
def send(shop):
    """send(event, …) → the door's answer to one batch of them."""

    def post(*events: dict) -> dict:
        basic = base64.b64encode(f"{shop.key}:".encode()).decode()
        body = json.dumps({"batch": [{"messageId": f"m-{n}", **event} for n, event in enumerate(events)]})
        response = Client().post("/v1/batch", body, "application/json", headers={"authorization": f"Basic {basic}"})
        assert response.status_code == 200
        return response.json()

    return post


@pytest.fixture
def deliver():
    """Drain every lane once, as workers would."""

    def run(stopping=lambda: False) -> None:
        for lane in Queue.objects.lanes():
            delivery.drain(lane, books.book, lanes.Pace(4), stopping)

    return run


@pytest.fixture
def come_due():
    """Let all waits pass."""

    def run() -> None:
        Waiting.objects.update(due=F("due") - timedelta(days=2))
        Waiting.objects.release()

    return run


@pytest.fixture
def checkout(make_mapping):
    return make_mapping("event", name="Checkouts", trigger='event = "Order Completed"', fields=CHECKOUT)


def sent(number: int = -1) -> dict:
    return json.loads(responses.calls[number].request.body)


def books_close(brand) -> bool:
    return BookHour.objects.balance(brand.pk).unaccounted == 0


@responses.activate
def test_an_order_becomes_a_loyalty_event(brand, checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})

    send(ORDER)
    deliver()

    assert sent() == {"customer": "u1", "action": "checkout", "data": {"points": 12}, "api_key": "s3cret"}
    attempt = Delivery.objects.get()
    assert (attempt.status, attempt.code, attempt.attempt, attempt.cause) == (Status.DELIVERED, 202, 1, Cause.FIRST)
    assert not Queue.objects.exists()
    assert books_close(brand)


@responses.activate
def test_the_log_never_holds_the_key(checkout, send, deliver):
    responses.post(ANTAVO, status=401, json={"error": {"message": "Bad key s3cret"}})

    send(ORDER)
    deliver()

    exchange = Exchange.objects.get()
    assert b"s3cret" not in exchange.sent + exchange.answer
    assert json.loads(exchange.sent)["api_key"] == "••••"
    assert "s3cret" not in Delivery.objects.get().error


@responses.activate
def test_events_of_a_segment_destination_travel_in_one_request(shop, make_segment, make_mapping, send, deliver):
    make_mapping("track", destination=make_segment(write_key="wk-1"))
    responses.post(
        SEGMENT,
        json={"success": True},
        match=[matchers.header_matcher({"Authorization": "Basic " + base64.b64encode(b"wk-1:").decode()})],
    )

    send(*[{**ORDER, "userId": f"u{n}"} for n in range(30)])
    deliver()

    assert len(responses.calls) == 1
    assert [event["userId"] for event in sent()["batch"]] == [f"u{n}" for n in range(30)]
    attempts = list(Delivery.objects.order_by("event"))
    assert [attempt.part for attempt in attempts] == list(range(30))
    assert {attempt.exchange for attempt in attempts} == {Exchange.objects.get().pk}


@responses.activate
def test_one_brand_has_any_number_of_accounts_of_one_vendor(brand, shop, make_mapping, send, deliver):
    """Two Segment workspaces in different regions and two Antavo stacks, each with its own key."""
    dublin = "https://events.eu1.segmentapis.com/v1/batch"
    hosts = {"oregon": SEGMENT, "dublin": dublin}
    for region in hosts:
        account = Account.objects.create_account(brand, "segment", region, {"region": region})
        source = Source.objects.create_segment(account, region, f"key-{region}")
        make_mapping("track", destination=Destination.objects.create_destination(account, region, source=source))
    for stack in ("st1", "st2"):
        account = Account.objects.create_account(brand, "antavo", stack, {"stack": stack, "api_key": f"key-{stack}"})
        destination = Destination.objects.create_destination(account, stack)
        make_mapping("event", destination=destination, trigger='type = "track"', fields=CHECKOUT)
    for url in hosts.values():
        responses.post(url, json={"success": True})
    for stack in ("st1", "st2"):
        responses.post(f"https://api.{stack}.antavo.com/v1/webhook/segment", status=202, json={})

    send(ORDER)
    deliver()

    keys = {
        call.request.url: call.request.headers.get("Authorization") or json.loads(call.request.body)["api_key"]
        for call in responses.calls
    }
    assert keys == {
        SEGMENT: "Basic " + base64.b64encode(b"key-oregon:").decode(),
        dublin: "Basic " + base64.b64encode(b"key-dublin:").decode(),
        "https://api.st1.antavo.com/v1/webhook/segment": "key-st1",
        "https://api.st2.antavo.com/v1/webhook/segment": "key-st2",
    }


@responses.activate
def test_every_attempt_has_the_same_key(make_segment, make_mapping, send, deliver, come_due):
    mapping = make_mapping("track", destination=make_segment())
    responses.post(SEGMENT, status=503)
    responses.post(SEGMENT, json={"success": True})

    send(ORDER)
    deliver()
    come_due()
    deliver()

    keys = [sent(number)["batch"][0]["messageId"] for number in range(2)]
    assert keys == [f"{Event.objects.get().pk}-{mapping.pk}"] * 2
    assert list(Delivery.objects.order_by("id").values_list("attempt", "cause", "status")) == [
        (1, Cause.FIRST, Status.AGAIN),
        (2, Cause.RETRY, Status.DELIVERED),
    ]


@pytest.mark.parametrize("status", [408, 423, 425, 429, 500, 502, 503, 504])
@responses.activate
def test_what_may_work_later_is_tried_again(brand, checkout, send, deliver, status):
    responses.post(ANTAVO, status=status)

    send(ORDER)
    deliver()

    assert Delivery.objects.get().status == Status.AGAIN
    assert Waiting.objects.get().attempts == 1
    assert books_close(brand)


@pytest.mark.parametrize("status", [301, 400, 404, 409, 413, 422, 501, 505, 511])
@responses.activate
def test_what_is_refused_for_good_fails_with_the_vendors_words(brand, checkout, send, deliver, status):
    responses.post(ANTAVO, status=status, json={"error": {"code": 0, "message": "We would rather not."}})

    send(ORDER)
    deliver()

    attempt = Delivery.objects.get()
    assert (attempt.status, attempt.fault, attempt.code) == (Status.FAILED, "Rejected", status)
    assert "We would rather not." in attempt.error
    assert not Waiting.objects.exists()
    assert books_close(brand)


@responses.activate
def test_an_event_that_lacks_a_required_field_fails_alone_and_is_not_sent(brand, checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})

    send(ORDER, {**ORDER, "userId": None, "anonymousId": "a1"})
    deliver()

    assert len(responses.calls) == 1
    failed = Delivery.objects.get(status=Status.FAILED)
    assert (failed.fault, failed.attempt, failed.exchange) == ("PayloadError", 0, None)
    assert "Customer ID" in failed.error or "customer" in failed.error
    assert books_close(brand)


@responses.activate
def test_an_event_older_than_the_schedule_is_given_up(brand, checkout, loyalty, send, deliver):
    responses.post(ANTAVO, status=503)
    type(loyalty).objects.filter(pk=loyalty.pk).update(retry_days=1, retry_waits="2 d")

    send(ORDER)
    deliver()

    assert Delivery.objects.get().status == Status.EXPIRED
    assert not Waiting.objects.exists()
    assert books_close(brand)


@responses.activate
def test_a_destination_that_is_off_is_passed_by_and_what_waits_is_kept(brand, checkout, loyalty, send, deliver):
    responses.post(ANTAVO, status=202, json={})
    send(ORDER)
    type(loyalty).objects.filter(pk=loyalty.pk).update(enabled=False)

    send({**ORDER, "messageId": "later"})
    deliver()

    assert len(responses.calls) == 0
    assert [set(v.values()) for v in verdicts_of(list(Event.objects.order_by("id"))).values()] == [
        {Verdict.MATCHED},
        {Verdict.DESTINATION_OFF},
    ]
    type(loyalty).objects.filter(pk=loyalty.pk).update(enabled=True)
    deliver()
    assert len(responses.calls) == 1
    assert books_close(brand)


@responses.activate
def test_a_mapping_that_is_switched_off_still_sends_what_already_waits(checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})
    send(ORDER)
    Mapping.objects.update(enabled=False)

    send({**ORDER, "messageId": "later"})
    deliver()

    assert len(responses.calls) == 1


@responses.activate
def test_a_source_that_is_off_answers_200_and_keeps_the_event(shop, checkout, send, deliver):
    type(shop).objects.filter(pk=shop.pk).update(enabled=False)

    send(ORDER)
    deliver()

    assert verdicts_of(list(Event.objects.all())) == {Event.objects.get().pk: {checkout.pk: Verdict.SOURCE_OFF}}
    assert len(responses.calls) == 0


@responses.activate
def test_a_retry_keeps_the_mapping_version_of_the_decision(checkout, send, deliver, come_due):
    responses.post(ANTAVO, status=503)
    responses.post(ANTAVO, status=202, json={})
    send(ORDER)
    deliver()

    checkout.fields = {**CHECKOUT, "action": "changed"}
    checkout.save()
    come_due()
    deliver()

    assert sent()["action"] == "checkout"


@responses.activate
def test_what_waits_for_a_deleted_mapping_is_cancelled_and_counted(brand, checkout, send, deliver):
    send(ORDER)
    Mapping.objects.update(version=None)
    checkout.delete()

    deliver()

    assert Delivery.objects.get().status == Status.CANCELLED
    assert BookHour.objects.balance(brand.pk).books["delivery"]["cancelled"] == 1
    assert books_close(brand)


@responses.activate
def test_what_waits_for_a_deleted_destination_is_cancelled_and_counted(brand, checkout, loyalty, send, deliver):
    send(ORDER)
    Mapping.objects.update(version=None)
    loyalty.delete()

    deliver()

    assert Delivery.objects.get().status == Status.CANCELLED
    assert books_close(brand)


def test_a_held_lane_sends_nothing(checkout, loyalty, brand, send, deliver, django_assert_num_queries):
    send(ORDER)
    Hold.objects.put(loyalty.pk, brand.pk, Held.PAUSED, "Because.")

    delivery.drain(loyalty.pk, books.book, lanes.Pace(4), lambda: False)

    assert Queue.objects.get().claims == 0


@responses.activate
def test_a_worker_that_stops_gives_back_what_it_has_not_sent(checkout, send):
    send(*[{**ORDER, "userId": f"u{n}"} for n in range(5)])
    responses.post(ANTAVO, status=202, json={})
    lane = Queue.objects.lanes()[0]

    delivery.drain(lane, books.book, lanes.Pace(4), lambda: len(responses.calls) == 2)

    assert len(responses.calls) == 2
    assert Queue.objects.filter(claims=0, lease=None).count() == 3


@responses.activate
def test_a_row_without_an_outcome_three_times_is_set_aside(brand, checkout, send, deliver):
    send(ORDER)
    Queue.objects.update(claims=3)

    deliver()

    assert len(responses.calls) == 0
    attempt = Delivery.objects.get()
    assert (attempt.status, attempt.fault) == (Status.QUARANTINED, "Quarantined")
    assert books_close(brand)


@responses.activate
def test_a_bug_in_one_event_spares_its_siblings(checkout, send, deliver):
    def answer(request):
        if json.loads(request.body)["customer"] == "u1":
            raise RuntimeError("a bug")
        return 202, {}, "{}"

    responses.add_callback(responses.POST, ANTAVO, callback=answer)

    send(*[{**ORDER, "userId": f"u{n}"} for n in range(3)])
    deliver()

    assert sorted(Delivery.objects.values_list("status", flat=True)) == [
        Status.DELIVERED,
        Status.DELIVERED,
        Status.FAILED,
    ]
    assert Delivery.objects.get(status=Status.FAILED).fault == "Broken"


@responses.activate
def test_an_event_that_cannot_be_decided_is_kept_and_decided_later(brand, checkout, send, deliver, monkeypatch):
    responses.post(ANTAVO, status=202, json={})
    whole = books.rules_at

    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr("integrations.doors.intake.rules_at", broken)
    send(ORDER)
    assert BookHour.objects.balance(brand.pk).books["routing"]["undecided"] == 1
    assert books_close(brand)

    monkeypatch.setattr("integrations.book.rules_at", broken)
    deliver()
    assert Waiting.objects.get().attempts == 1

    monkeypatch.setattr("integrations.book.rules_at", whole)
    Waiting.objects.update(due=F("due") - timedelta(days=1))
    Waiting.objects.release()
    deliver()
    deliver()

    assert sent()["action"] == "checkout"
    assert set(Decision.objects.values_list("id", flat=True)) == {Event.objects.get().pk}
    assert verdicts_of(list(Event.objects.all())) == {Event.objects.get().pk: {checkout.pk: Verdict.MATCHED}}
    assert BookHour.objects.balance(brand.pk).books["routing"]["undecided"] == 0
    assert books_close(brand)


@responses.activate
def test_a_made_value_is_the_same_on_every_attempt(make_segment, make_mapping, send, deliver, come_due):
    fields = {"event": "Seen", "anonymousId": {"@random": "uuid"}}
    make_mapping("track", destination=make_segment(), fields=fields)
    responses.post(SEGMENT, status=503)
    responses.post(SEGMENT, json={"success": True})

    send(ORDER, {**ORDER, "event": "Other"})
    deliver()
    come_due()
    deliver()

    first, second = ([event["anonymousId"] for event in sent(number)["batch"]] for number in range(2))
    assert first == second
    assert len(set(first)) == 2


@responses.activate
def test_the_event_that_is_sent_is_the_event_that_was_decided(checkout, send, deliver):
    """Batch-level context and corrected times are the same when the stored bytes are read again."""
    send(ORDER)

    [event] = delivery.stored_events([Event.objects.get().pk]).values()

    assert (event["type"], event["event"], event["messageId"]) == ("track", "Order Completed", "m-0")
    assert event["receivedAt"] == event["timestamp"]


@responses.activate
def test_queries_do_not_grow_with_the_batch(make_segment, make_mapping, send, deliver, django_assert_max_num_queries):
    make_mapping("track", destination=make_segment())
    responses.post(SEGMENT, json={"success": True})
    send(ORDER)
    deliver()

    counts = []
    for size in (2, 100):
        with django_assert_max_num_queries(40) as door:
            send(*[{**ORDER, "messageId": f"{size}-{n}"} for n in range(size)])
        with django_assert_max_num_queries(40) as way_out:
            deliver()
        counts.append((len(door), len(way_out)))

    assert counts[0] == counts[1]
    assert counts[0][0] == 2


@responses.activate
def test_renaming_changes_labels_only(brand, shop, loyalty, checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})
    for number, thing in enumerate((brand, shop, loyalty, loyalty.account, checkout)):
        thing.name = f"Renamed {number}"
        thing.save()

    send(ORDER)
    deliver()

    assert Delivery.objects.get().status == Status.DELIVERED
