"""The reins in the admin: what is held is told, and stopped, paused, let go and discarded by whoever may."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import responses
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connectors import registry
from connectors.definitions import Limit
from integrations import holds
from integrations.models import Account, AuditEntry, Destination, Mapping, Membership, Source
from logs.models import BookHour, Delivery, Event, Hold, Queue, RequestBody, Waiting
from logs.verdict import Cause, Held, Status
from tests.integrations.conftest import ANTAVO

pytestmark = pytest.mark.django_db

REASON = "Wrong prices."
PEOPLE = ["alice", "mike", "bob", "mallory"]


def url(thing, page: str = "change", *more) -> str:
    return reverse(f"admin:integrations_{thing._meta.model_name}_{page}", args=[thing.pk, *more])


def text(response) -> str:
    return response.content.decode()


def said(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def told(response) -> list[tuple[str, str, list[str]]]:
    """Each notice of a page: its sentence, its remedy and its verbs."""
    return [
        (s.notice.sentence, s.remedy.label if s.remedy else "", [verb.label for verb in s.verbs])
        for s in response.context["notices"]
    ]


@pytest.fixture
def browser(logged_in, alice):
    """Where the brand's administrator is."""
    return logged_in(alice)


@pytest.fixture
def paused(brand, loyalty, checkout, send):
    """Loyalty, paused by alice, with three orders waiting for it."""
    Hold.objects.put(loyalty.pk, brand.pk, Held.PAUSED, REASON, who="alice")
    send(3)
    return loyalty


@pytest.fixture
def limited(monkeypatch):
    """limited(300): Antavo would take no more than so many requests a minute; limited() as many as one likes."""

    def limit(*per_minute: int) -> None:
        limits = tuple(Limit("requests", "API requests", n) for n in per_minute)
        antavo = replace(registry.get_destination("antavo"), limits=limits)
        monkeypatch.setattr(registry, "destinations", lambda: {"antavo": antavo})

    return limit


# Telling


def test_the_home_page_says_that_nothing_is_held(browser, loyalty):
    page = browser.get("/admin/")

    assert "Nothing is held." in text(page)


def test_the_home_page_tells_what_is_held_its_age_its_end_and_its_remedy(browser, paused):
    page = browser.get("/admin/")

    sentence = "3 wait for Loyalty: the destination is paused, by alice. Wrong prices."
    assert told(page) == [(sentence, "Resume", ["Let go", "Decide again", "Discard"])]
    assert "The oldest came 0\xa0minutes ago; the first becomes too old on" in text(page)
    assert f'href="{url(paused)}"' in text(page)


def test_the_same_is_told_where_it_concerns_and_nowhere_else(browser, paused, checkout, brand, shop, make_destination):
    elsewhere = make_destination("Elsewhere")

    pages = {thing: browser.get(url(thing)) for thing in (brand, paused, checkout, elsewhere, shop)}

    assert [len(told(page)) for page in pages.values()] == [1, 1, 1, 0, 0]
    assert told(pages[paused])[0][1] == ""
    assert told(pages[checkout])[0][1] == "Resume"


def test_the_first_too_old_is_the_one_of_the_strictest_mapping(brand, paused, checkout):
    Mapping.objects.update(max_age=timedelta(hours=2))

    [notice] = holds.notices([brand.pk])

    assert notice.too_late - notice.oldest == timedelta(hours=2)


@pytest.mark.parametrize(
    ("change", "sentence", "remedy"),
    [
        ({"paused": True}, "3 wait of Checkouts: the mapping is paused.", "Resume"),
        ({"first_run": 1}, "2 wait of Checkouts: the mapping's first run is over and waits for “go on”.", "Go on"),
    ],
)
@responses.activate
def test_what_a_mapping_holds_is_told_with_its_own_remedy(browser, checkout, send, deliver, change, sentence, remedy):
    responses.post(ANTAVO, status=202, json={})
    for name, value in change.items():
        setattr(checkout, name, value)
    checkout.save()

    send(3)
    deliver()

    assert told(browser.get("/admin/")) == [(sentence, remedy, ["Let go", "Decide again", "Discard"])]


