"""What is mapped in Segment is mapped here after an import, and the other way round; nothing is made half."""

from __future__ import annotations

import json

import pytest
import responses
from django.urls import reverse

from integrations import segment_mappings
from integrations.models import Account, Mapping
from integrations.segment_mappings import Unreadable, export, read

pytestmark = pytest.mark.django_db

ORDERS = {
    "id": "sub-1",
    "name": "Orders",
    "actionId": "a-1",
    "actionSlug": "event",
    "enabled": True,
    "trigger": 'type = "track" and event = "Order Completed"',
    "settings": {"customer": {"@path": "$.userId"}, "action": "checkout", "data": {"@path": "$.properties"}},
}
PROFILES = {
    "partnerAction": "profile",
    "subscribe": 'type = "identify"',
    "mapping": {"customer": {"@path": "$.userId"}, "data": {"email": {"@path": "$.traits.email"}}},
}
LIST = "https://api.segmentapis.com/destinations/dest-1/subscriptions"


@pytest.fixture
def take_over(shop, loyalty, alice):
    """take_over(subscription, …) → what became of them."""

    def run(*subscriptions):
        return segment_mappings.import_(subscriptions, shop, loyalty, alice)

    return run


def page(destination, name: str) -> str:
    return reverse(f"admin:integrations_destination_{name}_mappings", args=[destination.pk])


def shown(mapping: Mapping) -> tuple:
    return mapping.name, mapping.action, mapping.trigger, mapping.fields, mapping.enabled


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ORDERS),
        json.dumps([ORDERS]),
        json.dumps({"subscriptions": [ORDERS]}),
        json.dumps({"data": {"subscriptions": [ORDERS], "pagination": {"current": "MA=="}}}),
    ],
)
def test_one_or_many_are_read_as_segment_writes_them(text):
    assert read(text) == [ORDERS]


@pytest.mark.parametrize(
    ("text", "why"), [("{", "This is not JSON: "), ("[]", "There is no subscription in it."), ("[" * 10**5, "not JSON")]
)
def test_a_text_without_subscriptions_says_why(text, why):
    with pytest.raises(Unreadable, match=why):
        read(text)


def test_the_same_mappings_are_here_afterwards_and_off(take_over, alice):
    result = take_over(ORDERS, PROFILES)

    assert [shown(mapping) for mapping in Mapping.objects.order_by("name")] == [
        ("Orders", "event", ORDERS["trigger"], ORDERS["settings"], False),
        ("Profile updates", "profile", PROFILES["subscribe"], PROFILES["mapping"], False),
    ]
    assert [mapping.name for mapping in result.made] == ["Orders", "Profile updates"]
    assert {mapping.author for mapping in Mapping.objects.all()} == {alice}


def test_what_cannot_be_is_told_one_by_one_and_not_made(take_over):
    result = take_over(
        {**ORDERS, "trigger": 'type = "track" and'},
        {**ORDERS, "name": "", "settings": {"customer": {"@nope": 1}}},
        {**ORDERS, "actionSlug": "sendTrack"},
        {**ORDERS, "settings": None, "trigger": ""},
        {**ORDERS, "settings": [1], "name": 5},
        "Orders",
        PROFILES,
    )

    assert [shown(mapping)[:2] for mapping in Mapping.objects.all()] == [("Profile updates", "profile")]
    assert [refusal.partition(": ")[0] for refusal in result.refused] == [
        "No. 1, “Orders”",
        "No. 2",
        "No. 3, “Orders”",
        "No. 4, “Orders”",
        "No. 5, “5”",
        "No. 6",
    ]
    assert result.refused[0].startswith("No. 1, “Orders”: trigger: ")
    assert "@nope" in result.refused[1]
    assert result.refused[2].endswith("action: Loyalty offers these actions: event, profile.")
    assert result.refused[3].endswith(": trigger: There is none. fields: There is none.")
    assert result.refused[4].endswith(": name: It must be text.")
    assert result.refused[5].endswith(": It is not a JSON object.")


def test_importing_twice_makes_nothing_twice(take_over):
    take_over(ORDERS, PROFILES)

    again = take_over(ORDERS, PROFILES)

    assert Mapping.objects.count() == 2
    assert ([m.name for m in again.known], again.made, again.refused) == (["Orders", "Profile updates"], [], [])


def test_what_was_exported_is_imported_as_it_was(make_mapping, make_destination, make_account, shop, alice):
    make_mapping(name="Profiles")
    original = make_mapping("event", name="Orders", trigger=ORDERS["trigger"], fields=ORDERS["settings"]).destination
    copy = make_destination("Copy", make_account(name="Copy"))

    segment_mappings.import_(read(json.dumps(export(original))), shop, copy, alice)

    assert [{**entry, "enabled": True} for entry in export(copy)["subscriptions"]] == export(original)["subscriptions"]
    assert [entry["enabled"] for entry in export(copy)["subscriptions"]] == [False, False]


