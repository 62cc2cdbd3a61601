"""Stop, pause, holds and limits: what waits, for whom, and that nothing is lost or spent meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import responses
from requests.exceptions import ConnectionError

from connectors import delivery, lanes
from connectors.definitions import Limit
from integrations import book as books
from integrations import holds
from integrations.models import Mapping, Source
from logs.models import BookHour, CustomerState, Delivery, Event, Exchange, Hold, Queue, RequestBody, Turn, Waiting
from logs.verdict import Cause, Held, Status
from tests.integrations.conftest import ANTAVO, CHECKOUT

pytestmark = pytest.mark.django_db

SEGMENT = "https://api.segment.io/v1/batch"
WORKSPACE = {"data": {"workspace": {"id": "w", "slug": "acme", "name": "Acme"}}}
SOURCES = {"data": {"sources": [], "pagination": {"current": "MA=="}}}


def books_close(brand) -> bool:
    return BookHour.objects.balance(brand.pk).unaccounted == 0


def delivered() -> int:
    return Delivery.objects.filter(status=Status.DELIVERED).count()


@responses.activate
def test_a_failing_vendor_opens_the_breaker_and_no_more_attempts_are_spent(brand, checkout, loyalty, send, deliver):
    vendor = responses.post(ANTAVO, status=503)

    send(40)
    deliver()

    assert vendor.call_count == lanes.ENOUGH
    hold = Hold.objects.get()
    assert (hold.lane, hold.kind) == (loyalty.pk, Held.BREAKER)
    assert "answered 503" in hold.reason
    deliver()
    assert vendor.call_count == lanes.ENOUGH
    assert Queue.objects.filter(claims=0, attempts=0).count() == 30
    assert BookHour.objects.balance(brand.pk).books["delivery"]["held"] == 30


@responses.activate
def test_an_open_breaker_is_probed_with_one_and_a_failed_probe_spends_no_attempt(
    checkout, loyalty, send, deliver, pass_time
):
    vendor = responses.post(ANTAVO, status=503)
    send(40)
    deliver()

    pass_time(seconds=31)
    Waiting.objects.all().delete()
    deliver()

    assert vendor.call_count == lanes.ENOUGH + 1
    probe = Waiting.objects.get()
    assert (probe.attempts, probe.cause) == (0, Cause.PROBE)
    assert Hold.objects.get().level == 1


@responses.activate
def test_a_breaker_closes_step_by_step_when_the_vendor_works_again(brand, checkout, loyalty, send, deliver, pass_time):
    responses.post(ANTAVO, status=503)
    send(40)
    deliver()
    responses.replace(responses.POST, ANTAVO, status=202, json={})

    ramps = []
    for _ in range(3):
        pass_time(seconds=31)
        deliver()
        ramps.append((delivered(), *Hold.objects.values_list("ramp", flat=True)))

    assert ramps == [(1, 2), (3, 4), (4,)] or ramps[0] == (1, 2)
    pass_time(days=1)
    deliver()
    assert delivered() == 40
    assert not Hold.objects.exists()
    assert books_close(brand)


@responses.activate
def test_a_vendor_that_asks_for_time_is_given_it(checkout, loyalty, send, deliver, pass_time):
    vendor = responses.post(ANTAVO, status=429, headers={"Retry-After": "120"})
    send(5)

    deliver()
    pass_time(seconds=100)
    deliver()

    assert vendor.call_count == 1


@responses.activate
def test_bad_credentials_hold_the_lane_until_they_work(brand, make_segment, make_mapping, send, deliver, pass_time):
    destination = make_segment()
    destination.account.write_settings({"region": "oregon", "token": "t0ken"})
    make_mapping("track", destination=destination)
    batches = responses.post(SEGMENT, status=401)
    workspace = responses.get("https://api.segmentapis.com/", status=401, json={"errors": [{"message": "no"}]})

    send(3)
    deliver()
    deliver()

    assert batches.call_count == 1
    assert Hold.objects.get().kind == Held.CREDENTIALS
    assert set(Waiting.objects.values_list("attempts", flat=True)) == {0}

    pass_time(seconds=61)
    deliver()
    assert (batches.call_count, workspace.call_count) == (1, 2)

    responses.replace(responses.GET, "https://api.segmentapis.com/", json=WORKSPACE)
    responses.get("https://api.segmentapis.com/sources", json=SOURCES)
    responses.replace(responses.POST, SEGMENT, json={"success": True})
    pass_time(seconds=600)
    deliver()
    assert not Hold.objects.exists()
    assert delivered() == 3
    assert books_close(brand)


@responses.activate
def test_a_refusal_with_good_credentials_fails_that_row_only(make_segment, make_mapping, send, deliver):
    destination = make_segment()
    destination.account.write_settings({"region": "oregon", "token": "t0ken"})
    make_mapping("track", destination=destination)
    responses.post(SEGMENT, status=403)
    responses.get("https://api.segmentapis.com/", json=WORKSPACE)
    responses.get("https://api.segmentapis.com/sources", json=SOURCES)

    send(1)
    deliver()

    assert Delivery.objects.get().status == Status.FAILED
    assert "credentials are good" in Delivery.objects.get().error
    assert not Hold.objects.exists()


@responses.activate
def test_a_receiver_that_is_gone_holds_its_lane_until_a_person_acts(brand, checkout, loyalty, send, deliver, pass_time):
    vendor = responses.post(ANTAVO, status=410)

    send(3)
    deliver()
    pass_time(days=3)
    deliver()

    assert vendor.call_count == 1
    assert Hold.objects.get().kind == Held.GONE
    Hold.objects.lift(loyalty.pk, Held.GONE)
    responses.replace(responses.POST, ANTAVO, status=202, json={})
    deliver()
    assert delivered() == 3
    assert books_close(brand)


@responses.activate
def test_a_stopped_brand_sends_nothing_and_loses_nothing(brand, checkout, send, deliver):
    vendor = responses.post(ANTAVO, status=202, json={})
    Hold.objects.put(brand.pk, brand.pk, Held.STOPPED, "Wrong mapping.", who="alice")

    send(5)
    deliver()
    assert vendor.call_count == 0
    assert BookHour.objects.balance(brand.pk).books["delivery"]["held"] == 5

    Hold.objects.lift(brand.pk, Held.STOPPED)
    deliver()
    assert delivered() == 5
    assert books_close(brand)


@responses.activate
def test_a_brand_that_is_stopped_under_way_stops_within_the_next_looks(brand, checkout, send, deliver, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_AGAIN", 0.0)
    seen = []

    def answer(request):
        seen.append(request)
        if len(seen) == 2:
            Hold.objects.put(brand.pk, brand.pk, Held.STOPPED, "Stop.")
        return 202, {}, "{}"

    responses.add_callback(responses.POST, ANTAVO, callback=answer)
    send(5)
    deliver()

    assert len(seen) == 2
    assert Queue.objects.filter(claims=0, lease=None).count() == 3


@pytest.mark.parametrize("model", [Mapping, Source])
@responses.activate
def test_what_a_paused_mapping_or_source_would_send_waits(brand, checkout, send, deliver, model):
    vendor = responses.post(ANTAVO, status=202, json={})
    model.objects.update(paused=True)

    send(4)
    deliver()

    assert vendor.call_count == 0
    assert Waiting.objects.filter(hold__in=(Held.MAPPING_PAUSED, Held.SOURCE_PAUSED), attempts=0).count() == 4
    assert not Delivery.objects.exists()
    model.objects.update(paused=False)
    holds.resume()
    deliver()
    assert delivered() == 4
    assert set(Delivery.objects.values_list("cause", flat=True)) == {Cause.AFTER_PAUSE}
    assert books_close(brand)


@responses.activate
def test_what_is_too_old_for_its_mapping_is_not_sent(brand, checkout, send, deliver):
    Mapping.objects.update(max_age=timedelta(microseconds=1))

    send(2)
    deliver()

    assert set(Delivery.objects.values_list("status", "fault")) == {(Status.EXPIRED, "TooOld")}
    assert len(responses.calls) == 0
    assert books_close(brand)


@responses.activate
def test_a_mapping_sends_no_more_than_its_limit_in_an_hour(brand, checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})
    Mapping.objects.update(hourly_limit=3)

    send(2)
    deliver()
    send(5)
    deliver()

    assert delivered() == 3
    assert Waiting.objects.filter(hold=Held.OVER_LIMIT).count() == 4
    assert books_close(brand)


@responses.activate
def test_a_customer_gets_one_in_so_many_days(brand, checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})
    Mapping.objects.update(once_days=7)

    send(2)
    send(2)
    deliver()
    send(3)
    deliver()

    assert delivered() == 3
    assert Waiting.objects.filter(hold=Held.ONCE).count() == 4
    assert books_close(brand)


@responses.activate
def test_a_first_run_waits_for_go_on(brand, checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})
    checkout.first_run = 2
    checkout.save()

    send(5)
    deliver()
    assert delivered() == 2
    assert Waiting.objects.filter(hold=Held.FIRST_RUN).count() == 3

    checkout.first_run = None
    checkout.save()
    holds.resume()
    deliver()
    assert delivered() == 5
    assert books_close(brand)


IDENTIFY = {"type": "identify", "userId": "u1"}


@pytest.fixture
def profile(make_segment, make_mapping):
    return make_mapping("identify", destination=make_segment())


def identify(send, at: str, plan: str) -> None:
    send(**IDENTIFY, timestamp=at, traits={"plan": plan})


@responses.activate
def test_an_older_update_never_overwrites_a_newer_one(brand, profile, send, deliver, pass_time):
    responses.post(SEGMENT, status=503)
    identify(send, "2026-01-01T00:00:00Z", "old")
    deliver()
    responses.replace(responses.POST, SEGMENT, json={"success": True})
    identify(send, "2026-01-02T00:00:00Z", "new")
    deliver()

    pass_time(days=1)
    deliver()

    sent = [json.loads(Exchange.objects.get(pk=x).sent)["batch"] for x in Exchange.objects.values_list("pk", flat=True)]
    assert [event["traits"]["plan"] for batch in sent for event in batch] == ["old", "new"]
    last = Delivery.objects.order_by("id").last()
    assert (last.status, last.attempt) == (Status.SUPERSEDED, 1)
    assert books_close(brand)


@responses.activate
def test_an_older_update_waits_until_the_fate_of_a_newer_one_is_known(brand, profile, send, deliver, pass_time):
    """A worker may die between the vendor's 200 and our record of it; the vendor then drops the repetition."""
    responses.post(SEGMENT, body=ConnectionError("reset after it was taken in"))
    identify(send, "2026-01-02T00:00:00Z", "new")
    deliver()
    responses.replace(responses.POST, SEGMENT, json={"success": True})
    identify(send, "2026-01-01T00:00:00Z", "old")

    deliver()
    assert delivered() == 0
    pass_time(seconds=7)
    deliver()
    pass_time(seconds=20)
    deliver()

    assert delivered() == 1
    assert Delivery.objects.filter(status=Status.SUPERSEDED).count() == 1
    assert books_close(brand)