def test_what_waits_for_a_paused_source_leads_to_the_source(browser, shop, checkout, send, deliver):
    Source.objects.update(paused=True)
    send(1)
    deliver()

    assert told(browser.get("/admin/"))[0][:2] == ("1 waits of Checkouts: the source is paused.", "Resume the source")
    assert len(told(browser.get(url(shop)))) == 1


def test_a_member_who_may_not_replace_shared_credentials_is_led_to_the_destination(
    logged_in, mike, alice, brand, loyalty
):
    Hold.objects.put(loyalty.pk, brand.pk, Held.CREDENTIALS, "API key refused.")

    pages = [logged_in(person).get("/admin/") for person in (alice, mike)]

    assert [told(page)[0][1] for page in pages] == ["Replace the credentials", "Choose another account"]


def test_holds_of_another_brand_are_not_told(logged_in, mallory, paused):
    assert told(logged_in(mallory).get("/admin/")) == []


def test_whoever_sees_two_brands_is_told_which_is_meant(logged_in, bob, other_brand, paused):
    Membership.objects.create(user=bob, brand=other_brand, role="viewer")

    page = logged_in(bob).get("/admin/")

    assert [shown.brand for shown in page.context["notices"]] == ["Acme"]


def test_viewers_are_told_and_offered_nothing(logged_in, bob, paused, checkout, brand, shop):
    pages = [logged_in(bob).get(page) for page in ("/admin/", *(url(thing) for thing in (brand, paused, checkout)))]

    assert [told(page)[0][1:] for page in pages] == [("", [])] * 4
    for page in pages[1:]:
        assert [word for word in ("/stop/", "/pause/", "/resume/", "/switch/", "/held/") if word in text(page)] == []


def test_telling_asks_no_more_for_many_than_for_few(browser, brand, paused, make_destination, make_mapping):
    few = len(_asked(browser))
    for n in range(10):
        destination = make_destination(f"D{n}", account=paused.account)
        make_mapping(name=f"M{n}", destination=destination)
        Hold.objects.put(destination.pk, brand.pk, Held.PAUSED, REASON, who="alice")

    assert len(_asked(browser)) == few


def _asked(browser) -> list:
    with CaptureQueriesContext(connection) as asked:
        browser.get("/admin/")
    return asked.captured_queries


# Stop and pause


def test_an_administrator_stops_a_brand_and_starts_it_again(browser, brand, alice):
    stopped = browser.post(url(brand, "stop"), {"reason": REASON}, follow=True)

    hold = Hold.objects.get()
    assert (hold.lane, hold.brand, hold.kind, hold.reason, hold.who) == (
        brand.pk,
        brand.pk,
        Held.STOPPED,
        REASON,
        "alice",
    )
    assert said(stopped) == ["Everything of Acme is stopped: nothing more is sent within five seconds."]
    assert told(stopped) == [("Nothing waits: everything of this brand is stopped, by alice. Wrong prices.", "", [])]

    browser.post(url(brand, "start"))
    assert not Hold.objects.exists()
    assert list(AuditEntry.objects.values_list("user", "action", "object_kind", "object_label", "reason")) == [
        (alice.pk, "started again", "brand", "Acme", ""),
        (alice.pk, "stopped everything", "brand", "Acme", REASON),
    ]


@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nothing_is_stopped_or_paused(browser, brand, loyalty, reason):
    presses = [url(brand, "stop"), url(loyalty, "pause")]

    answers = [browser.post(press, {"reason": reason}, follow=True) for press in presses]

    assert [said(answer) for answer in answers] == [["Nothing was done: say why, so that the others understand."]] * 2
    assert not Hold.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_destination_is_paused_with_a_reason_and_resumed(browser, brand, loyalty):
    browser.post(url(loyalty, "pause"), {"reason": REASON})

    hold = Hold.objects.get()
    assert (hold.lane, hold.brand, hold.kind, hold.reason, hold.who) == (
        loyalty.pk,
        brand.pk,
        Held.PAUSED,
        REASON,
        "alice",
    )
    assert "This destination is <strong>paused</strong>" in text(browser.get(url(loyalty)))

    browser.post(url(loyalty, "resume"))
    assert not Hold.objects.exists()
    assert list(AuditEntry.objects.values_list("action", "reason")) == [("resumed", ""), ("paused", REASON)]


