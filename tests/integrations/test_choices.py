"""On a mapping's page the vendor's choices are asked for, kept, used and made; nothing is lost when it fails."""

from __future__ import annotations

import json
import re

import pytest
import responses
from django.urls import reverse

from integrations import choices
from integrations.models import Account, AuditEntry, Destination, Mapping

pytestmark = pytest.mark.django_db

API = "https://fra1.qualtrics.com/API/v3"
RULE = "Contacts are matched by: email. One that matches is updated, any other one made."
NO_RULE = "This directory has no deduplication rule: every delivery makes a new contact, instead of updating one."
DIRECTORIES = [
    {"directoryId": "POOL_1", "name": "Main", "deduplicationCriteria": {"email": True}},
    {"directoryId": "POOL_2", "name": "Second", "deduplicationCriteria": {}},
]
TYPED = {"directoryId": "POOL_7", "mailingListId": "CG_7", "extRef": {"@path": "$.userId"}}
BUTTONS = {
    "ask": {"field": "directoryId"},
    "refresh": {"field": "directoryId"},
    "use": {"field": "directoryId", "value": "POOL_1"},
    "offer": {"field": "language"},
    "create": {"field": "mailingListId", "where": "POOL_1", "called": "VIPs"},
}


@pytest.fixture
def survey(make_account, make_destination):
    """A Qualtrics destination of the brand."""
    account = make_account("qualtrics", "Survey login")
    account.write_settings({"apiToken": "tok-1", "datacenter": "fra1"})
    return make_destination("Survey", account)


@pytest.fixture
def mapping(survey, make_mapping):
    """Transactions to Qualtrics, with both IDs typed in."""
    return make_mapping("upsertContactTransaction", destination=survey, fields=TYPED)


@pytest.fixture
def press(mapping, alice, logged_in):
    """press("ask", field=…) → the page that follows, for alice or somebody else."""

    def pressed(button: str, who=alice, **given):
        return logged_in(who).post(page(mapping, button), given, follow=True)

    return pressed


def page(mapping: Mapping, name: str = "change") -> str:
    return reverse(f"admin:integrations_mapping_{name}", args=[mapping.pk])


def text(response) -> str:
    return response.content.decode()


def said(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def known(response) -> dict[str, list[str] | None]:
    """What the page knows of each dynamic field, as values."""
    return {
        box.field.name: box.known and [choice.value for choice in box.known.choices]
        for box in response.context["boxes"]
        if box.field.dynamic
    }


def labels(response) -> list[str]:
    """The panel's buttons, in order."""
    panel = re.search(r'<section[^>]*aria-label="What .*?</section>', text(response), re.DOTALL)
    return [label.strip() for label in re.findall(r"<button[^>]*>(.*?)</button", panel[0], re.DOTALL)] if panel else []


def answer_directories(**more) -> None:
    responses.get(f"{API}/directories/", **({"json": {"result": {"elements": DIRECTORIES}}} | more))


def versions(mapping: Mapping) -> list[tuple]:
    return [(v.fields, v.author and v.author.username) for v in mapping.versions.order_by("number")]


def audit() -> list[tuple[str, str, str]]:
    return [(entry.user_name, entry.action, entry.reason) for entry in AuditEntry.objects.order_by("pk")]


@responses.activate
def test_nothing_is_asked_by_looking(mapping, alice, logged_in):
    shown = logged_in(alice).get(page(mapping))

    assert known(shown) == {"directoryId": None, "mailingListId": None}
    assert labels(shown) == ["Ask Qualtrics", "Ask Qualtrics", "Create a mailing list", "Send EN", "Send false"]
    assert len(responses.calls) == 0


@responses.activate
def test_what_the_vendor_answered_is_shown_with_notes_and_warnings(mapping, press):
    answer_directories()

    shown = press("ask", field="directoryId")

    assert known(shown) == {"directoryId": ["POOL_1", "POOL_2"], "mailingListId": None}
    assert re.findall(r"<p( class)?[^>]*>(Contacts are matched[^<]*|This directory has no[^<]*)", text(shown)) == [
        ("", RULE),
        (" class", NO_RULE),
    ]
    assert labels(shown)[:3] == ["Use", "Use", "Refresh"]
    assert versions(mapping) == [(TYPED, None)]
    assert audit() == [("alice", "asked the vendor", "Directory ID")]


@responses.activate
def test_an_answer_is_kept_until_refreshed(press):
    answer_directories()

    press("ask", field="directoryId")
    press("ask", field="directoryId")
    asked = len(responses.calls)
    press("refresh", field="directoryId")

    assert (asked, len(responses.calls)) == (1, 2)


@responses.activate
def test_other_settings_have_choices_of_their_own(press, survey, mapping, alice, logged_in):
    answer_directories()
    press("ask", field="directoryId")

    Account.objects.filter(pk=survey.account_id).update(settings={"datacenter": "iad1"})

    assert known(logged_in(alice).get(page(mapping))) == {"directoryId": None, "mailingListId": None}


@responses.activate
def test_a_choice_without_a_name_is_shown_by_its_value(press):
    answer_directories(json={"result": {"elements": [{"directoryId": 5, "name": None}]}})

    shown = press("ask", field="directoryId")

    assert [(c.value, c.label) for c in shown.context["boxes"][0].known.choices] == [("5", "5")]


@responses.activate
def test_lists_are_those_of_the_directory_that_is_mapped(press):
    lists = [{"mailingListId": "CG_1", "name": "News"}]
    responses.get(f"{API}/directories/POOL_7/mailinglists", json={"result": {"elements": lists}})

    shown = press("ask", field="mailingListId")

    assert known(shown) == {"directoryId": None, "mailingListId": ["CG_1"]}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            {"status": 401, "json": {"meta": {"error": {"errorMessage": "nope", "errorCode": "AUTH_1"}}}},
            "nope (AUTH_1)",
        ),
        ({"status": 429, "json": {}}, "Try again in a while."),
        ({"json": {"result": {"elements": [{}]}}}, "raised KeyError: 'directoryId'"),
        ({"body": "<html>"}, "not as Qualtrics' API does. Try again in a while."),
    ],
)
@responses.activate
def test_a_vendor_that_fails_is_quoted_and_nothing_kept(answer, told, press, mapping):
    answer_directories(**{"json": None, **answer} if "body" in answer else answer)

    shown = press("ask", field="directoryId")

    assert shown.status_code == 200
    assert [told in message for message in said(shown)] == [True]
    assert known(shown) == {"directoryId": None, "mailingListId": None}
    assert versions(mapping) == [(TYPED, None)]