@responses.activate
def test_an_older_update_goes_when_the_newer_one_failed_for_good(brand, profile, send, deliver, pass_time):
    responses.post(SEGMENT, body=ConnectionError("reset"))
    identify(send, "2026-01-02T00:00:00Z", "new")
    deliver()
    identify(send, "2026-01-01T00:00:00Z", "old")
    deliver()
    responses.replace(responses.POST, SEGMENT, status=400)
    pass_time(seconds=7)
    deliver()
    responses.replace(responses.POST, SEGMENT, json={"success": True})
    pass_time(seconds=20)
    deliver()

    assert list(Delivery.objects.order_by("id").values_list("status", flat=True)) == [
        Status.AGAIN,
        Status.FAILED,
        Status.DELIVERED,
    ]
    assert books_close(brand)


@responses.activate
def test_updates_in_order_are_all_sent_the_oldest_first(profile, send, deliver):
    responses.post(SEGMENT, json={"success": True})
    identify(send, "2026-01-02T00:00:00Z", "second")
    identify(send, "2026-01-01T00:00:00Z", "first")

    deliver()

    batch = json.loads(Exchange.objects.get().sent)["batch"]
    assert [event["traits"]["plan"] for event in batch] == ["first", "second"]


@responses.activate
def test_two_workers_never_update_the_same_customer_at_once(profile, send, deliver, pass_time):
    responses.post(SEGMENT, json={"success": True})
    identify(send, "2026-01-01T00:00:00Z", "first")
    lane = Queue.objects.lanes()[0]
    elsewhere = Queue.objects.claim(lane, 10, token=1, lease=30)
    row = elsewhere[0]
    CustomerState.objects.occupy([(row.mapping, row.customer)], 1, 30)
    identify(send, "2026-01-02T00:00:00Z", "second")

    deliver()
    assert delivered() == 0
    assert Waiting.objects.get().attempts == 0

    CustomerState.objects.leave(1, [(row.mapping, row.customer)])
    Queue.objects.give_back(lane, elsewhere, 1)
    pass_time(seconds=2)
    deliver()
    assert delivered() == 2