# In the admin


def test_pasted_mappings_are_imported_and_the_refused_are_named(loyalty, shop, alice, logged_in):
    text = json.dumps([ORDERS, {**ORDERS, "name": "Wrong <b>", "trigger": "type ="}])

    answer = logged_in(alice).post(page(loyalty, "import"), {"source": shop.pk, "text": text})

    shown = answer.content.decode()
    assert Mapping.objects.get().name == "Orders"
    assert "No. 2, “Wrong &lt;b&gt;”: trigger: " in shown
    assert (">New here, off<" in shown, ">Here already<" in shown) == (True, False)


@responses.activate
def test_mappings_are_fetched_with_the_accounts_token(loyalty, shop, make_account, alice, logged_in):
    account = make_account("segment", "Workspace")
    account.write_settings({"region": "oregon", "token": "tok-1"})
    second = {"data": {"subscriptions": [PROFILES], "pagination": {"current": "b"}}}
    responses.get(LIST, json={"data": {"subscriptions": [ORDERS], "pagination": {"current": "a", "next": "b"}}})
    responses.get(LIST, json=second)

    given = {"source": shop.pk, "account": account.pk, "there": "dest-1"}
    logged_in(alice).post(page(loyalty, "import"), given)

    assert sorted(Mapping.objects.values_list("name", flat=True)) == ["Orders", "Profile updates"]
    assert [call.request.url.partition("?")[2] for call in responses.calls] == [
        "pagination.count=200",
        "pagination.count=200&pagination.cursor=b",
    ]
    assert {call.request.headers["Accept"] for call in responses.calls} == {"application/vnd.segment.v1alpha+json"}
    assert {call.request.headers["Authorization"] for call in responses.calls} == {"Bearer tok-1"}


@responses.activate
def test_what_segment_refuses_is_told_and_nothing_made(loyalty, shop, make_account, alice, logged_in):
    account = make_account("segment", "Workspace")
    account.write_settings({"region": "oregon", "token": "tok-1"})
    responses.get(LIST, status=404, json={"errors": [{"type": "not-found", "message": "No such destination"}]})

    given = {"source": shop.pk, "account": account.pk, "there": "dest-1"}
    answer = logged_in(alice).post(page(loyalty, "import"), given)

    assert answer.context["form"].non_field_errors() == [f"GET {LIST} answered 404: No such destination"]
    assert not Mapping.objects.exists()


@pytest.mark.parametrize(
    "given", [{}, {"text": "{}", "there": "d"}, {"there": "d"}, {"account": "account"}, {"text": "{"}]
)
def test_an_import_needs_a_text_or_a_place_to_fetch_from(given, loyalty, shop, make_account, alice, logged_in):
    account = make_account("segment", "Workspace")
    given = {name: account.pk if value == "account" else value for name, value in given.items()}

    answer = logged_in(alice).post(page(loyalty, "import"), {"source": shop.pk, **given})

    assert len(answer.context["form"].non_field_errors()) == 1
    assert not Mapping.objects.exists()


def test_an_export_is_a_file_of_subscriptions(make_mapping, bob, logged_in):
    mapping = make_mapping(name="Profiles")

    answer = logged_in(bob).get(page(mapping.destination, "export"))

    assert answer["Content-Disposition"] == f'attachment; filename="mappings-{mapping.destination.pk}.json"'
    assert answer.json() == {
        "subscriptions": [
            {
                "name": "Profiles",
                "actionSlug": "profile",
                "enabled": True,
                "trigger": 'type = "identify"',
                "settings": mapping.fields,
            }
        ]
    }


def test_the_pages_keep_to_the_brand_and_the_role(loyalty, shop, other_shop, alice, bob, mallory, logged_in):
    given = {"source": shop.pk, "text": json.dumps(ORDERS)}

    strange = [logged_in(mallory).get(page(loyalty, name)).status_code for name in ("import", "export")]
    viewer = [logged_in(bob).get(page(loyalty, name)).status_code for name in ("import", "export")]
    foreign = logged_in(alice).post(page(loyalty, "import"), given | {"source": other_shop.pk})
    links = [page(loyalty, "import") in logged_in(who).get(change(loyalty)).content.decode() for who in (alice, bob)]

    assert (strange, viewer) == ([403, 403], [403, 200])
    assert list(foreign.context["form"].errors) == ["source"]
    assert links == [True, False]
    assert (Mapping.objects.count(), Account.objects.count()) == (0, 1)


def change(destination) -> str:
    return reverse("admin:integrations_destination_change", args=[destination.pk])