def test_resuming_sends_to_a_receiver_that_was_gone(browser, brand, loyalty):
    Hold.objects.put(loyalty.pk, brand.pk, Held.GONE, "410")

    page = browser.get(url(loyalty))
    browser.post(url(loyalty, "resume"))

    assert url(loyalty, "resume") in text(page)
    assert not Hold.objects.exists()


@pytest.mark.parametrize("of", ["checkout", "shop"])
def test_a_mapping_and_a_source_are_paused_and_resumed(browser, checkout, shop, of):
    thing = {"checkout": checkout, "shop": shop}[of]

    browser.post(url(thing, "pause"))
    thing.refresh_from_db()
    assert thing.paused is True

    browser.post(url(thing, "resume"))
    thing.refresh_from_db()
    assert thing.paused is False
    assert list(AuditEntry.objects.values_list("action", "object_id")) == [("resumed", thing.pk), ("paused", thing.pk)]


@responses.activate
def test_go_on_ends_a_first_run_and_sends_what_waited(browser, checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})
    checkout.first_run = 1
    checkout.save()
    send(3)
    deliver()

    browser.post(url(checkout, "go_on"))
    holds.resume()
    deliver()

    checkout.refresh_from_db()
    assert (checkout.first_run, checkout.first_run_since) == (None, None)
    assert Delivery.objects.filter(status=Status.DELIVERED).count() == 3


@pytest.mark.parametrize("person", PEOPLE)
def test_who_may_press_what(person, request, logged_in, brand, loyalty, checkout, shop):
    browser = logged_in(request.getfixturevalue(person))
    presses = [
        (brand, "stop"),
        (brand, "start"),
        *((loyalty, verb) for verb in ("pause", "resume")),
        *((checkout, verb) for verb in ("pause", "resume", "go_on")),
        *((shop, verb) for verb in ("pause", "resume")),
    ]

    answers = [browser.post(url(thing, verb), {"reason": REASON}).status_code for thing, verb in presses]

    allowed = {"alice": [302] * 9, "mike": [403] * 2 + [302] * 7}
    assert answers == allowed.get(person, [403] * 9)
    assert AuditEntry.objects.count() == answers.count(302)


def test_buttons_answer_to_a_press_and_not_to_a_look(browser, brand, loyalty, checkout, shop):
    presses = [(brand, "stop"), (brand, "start"), (loyalty, "pause"), (checkout, "pause"), (shop, "resume")]

    assert [browser.get(url(thing, verb)).status_code for thing, verb in presses] == [405] * 5


def test_a_deleted_destination_leaves_no_hold_behind(brand, paused, browser):
    Destination.objects.all().delete()

    holds.resume()

    assert not Hold.objects.exists()
    assert told(browser.get("/admin/")) == []


# The verbs


def verb_url(destination, verb: str, mapping: int = 0, hold: Held = Held.PAUSED) -> str:
    return url(destination, "held", mapping, int(hold), verb)


@pytest.mark.parametrize("verb", ["let_go", "decide_again", "discard"])
def test_a_look_at_a_verb_tells_to_how_many_and_does_nothing(browser, paused, verb):
    page = browser.get(verb_url(paused, verb))

    assert (page.context["applies"], page.context["exceptions"]) == (3, ())
    assert Queue.objects.filter(lane=paused.pk).count() == 3
    assert not AuditEntry.objects.exists()


@responses.activate
def test_what_waits_is_let_go_the_newest_first(browser, paused, deliver):
    responses.post(ANTAVO, status=202, json={})

    answer = browser.post(verb_url(paused, "let_go"), {"order": "newest"}, follow=True)
    deliver()

    assert said(answer) == ["Let go: 3."]
    assert [json.loads(call.request.body)["customer"] for call in responses.calls] == ["u2", "u1", "u0"]
    assert set(Delivery.objects.values_list("cause", flat=True)) == {Cause.AFTER_PAUSE}
    assert Hold.objects.get().kind == Held.PAUSED
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("Let go: 3", paused.pk)
    assert entry.reason == "3 wait for Loyalty: the destination is paused, by alice. Wrong prices."