@responses.activate
def test_strict_order_waits_for_the_customers_earlier_event(brand, checkout, send, deliver, pass_time):
    Mapping.objects.update(ordered=True)
    seen = []

    def answer(request):
        order = json.loads(request.body)["data"]["n"]
        seen.append(order)
        return (503 if seen.count(order) == 1 and order == 1 else 202), {}, "{}"

    responses.add_callback(responses.POST, ANTAVO, callback=answer)
    for n in (1, 2, 3):
        send(userId="u1", properties={"n": n})
    send(userId="u2", properties={"n": 10})

    deliver()
    assert seen == [1, 10]
    for _ in range(4):
        pass_time(seconds=10)
        deliver()

    assert seen == [1, 10, 1, 2, 3]
    assert books_close(brand)


@responses.activate
def test_strict_order_holds_between_workers(brand, checkout, loyalty, send, deliver, pass_time):
    Mapping.objects.update(ordered=True)
    vendor = responses.post(ANTAVO, status=202, json={})
    send(userId="u1")
    elsewhere = Queue.objects.claim(loyalty.pk, 10, token=1, lease=30)
    send(userId="u1")

    deliver()
    assert vendor.call_count == 0
    assert Waiting.objects.get().attempts == 0

    Queue.objects.give_back(loyalty.pk, elsewhere, 1)
    pass_time(seconds=2)
    deliver()
    assert list(Delivery.objects.order_by("id").values_list("event", flat=True)) == list(
        Event.objects.order_by("id").values_list("id", flat=True)
    )
    assert not Turn.objects.exists()
    assert books_close(brand)