@responses.activate
def test_with_redis_away_the_page_opens_and_says_what_was_lost(press, settings, mapping):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer_directories()

    shown = press("ask", field="directoryId")

    assert [message.startswith("Qualtrics answered, but Redis,") for message in said(shown)] == [True]
    assert known(shown) == {"directoryId": None, "mailingListId": None}


def test_a_used_choice_makes_a_version_and_leaves_what_was_typed(press, mapping):
    shown = press("use", field="directoryId", value="POOL_1")

    assert versions(mapping) == [(TYPED, None), (TYPED | {"directoryId": "POOL_1"}, "alice")]
    assert said(shown) == ["Directory ID is POOL_1 now, for every event: Version 2."]
    assert audit() == [("alice", "set a field", "Directory ID: POOL_1")]


@pytest.mark.parametrize(
    ("field", "offered", "left"), [("language", "EN", "Send false"), ("unsubscribed", False, "Send EN")]
)
def test_an_offer_is_one_press_away(press, mapping, field, offered, left):
    shown = press("offer", field=field)

    assert versions(mapping)[1:] == [(TYPED | {field: offered}, "alice")]
    assert [label for label in labels(shown) if label.startswith("Send ")] == [left]


@responses.activate
def test_a_new_list_is_made_and_used(press, mapping):
    responses.post(f"{API}/directories/POOL_1/mailinglists", json={"result": {"id": "CG_9"}})

    shown = press("create", field="mailingListId", where="POOL_1", called="VIPs")

    assert [json.loads(call.request.body) for call in responses.calls] == [{"name": "VIPs"}]
    assert versions(mapping)[1:] == [(TYPED | {"mailingListId": "CG_9"}, "alice")]
    assert said(shown)[0] == "The mailing list “VIPs” was created: CG_9."
    assert audit() == [
        ("alice", "created a mailing list", "VIPs: CG_9"),
        ("alice", "set a field", "Mailing list ID: CG_9"),
    ]


@responses.activate
def test_a_list_that_is_refused_changes_nothing(press, mapping):
    error = {"meta": {"error": {"errorMessage": "Name is taken", "errorCode": "MLC_1"}}}
    responses.post(f"{API}/directories/POOL_1/mailinglists", status=400, json=error)

    shown = press("create", field="mailingListId", where="POOL_1", called="VIPs")

    assert ["Name is taken (MLC_1)" in message for message in said(shown)] == [True]
    assert versions(mapping) == [(TYPED, None)]
    assert [(who, action) for who, action, _ in audit()] == [("alice", "tried to create a mailing list")]