@responses.activate
def test_what_one_mapping_holds_is_let_go_by_itself(browser, loyalty, checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})
    Mapping.objects.update(paused=True)
    send(2)
    deliver()

    answer = browser.post(verb_url(loyalty, "let_go", checkout.pk, Held.MAPPING_PAUSED), follow=True)
    deliver()

    assert said(answer) == ["Let go: 2."]
    assert Delivery.objects.filter(status=Status.DELIVERED, cause=Cause.AFTER_HOLD).count() == 2


def test_what_cannot_be_decided_again_is_told_before_and_after(browser, paused, checkout):
    RequestBody.objects.all().delete()
    why = "its body is no longer stored"

    page = browser.get(verb_url(paused, "decide_again"))
    answer = browser.post(verb_url(paused, "decide_again"), follow=True)

    assert (page.context["applies"], page.context["exceptions"]) == (0, ((why, 3),))
    assert said(answer) == [f"Decide again: 0. Not 3: {why}."]
    assert told(browser.get("/admin/"))[0][0].startswith("3 wait for Loyalty")


def test_what_was_decided_again_in_vain_goes_on_when_the_hold_ends(brand, paused):
    RequestBody.objects.all().delete()
    Hold.objects.update(kind=Held.BREAKER)
    holds.decide_again(paused.pk, 0, Held.BREAKER)

    holds.resume()
    assert Waiting.objects.filter(hold=Held.BREAKER).count() == 3
    Hold.objects.all().delete()
    holds.resume()

    assert Queue.objects.filter(lane=paused.pk).count() == 3


def test_what_no_longer_matches_is_cancelled_when_it_is_decided_again(browser, brand, paused, checkout):
    checkout.trigger = 'event = "Refund"'
    checkout.save()

    answer = browser.post(verb_url(paused, "decide_again"), follow=True)

    assert said(answer) == ["Decide again: 3."]
    assert set(Delivery.objects.values_list("status", flat=True)) == {Status.CANCELLED}
    assert BookHour.objects.balance(brand.pk).unaccounted == 0


def test_a_discard_asks_for_a_reason_and_keeps_it(browser, brand, paused):
    refused = browser.post(verb_url(paused, "discard"), {"reason": " "})
    assert said(refused) == ["Nothing was done: say why, so that the others understand."]
    assert Queue.objects.count() == 3

    answer = browser.post(verb_url(paused, "discard"), {"reason": "Sent twice."}, follow=True)

    assert said(answer) == ["Discard: 3."]
    assert set(Delivery.objects.values_list("status", "error")) == {(Status.DISCARDED, "Discarded: Sent twice.")}
    assert AuditEntry.objects.get().reason.startswith("Sent twice. 3 wait for Loyalty")
    assert BookHour.objects.balance(brand.pk).unaccounted == 0


def test_what_a_worker_has_in_hand_is_left_to_it(browser, paused):
    Queue.objects.claim(paused.pk, 1, token=1, lease=30)
    taken = Queue.objects.exclude(lease=None).count()

    page = browser.get(verb_url(paused, "discard"))
    answer = browser.post(verb_url(paused, "discard"), {"reason": REASON}, follow=True)

    why = "a worker has it in hand and finishes it"
    assert page.context["exceptions"] == ((why, taken),)
    assert said(answer) == [f"Discard: {3 - taken}. Not {taken}: {why}."]
    assert Queue.objects.filter(token=1).count() == taken


@pytest.mark.parametrize("verb", ["decide_again", "discard"])
def test_what_there_was_no_time_for_waits_for_the_next_press(browser, brand, paused, monkeypatch, verb):
    monkeypatch.setattr(holds, "PATIENCE", 0)

    answer = browser.post(verb_url(paused, verb), {"reason": REASON}, follow=True)

    assert said(answer)[0].endswith(": 0. Not 3: there are too many for one go; press again.")
    assert told(answer)[0][0].startswith("3 wait for Loyalty")
    assert BookHour.objects.balance(brand.pk).unaccounted == 0