@responses.activate
def test_the_accounts_limits_are_kept_and_nothing_is_claimed_beyond(loyalty, checkout, send, pace, monkeypatch):
    vendor = responses.post(ANTAVO, status=202, json={})
    whole = books.book.lane
    limit = Limit("requests", "Requests", per_minute=30)
    monkeypatch.setattr(books.book, "lane", lambda id: replace(whole(id), limits=(limit,)), raising=False)

    send(20)
    more = delivery.drain(loyalty.pk, books.book, pace, lambda: False)

    assert vendor.call_count == 3
    assert Queue.objects.filter(claims=0).count() == 17
    assert not more, "it would be rung for at once, though only time gives it more tokens"


@pytest.fixture
def notice(brand):
    """The one thing that is held."""

    def get() -> holds.Notice:
        [found] = holds.notices([brand.pk])
        return found

    return get


@responses.activate
def test_what_waits_for_a_paused_destination_is_let_go_the_newest_first(
    brand, checkout, loyalty, send, deliver, notice
):
    responses.post(ANTAVO, status=202, json={})
    Hold.objects.put(loyalty.pk, brand.pk, Held.PAUSED, "", who="alice")
    send(3)
    assert notice().sentence == "3 wait for Loyalty: the destination is paused, by alice."
    assert notice().verbs == ("let_go", "decide_again", "discard")

    assert holds.let_go(loyalty.pk, 0, Held.PAUSED, newest_first=True) == holds.Done(3)
    send(1)
    deliver()

    assert [json.loads(call.request.body)["customer"] for call in responses.calls] == ["u2", "u1", "u0"]
    assert notice().count == 1
    assert books_close(brand)


@responses.activate
def test_what_waits_is_decided_again_by_todays_mapping(brand, checkout, loyalty, send, deliver, notice):
    responses.post(ANTAVO, status=202, json={})
    checkout.paused = True
    checkout.save()
    send(2)
    send(1, properties={"gift": True})
    deliver()
    checkout.trigger = 'event = "Order" and properties.gift = true'
    checkout.fields = {**CHECKOUT, "action": "gift"}
    checkout.paused = False
    checkout.save()

    done = holds.decide_again(loyalty.pk, checkout.pk, Held.MAPPING_PAUSED)
    deliver()

    assert done == holds.Done(3)
    assert [json.loads(call.request.body)["action"] for call in responses.calls] == ["gift"]
    assert Delivery.objects.filter(status=Status.CANCELLED).count() == 2
    assert Delivery.objects.get(status=Status.DELIVERED).cause == Cause.DECIDED_AGAIN
    assert books_close(brand)


def test_a_verb_says_to_how_many_it_does_not_apply_and_why(brand, checkout, loyalty, send, deliver):
    checkout.paused = True
    checkout.save()
    send(2)
    deliver()
    RequestBody.objects.all().delete()

    done = holds.decide_again(loyalty.pk, checkout.pk, Held.MAPPING_PAUSED)

    assert done == holds.Done(0, (("its body is no longer stored", 2),))
    assert Waiting.objects.filter(hold=Held.MAPPING_PAUSED).count() == 2


def test_what_is_discarded_stays_in_the_books_with_its_reason(brand, checkout, loyalty, send, deliver):
    type(loyalty).objects.filter(pk=loyalty.pk).update(enabled=True)
    send(3)
    type(loyalty).objects.filter(pk=loyalty.pk).update(enabled=False)

    assert holds.discard(loyalty.pk, 0, Held.OFF, "sent by mistake") == holds.Done(3)

    assert set(Delivery.objects.values_list("status", "error")) == {(Status.DISCARDED, "Discarded: sent by mistake")}
    assert BookHour.objects.balance(brand.pk).books["delivery"]["discarded"] == 3
    assert books_close(brand)


def test_what_a_vendor_holds_is_not_let_go_before_it_works(brand, checkout, loyalty, send, notice):
    Hold.objects.put(loyalty.pk, brand.pk, Held.CREDENTIALS, "API key refused.")
    send(2)

    assert notice().verbs == ("decide_again", "discard")
    assert notice().remedy.label == "Replace the credentials"
    assert notice().too_late - notice().oldest == timedelta(days=14)