@pytest.mark.parametrize(
    ("button", "given"),
    [
        ("ask", {"field": "extRef"}),
        ("refresh", {}),
        ("use", {"field": "extRef", "value": "x"}),
        ("use", {"field": "directoryId", "value": " "}),
        ("offer", {"field": "directoryId"}),
        ("create", {"field": "directoryId", "where": "POOL_1", "called": "VIPs"}),
        ("create", {"field": "mailingListId", "where": "POOL_1", "called": " "}),
    ],
)
@responses.activate
def test_a_press_that_makes_no_sense_does_nothing(press, mapping, button, given):
    shown = press(button, **given)

    assert [message.startswith("Nothing was ") for message in said(shown)] == [True]
    assert (len(responses.calls), versions(mapping), audit()) == (0, [(TYPED, None)], [])


@pytest.mark.parametrize("button", BUTTONS)
@pytest.mark.parametrize(("who", "status"), [("alice", 302), ("mike", 302), ("bob", 403), ("mallory", 403)])
@responses.activate
def test_editors_of_the_brand_press_and_nobody_else(button, who, status, request, mapping, logged_in):
    answer_directories()
    responses.post(f"{API}/directories/POOL_1/mailinglists", json={"result": {"id": "CG_9"}})

    answer = logged_in(request.getfixturevalue(who)).post(page(mapping, button), BUTTONS[button])

    assert answer.status_code == status
    assert AuditEntry.objects.exists() == (status == 302)
    assert len(responses.calls) == (status == 302 and button in ("ask", "refresh", "create"))


@responses.activate
def test_a_viewer_sees_what_is_kept_and_no_button(press, mapping, bob, logged_in):
    answer_directories()
    press("ask", field="directoryId")

    shown = logged_in(bob).get(page(mapping))

    assert known(shown) == {"directoryId": ["POOL_1", "POOL_2"], "mailingListId": None}
    assert labels(shown) == []


@responses.activate
def test_with_a_personal_account_only_its_owner_asks_and_sees(press, mapping, survey, alice, mike):
    Account.objects.filter(pk=survey.account_id).update(owner=alice)
    answer_directories()

    refused = press("ask", mike, field="directoryId")
    asked = len(responses.calls)
    own = press("ask", field="directoryId")
    others = press("use", mike, field="directoryId", value="POOL_1")

    assert [message.startswith("Nothing was asked") for message in said(refused)] == [True]
    assert (asked, known(own)["directoryId"]) == (0, ["POOL_1", "POOL_2"])
    assert (known(others)["directoryId"], labels(others)) == (None, ["Send EN", "Send false"])


def test_fixed_values_of_an_odd_form_are_warned_of_in_panel_and_when_saved(press, mapping):
    told = ["Mailing list ID usually begins with CG_, unlike 'POOL_1'."]

    shown = press("use", field="mailingListId", value="POOL_1")

    assert said(shown)[1:] == told
    assert shown.context["warnings"] == told
    assert text(shown).count("unlike &#x27;POOL_1&#x27;") == 2


def test_saving_the_form_warns_too(mapping, alice, logged_in):
    given = {"name": "Orders", "source": mapping.source_id, "action": mapping.action, "trigger": mapping.trigger}
    fields = json.dumps(TYPED | {"directoryId": "Main", "language": {"@path": "$.language"}})

    shown = logged_in(alice).post(page(mapping), given | {"fields": fields}, follow=True)

    assert "Directory ID usually begins with POOL_, unlike 'Main'." in said(shown)
    assert versions(mapping)[1][0]["directoryId"] == "Main"


def test_a_fixed_value_of_the_wrong_kind_is_a_warning(make_mapping, survey):
    mapping = make_mapping("addContactToXmd", destination=survey, fields={"directoryId": "POOL_1", "embeddedData": "x"})

    told = choices.warnings(mapping)

    assert told == ["Contact embedded data must be an object but it was a string."]


def test_a_vendor_without_choices_has_no_panel(make_mapping, alice, logged_in):
    shown = logged_in(alice).get(page(make_mapping()))

    assert "What Antavo knows" not in text(shown)


@responses.activate
def test_an_account_of_another_brand_with_the_same_settings_knows_nothing(
    press, make_account, make_mapping, other_brand, other_shop, mallory, logged_in
):
    account = make_account("qualtrics", "Rival login", other_brand)
    account.write_settings({"apiToken": "tok-1", "datacenter": "fra1"})
    destination = Destination.objects.create_destination(account, "Rival survey")
    theirs = make_mapping("upsertContactTransaction", source=other_shop, destination=destination, fields=TYPED)
    answer_directories()

    ours = press("ask", field="directoryId")

    assert known(ours)["directoryId"] == ["POOL_1", "POOL_2"]
    assert known(logged_in(mallory).get(page(theirs)))["directoryId"] is None