@pytest.mark.parametrize("person", ["bob", "mallory"])
def test_nobody_else_uses_the_verbs(person, request, logged_in, paused):
    browser = logged_in(request.getfixturevalue(person))

    answers = [
        getattr(browser, how)(verb_url(paused, verb)).status_code
        for how in ("get", "post")
        for verb in ("let_go", "decide_again", "discard")
    ]

    assert answers == [403] * 6
    assert Queue.objects.filter(lane=paused.pk).count() == 3


@pytest.mark.parametrize(
    ("verb", "mapping", "hold"),
    [("let_go", 1, 2), ("let_go", 0, 5), ("let_go", 0, 99), ("delete", 0, 2), ("let_go", 0, int(Held.STOPPED))],
)
def test_a_verb_for_what_is_not_held_so_does_nothing(browser, paused, verb, mapping, hold):
    answer = browser.post(url(paused, "held", mapping, hold, verb), {"reason": REASON}, follow=True)

    assert said(answer) == ["Nothing was done: nothing waits there any more for which this could be done."]
    assert Queue.objects.filter(lane=paused.pk).count() == 3


def test_what_a_vendor_holds_is_not_let_go(browser, brand, loyalty, checkout, send):
    Hold.objects.put(loyalty.pk, brand.pk, Held.BREAKER, "It answers 503.")
    send(1)

    browser.post(verb_url(loyalty, "let_go", hold=Held.BREAKER))

    assert told(browser.get("/admin/")) == [
        (
            "1 waits for Loyalty: the vendor fails; it is tried again by itself. It answers 503.",
            "",
            ["Decide again", "Discard"],
        )
    ]


@responses.activate
def test_the_drain_is_estimated_by_what_the_lane_did_last(brand, loyalty, checkout, send, deliver):
    responses.post(ANTAVO, status=202, json={})
    send(2)
    deliver()
    Hold.objects.put(loyalty.pk, brand.pk, Held.PAUSED, REASON)
    send(9)

    [notice] = holds.notices([brand.pk])

    assert holds.drain(notice) == "about 5 minutes"


def test_the_drain_is_estimated_by_the_accounts_limit_or_unknown(brand, paused, limited):
    [notice] = holds.notices([brand.pk])
    limited()
    unknown = holds.drain(notice)
    limited(300)
    usual = holds.drain(notice)
    Account.objects.update(limits={"requests": 1})

    assert [unknown, usual, holds.drain(notice)] == [
        "unknown: nothing was delivered there lately",
        "less than a minute",
        "about 3 minutes",
    ]


# Forms


SCHEDULE = {"retry_waits": "10 s, 1 min", "retry_every": "6 h", "retry_days": "7"}


def test_a_destinations_schedule_is_edited_and_refused_at_its_own_field(browser, loyalty):
    given = {"name": "Loyalty", "account": loyalty.account_id, "enabled": "on"}

    wrong = browser.post(url(loyalty), {**given, "retry_waits": "soon", "retry_every": "1 h, 2 h", "retry_days": "31"})
    browser.post(url(loyalty), given | SCHEDULE)

    assert sorted(wrong.context["adminform"].form.errors) == ["retry_days", "retry_every", "retry_waits"]
    loyalty.refresh_from_db()
    schedule = loyalty.schedule
    assert (schedule.waits, schedule.every, schedule.longest) == ((10, 60), 21600, timedelta(days=7))


def test_a_mappings_terms_are_edited_and_refused_at_their_own_fields(browser, checkout):
    given = {
        "name": "Checkouts",
        "source": checkout.source_id,
        "action": "event",
        "trigger": checkout.trigger,
        "fields": json.dumps(checkout.fields),
        "enabled": "on",
    }
    wrong = {"max_age": "00:00:00", "hourly_limit": "0", "once_days": "-1", "first_run": "0"}
    right = {"max_age": "02:00:00", "hourly_limit": "100", "once_days": "7", "first_run": "10", "ordered": "on"}

    refused = browser.post(url(checkout), given | wrong)
    browser.post(url(checkout), given | right)

    assert sorted(refused.context["adminform"].form.errors) == ["first_run", "hourly_limit", "max_age", "once_days"]
    checkout.refresh_from_db()
    assert (checkout.max_age, checkout.hourly_limit, checkout.once_days, checkout.first_run, checkout.ordered) == (
        timedelta(hours=2),
        100,
        7,
        10,
        True,
    )
    assert checkout.first_run_since is not None


def test_limits_are_asked_where_the_vendor_has_such(browser, make_account, limited):
    account = make_account()
    limited()
    assert 'name="limits"' not in text(browser.get(url(account)))

    limited(3000)
    given = {"name": "Login", "setting_stack": "st1"}
    page = text(browser.get(url(account)))
    wrong = browser.post(url(account), given | {"limits": '{"calls": 1}'})
    browser.post(url(account), given | {"limits": '{"requests": 100}'})
    account.refresh_from_db()
    assert account.limits == {"requests": 100}
    browser.post(url(account), given | {"limits": ""})

    assert "API requests (requests): 3,000." in page
    assert list(wrong.context["adminform"].form.errors) == ["limits"]
    account.refresh_from_db()
    assert account.limits == {}


def test_credentials_that_were_replaced_are_tried_at_once(browser, brand, loyalty):
    Hold.objects.put(loyalty.pk, brand.pk, Held.CREDENTIALS, "Refused.", seconds=600)

    browser.post(url(loyalty.account), {"name": "Login", "setting_stack": "st1", "setting_api_key": "new"})

    hold = Hold.objects.get()
    assert hold.until - hold.since < timedelta(minutes=1)


# The log


@responses.activate
def test_the_log_says_what_is_held_and_why(browser, brand, loyalty, checkout, send, deliver):
    responses.post(ANTAVO, status=500)
    send(1)
    deliver()
    Mapping.objects.update(paused=True)
    send(1)
    deliver()
    Waiting.objects.filter(hold=0).update(hold=Held.PAUSED)

    fates = browser.get("/admin/logs/inbound/").context["cl"]
    first = browser.get(reverse("admin:logs_delivery_change", args=[Delivery.objects.get().pk]))

    assert [fates.model_admin.came_of_it(row) for row in fates.result_list] == ["1 mapping: 1 held"] * 2
    assert "It is held: the destination is paused." in text(first)


def test_what_a_paused_destination_keeps_waiting_is_held_in_the_log(browser, paused):
    page = browser.get(reverse("admin:logs_inbound_change", args=[Event.objects.first().pk]))

    assert "Checkouts: <strong>held</strong>" in text(page)


@pytest.mark.parametrize(
    ("cause", "status", "words"),
    [
        (Cause.PROBE, Status.AGAIN, "Attempt 1, to see whether it works again: trying again"),
        (Cause.AFTER_PAUSE, Status.DELIVERED, "Attempt 1, after a pause: delivered"),
        (Cause.AFTER_HOLD, Status.DELIVERED, "Attempt 1, after a hold: delivered"),
        (Cause.BY_HAND, Status.DELIVERED, "Attempt 1, by hand: delivered"),
        (Cause.DECIDED_AGAIN, Status.DELIVERED, "Attempt 1, decided again: delivered"),
    ],
)
@responses.activate
def test_every_attempt_says_why_it_was_made(browser, checkout, send, deliver, cause, status, words):
    responses.post(ANTAVO, status=202, json={})
    send(1)
    deliver()
    Delivery.objects.update(cause=cause, status=status)

    page = browser.get(reverse("admin:logs_delivery_change", args=[Delivery.objects.get().pk]))

    assert words in text(page)


def test_what_was_discarded_says_so_in_the_log(browser, paused):
    browser.post(verb_url(paused, "discard"), {"reason": REASON})

    page = browser.get(reverse("admin:logs_delivery_change", args=[Delivery.objects.first().pk]))

    assert "Not sent: discarded" in text(page)
    assert "Discarded: Wrong prices." in text(page)
