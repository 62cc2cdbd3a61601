"""The admin shows what is one's own, takes what is right, and keeps secrets."""

from __future__ import annotations

import json
import re

import pytest
import responses
from django.contrib.auth.models import User
from django.urls import reverse

from connectors import registry
from integrations import secrets
from integrations.admin.site import BrandScopedAdmin, site
from integrations.models import (
    Account,
    AuditEntry,
    Brand,
    Destination,
    Mapping,
    Membership,
    Source,
    SourceKey,
    Workspace,
)

pytestmark = pytest.mark.django_db

SCHEDULE = {"retry_waits": "5 s, 30 s", "retry_every": "12 h", "retry_days": 14}


def url(thing, page: str = "change") -> str:
    if page in ("changelist", "add"):
        return reverse(f"admin:{thing._meta.app_label}_{thing._meta.model_name}_{page}")
    return reverse(f"admin:{thing._meta.app_label}_{thing._meta.model_name}_{page}", args=[thing.pk])


def text(response) -> str:
    return response.content.decode()


def faults(response) -> dict[str, list[str]]:
    return dict(response.context["adminform"].form.errors)


def said(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


@pytest.fixture
def ours(brand, make_mapping, make_segment, alice, bob):
    """One of everything in the brand, each with a telling name."""
    mapping = make_mapping(name="Acme mapping")
    destination = make_segment("Acme warehouse")
    destination.account.write_settings({"region": "oregon", "token": "acme-token"})
    Workspace.objects.create(account=destination.account, name="Acme workspace", slug="acme", segment_id="w1")
    return mapping


@pytest.fixture
def rivals(other_brand, other_shop, make_account):
    """A mapping of the other brand, with everything under it."""
    account = make_account("antavo", "Rival login", other_brand)
    destination = Destination.objects.create_destination(account, "Rival loyalty")
    return Mapping.objects.create_mapping(other_shop, destination, "profile", name="Rival mapping")


# Who gets in, and every page


def test_only_staff_with_a_role_and_operators_get_in(logged_in, alice, bob, operator):
    stranger = User.objects.create_user("stranger", is_staff=True)
    leaver = alice
    leaver.is_staff = False
    leaver.save()

    answers = [logged_in(user).get("/admin/").status_code for user in (operator, bob, stranger, leaver)]

    assert answers == [200, 200, 302, 302]


@pytest.mark.parametrize("role", ["alice", "bob", "operator"])
def test_every_page_opens_for_every_role(role, request, ours, logged_in):
    browser = logged_in(request.getfixturevalue(role))
    pages = [reverse("admin:index")]
    for model in (Brand, Membership, Account, Workspace, Source, Destination, Mapping):
        pages += [url(model, "changelist"), *(url(thing) for thing in model.objects.all())]

    assert {page: browser.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)


def test_the_menu_shows_what_one_may_open(ours, alice, bob, operator, logged_in):
    pages = [text(logged_in(user).get(url(Source, "changelist"))) for user in (operator, alice, bob)]

    lists = [f'href="{url(model, "changelist")}"' for model in (Mapping, AuditEntry, User)]
    assert [[link in page for link in lists] for page in pages] == [
        [True, True, True],
        [True, True, False],
        [True, False, False],
    ]


@pytest.mark.parametrize("model", [Account, Source, Destination, Mapping])
def test_a_page_to_add_one_asks_first_what_it_needs_to_know(model, ours, alice, logged_in):
    browser = logged_in(alice)

    first = text(browser.get(url(model, "add")))
    choices = [choice for choice in re.findall(r'href="(\?[^"]+)"', first) if "=" in choice]

    assert choices
    assert {choice: browser.get(url(model, "add") + choice).status_code for choice in choices} == dict.fromkeys(
        choices, 200
    )


def test_pages_of_lists_do_not_ask_more_for_more_rows(
    ours, alice, logged_in, make_mapping, brand, django_assert_max_num_queries
):
    browser = logged_in(alice)
    for n in range(20):
        make_mapping(name=f"M{n}")
        Source.objects.create_application(brand, f"S{n}")

    for model in (Mapping, Source):
        with django_assert_max_num_queries(16):
            browser.get(url(model, "changelist"))


# The seven leaks of a list that is scoped and nothing else


def test_lists_show_ones_own_brand_only(ours, rivals, alice, logged_in):
    browser = logged_in(alice)

    pages = [
        text(browser.get(url(model, "changelist")))
        for model in (Brand, Membership, Account, Workspace, Source, Destination, Mapping)
    ]

    assert ["Rival" in page for page in pages] == [False] * 7
    assert ["Acme" in page for page in pages] == [True] * 7


@pytest.mark.parametrize("page", ["change", "history", "delete"])
def test_pages_of_another_brand_are_not_there(page, ours, rivals, alice, logged_in):
    browser = logged_in(alice)

    for thing in (rivals, rivals.source, rivals.destination, rivals.destination.account, rivals.source.brand):
        answer = browser.get(url(thing, page))
        assert answer.status_code in (302, 403)
        assert "Rival" not in text(browser.get("/admin/"))


def test_choices_offer_ones_own_brand_only(ours, rivals, alice, logged_in):
    browser = logged_in(alice)

    pages = [
        browser.get(url(Membership, "add")),
        browser.get(url(Destination, "add")),
        browser.get(url(Mapping, "add")),
        browser.get(url(Account, "add") + "?connector=antavo"),
        browser.get(url(Source, "add") + "?kind=application"),
        browser.get(url(Source, "add") + "?kind=segment"),
        browser.get(url(ours)),
        browser.get(url(ours.destination)),
    ]

    assert [page.status_code for page in pages] == [200] * 8
    assert ["Rival" in text(page) or "mallory" in text(page) for page in pages] == [False] * 8


def test_things_of_another_brand_are_refused_when_posted(ours, rivals, alice, logged_in):
    browser = logged_in(alice)
    mapping = {"name": "Stolen", "action": "profile", "trigger": "", "fields": "{}"}
    own = f"?destination={ours.destination_id}"

    from_theirs = browser.post(url(Mapping, "add") + own, mapping | {"source": rivals.source_id})
    to_theirs = browser.post(url(Mapping, "add") + f"?destination={rivals.destination_id}", mapping)
    with_theirs = browser.post(
        url(Destination, "add") + f"?account={rivals.destination.account_id}", {"name": "Stolen"}
    )
    change = {"name": "Stolen", "account": rivals.destination.account_id, **SCHEDULE}
    moved = browser.post(url(ours.destination), change)
    into_theirs = browser.post(
        url(Source, "add") + "?kind=application", {"name": "Stolen", "brand": rivals.source.brand_id}
    )
    role = {"user": alice.pk, "brand": rivals.source.brand_id, "role": "administrator"}
    promoted = browser.post(url(Membership, "add"), role)

    assert list(faults(from_theirs)) == ["source"]
    assert list(faults(moved)) == ["account"]
    assert list(faults(into_theirs)) == list(faults(promoted)) == ["brand"]
    assert [b"Who is to receive" in to_theirs.content, b"Which account" in with_theirs.content] == [True, True]
    for model in (Mapping, Destination, Source):
        assert not model.objects.filter(name="Stolen").exists()
    assert Membership.objects.filter(user=alice).count() == 1


def test_filters_offer_ones_own_brand_only(ours, rivals, alice, mike, make_account, logged_in):
    make_account("segment", "Mike's own", owner=mike)

    pages = [
        text(logged_in(alice).get(url(model, "changelist")))
        for model in (Membership, Account, Workspace, Source, Destination, Mapping)
    ]

    assert ["Rival" in page or "Mike's own" in page for page in pages] == [False] * 6


def test_no_page_has_filters_or_boxes_that_are_not_scoped():
    for model, page in site._registry.items():
        assert not page.raw_id_fields
        assert not page.autocomplete_fields
        assert not page.date_hierarchy
        related = [f for f in page.list_filter if isinstance(f, str) and model._meta.get_field(f).is_relation]
        assert related == []
    assert all(isinstance(page, BrandScopedAdmin) for page in site._registry.values())


@pytest.mark.parametrize(
    "lookup",
    ["settings__api_key__startswith=s", "name__regex=.", "id__gt=0", "seed=1", "brand__name=Acme", "keys__ending=a"],
)
def test_columns_are_not_read_through_look_ups(lookup, ours, alice, logged_in):
    browser = logged_in(alice)

    for model in (Account, Source, Destination, Mapping):
        assert browser.get(f"{url(model, 'changelist')}?{lookup}").status_code == 400


def test_deleting_stops_at_things_one_may_not_see_and_does_not_name_them(rivals, alice, rf):
    request = rf.get("/")
    request.user = alice

    found = site._registry[Source].get_deleted_objects([rivals.source], request)

    assert found == ([], {}, set(), ["4 more, which you may not see: ask an administrator."])


def test_deleting_an_account_names_what_holds_it(make_segment, alice, logged_in):
    account = make_segment("Acme warehouse").account

    answer = logged_in(alice).post(url(account, "delete"), {"post": "yes"})

    assert "Acme warehouse" in text(answer)
    assert Account.objects.filter(pk=account.pk).exists()


def test_a_deleted_source_takes_its_mappings_along(ours, alice, logged_in):
    logged_in(alice).post(url(ours.source, "delete"), {"post": "yes"})

    assert not Mapping.objects.exists()


def test_autocomplete_gives_ones_own_brand_only(ours, rivals, alice, logged_in):
    asked = {"app_label": "integrations", "model_name": "mapping", "field_name": "destination", "term": ""}

    answer = logged_in(alice).get("/admin/autocomplete/", asked)

    assert [found["text"] for found in answer.json()["results"]] == ["Acme warehouse", "Loyalty"]


# Roles


def test_viewers_change_nothing(ours, bob, logged_in):
    browser = logged_in(bob)
    destination, source = ours.destination, ours.source

    answers = [
        browser.post(url(source), {"name": "Changed"}),
        browser.post(url(destination), {"name": "Changed"}),
        browser.post(url(ours), {"name": "Changed"}),
        browser.post(url(ours, "switch")),
        browser.post(url(destination.account, "test_connection")),
        browser.post(url(source, "delete"), {"post": "yes"}),
        browser.post(url(Account, "add") + "?connector=antavo", {"name": "New"}),
        browser.post(url(Source, "add") + "?kind=application", {"name": "New"}),
        browser.post(url(Mapping, "changelist"), {"action": "switch_off", "_selected_action": ours.pk}),
    ]

    assert [answer.status_code for answer in answers[:-1]] == [403] * 8
    ours.refresh_from_db()
    source.refresh_from_db()
    assert (ours.name, ours.enabled, source.name) == ("Acme mapping", True, "Shop")


def test_an_action_on_rows_of_a_brand_one_only_views_changes_nothing(ours, rivals, bob, other_brand, logged_in):
    Membership.objects.create(user=bob, brand=other_brand, role="member")
    pressed = {"action": "switch_off", "_selected_action": [ours.pk]}

    logged_in(bob).post(url(Mapping, "changelist"), pressed)

    ours.refresh_from_db()
    assert ours.enabled is True


def test_a_member_gets_an_account_of_their_own(brand, mike, alice, logged_in):
    given = {"name": "Mine", "brand": brand.pk, "setting_stack": "st1", "setting_api_key": "k"}

    logged_in(mike).post(url(Account, "add") + "?connector=antavo", given)

    account = Account.objects.get()
    assert account.owner == mike
    assert logged_in(alice).get(url(account)).status_code == 302


def test_brand_administrators_do_not_make_operators(ours, alice, operator, logged_in):
    browser = logged_in(alice)

    answers = [browser.get(url(User, "changelist")), browser.get(url(operator)), browser.post(url(User, "add"), {})]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert logged_in(operator).get(url(alice)).status_code == 200


# Accounts


def test_an_account_is_asked_what_its_connector_declares(brand, alice, logged_in):
    browser = logged_in(alice)
    page = url(Account, "add") + "?connector=antavo"

    empty = browser.post(page, {"name": "Loyalty", "brand": brand.pk})
    browser.post(page, {"name": "Loyalty", "brand": brand.pk, "setting_stack": "st2", "setting_api_key": "k3y"})

    assert faults(empty) == {
        "setting_stack": ["This field is required."],
        "setting_api_key": ["This field is required."],
    }
    assert "Test connection" not in text(empty)
    account = Account.objects.get()
    assert (account.connector, account.owner, account.settings) == ("antavo", None, {"stack": "st2"})
    assert account.open_settings() == {"stack": "st2", "api_key": "k3y"}


def test_an_empty_secret_box_keeps_the_secret_and_a_full_one_replaces_it(make_account, alice, logged_in):
    account, browser = make_account(), logged_in(alice)

    assert "Stored; leave empty to keep." in text(browser.get(url(account)))
    browser.post(url(account), {"name": "Renamed", "setting_stack": "st2", "setting_api_key": ""})
    assert account.__class__.objects.get().open_settings() == {"stack": "st2", "api_key": "s3cret"}

    browser.post(url(account), {"name": "Renamed", "setting_stack": "st2", "setting_api_key": "new"})
    assert Account.objects.get().open_settings() == {"stack": "st2", "api_key": "new"}


def test_a_secret_that_is_not_required_can_be_removed(make_account, alice, logged_in):
    account = make_account("segment")
    account.write_settings({"region": "oregon", "token": "t"})

    logged_in(alice).post(url(account), {"name": "Login", "setting_region": "dublin", "forget_token": "on"})

    account.refresh_from_db()
    assert account.open_settings() == {"region": "dublin"}


def test_secrets_appear_nowhere_in_the_admin(ours, shop, alice, operator, logged_in):
    values = ["s3cret", "acme-token", "segment-key", shop.key, *(s.reveal_key() for s in Source.objects.all())]
    values += [bytes(ours.source.brand.seed).hex()]
    pages = ["/admin/", url(AuditEntry, "changelist")]
    for model in (Brand, Membership, Account, Workspace, Source, Destination, Mapping):
        pages += [url(model, "changelist")]
        pages += [url(thing, page) for thing in model.objects.all() for page in ("change", "history", "delete")]

    for user in (alice, operator):
        browser = logged_in(user)
        for page in pages:
            shown = text(browser.get(page, follow=True))
            assert [value for value in values if value in shown] == [], page


def test_a_refused_form_does_not_show_the_secret_again(brand, alice, logged_in):
    given = {"name": "", "brand": brand.pk, "setting_stack": "st1", "setting_api_key": "typed-secret"}

    answer = logged_in(alice).post(url(Account, "add") + "?connector=antavo", given)

    assert list(faults(answer)) == ["name"]
    assert "typed-secret" not in text(answer)


def test_an_account_given_just_a_write_key_makes_its_one_source(brand, alice, logged_in):
    given = {"name": "Just a key", "brand": brand.pk, "setting_region": "dublin", "write_key": "wk"}

    logged_in(alice).post(url(Account, "add") + "?connector=segment", given)

    account = Account.objects.get()
    source = Source.objects.get()
    assert (source.name, source.kind, source.account, source.brand) == ("Just a key", "segment", account, brand)
    assert secrets.open_all("source", [source.pk]) == {source.pk: {"write_key": "wk"}}
    assert account.open_settings() == {"region": "dublin"}


@responses.activate
def test_test_connection_keeps_what_was_found(make_account, alice, logged_in):
    account = make_account("segment")
    account.write_settings({"region": "oregon", "token": "t"})
    responses.get("https://api.segmentapis.com/", status=401, json={"errors": [{"type": "unauthorized"}]})
    browser = logged_in(alice)

    answer = browser.post(url(account, "test_connection"), follow=True)

    account.refresh_from_db()
    assert account.test_ok is False
    assert "answered 401" in account.test_message
    assert said(answer) == [account.test_message]
    assert account.tested_at is not None
    assert responses.calls[0].request.headers["Authorization"] == "Bearer t"


def test_a_vendor_that_cannot_be_tested_says_so(make_account, alice, logged_in):
    account = make_account("webhook")

    logged_in(alice).post(url(account, "test_connection"))

    account.refresh_from_db()
    assert (account.test_ok, account.test_message) == (True, account.definition.test({}))


def test_buttons_answer_to_a_press_and_not_to_a_look(ours, alice, logged_in):
    browser = logged_in(alice)
    destination, source = ours.destination, ours.source

    pages = [
        url(destination.account, "test_connection"),
        url(source, "reveal"),
        url(source, "rotate"),
        url(ours, "switch"),
    ]

    assert [browser.get(page).status_code for page in pages] == [405] * 4


# Sources


def test_a_new_source_has_its_key_at_once(brand, alice, logged_in):
    logged_in(alice).post(url(Source, "add") + "?kind=application", {"name": "App", "brand": brand.pk, "enabled": "on"})

    source = Source.objects.get()
    assert (source.name, source.brand, source.enabled) == ("App", brand, True)
    assert SourceKey.objects.opening(source.reveal_key()).get().source == source


def test_a_segment_source_of_its_own_holds_the_key_entered(make_account, alice, logged_in):
    account = make_account("segment")
    given = {"name": "Web", "account": account.pk, "write_key": "wk", "enabled": "on"}

    refused = logged_in(alice).post(url(Source, "add") + "?kind=segment", given | {"account": "", "write_key": ""})
    logged_in(alice).post(url(Source, "add") + "?kind=segment", given)

    assert list(faults(refused)) == ["account", "write_key"]
    source = Source.objects.get()
    assert (source.kind, source.account, source.brand) == ("segment", account, account.brand)
    assert secrets.open_all("source", [source.pk]) == {source.pk: {"write_key": "wk"}}


def test_a_source_tells_where_to_send(shop, make_segment, alice, logged_in):
    segment, browser = make_segment().source, logged_in(alice)

    own, theirs = text(browser.get(url(shop))), text(browser.get(url(segment)))

    assert "curl http://testserver/v1/track" in own
    assert f"http://testserver/v1/webhooks/{segment.pk}" in theirs
    assert f"••••{shop.key[-4:]}" in own


def test_an_administrator_reveals_a_key_and_it_is_written_down(shop, alice, logged_in):
    answer = logged_in(alice).post(url(shop, "reveal"))

    assert shop.key in text(answer)
    assert "no-store" in answer.headers["Cache-Control"]
    entry = AuditEntry.objects.get()
    assert (entry.user, entry.user_name, entry.brand, entry.action) == (
        alice.pk,
        "alice",
        shop.brand_id,
        "revealed the key",
    )
    assert (entry.object_kind, entry.object_id, entry.object_label, entry.address) == (
        "source",
        shop.pk,
        "Shop",
        "127.0.0.1",
    )


def test_rotating_shows_the_new_key_once_and_is_written_down(shop, alice, logged_in):
    answer = logged_in(alice).post(url(shop, "rotate"))

    new = shop.reveal_key()
    assert new != shop.key
    assert new in text(answer)
    assert AuditEntry.objects.get().action == "rotated the key"
    assert {SourceKey.objects.opening(key).count() for key in (shop.key, new)} == {1}


@pytest.mark.parametrize("press", ["reveal", "rotate"])
@pytest.mark.parametrize("who", ["bob", "mike", "mallory"])
def test_others_neither_reveal_nor_rotate(press, who, request, shop, logged_in):
    browser = logged_in(request.getfixturevalue(who))

    answer = browser.post(url(shop, press))

    assert answer.status_code == 403
    assert shop.key not in text(answer)
    assert shop.reveal_key() == shop.key
    assert not AuditEntry.objects.exists()


def test_administrators_read_the_audit_and_others_do_not(shop, alice, mike, mallory, logged_in):
    logged_in(alice).post(url(shop, "reveal"))

    assert "revealed the key" in text(logged_in(alice).get(url(AuditEntry, "changelist")))
    assert logged_in(mike).get(url(AuditEntry, "changelist")).status_code == 403
    assert "revealed the key" not in text(logged_in(mallory).get(url(AuditEntry, "changelist")))


# Destinations


def test_a_destination_takes_the_brand_of_its_account(make_account, alice, logged_in):
    account = make_account()
    given = {"name": "Loyalty", "enabled": "on", **SCHEDULE}

    logged_in(alice).post(url(Destination, "add") + f"?account={account.pk}", given)

    destination = Destination.objects.get()
    assert (destination.account, destination.brand, destination.enabled) == (account, account.brand, True)


def test_a_destination_in_segment_names_its_source(make_segment, alice, logged_in):
    source = make_segment().source
    page = url(Destination, "add") + f"?account={source.account_id}"

    refused = logged_in(alice).post(page, {"name": "Second", **SCHEDULE})
    logged_in(alice).post(page, {"name": "Second", "source": source.pk, **SCHEDULE})

    assert list(faults(refused)) == ["source"]
    assert Destination.objects.get(name="Second").source == source


def test_somebodys_personal_account_may_stay_but_is_not_named(make_account, make_destination, alice, mike, logged_in):
    destination = make_destination(account=make_account(name="Mike's own", owner=mike))
    shared = make_account(name="Shared login")
    browser = logged_in(alice)

    page = text(browser.get(url(destination)))
    given = {"enabled": "on", **SCHEDULE}
    browser.post(url(destination), {"name": "Kept", "account": destination.account_id, **given})
    destination.refresh_from_db()

    assert "Mike" not in page
    assert "Somebody&#x27;s personal account" in page
    assert (destination.name, destination.account.owner) == ("Kept", mike)

    browser.post(url(destination), {"name": "Moved", "account": shared.pk, **given})
    destination.refresh_from_db()
    assert destination.account == shared


def test_a_personal_account_is_not_named_on_pages_of_others(make_account, alice, mike, logged_in):
    account = make_account("segment", "Mike's own", owner=mike)
    source = Source.objects.create_segment(account, "Web", "key")
    destination = Destination.objects.create_destination(account, "To web", source=source)

    pages = [
        text(logged_in(alice).get(url(thing, page))) for thing in (source, destination) for page in ("change", "delete")
    ]

    assert ["Mike" in page for page in pages] == [False] * 4
    assert "Mike" in text(logged_in(mike).get(url(source)))


# Mappings


def test_a_mapping_left_empty_starts_with_the_actions_own(shop, loyalty, alice, logged_in):
    page = url(Mapping, "add") + f"?destination={loyalty.pk}"

    logged_in(alice).post(page, {"source": shop.pk, "action": "profile", "trigger": "", "fields": "{}"})

    mapping = Mapping.objects.get()
    assert (mapping.name, mapping.trigger, mapping.enabled) == ("Profile updates", 'type = "identify"', False)
    assert mapping.fields == loyalty.definition.action("profile").default_mapping
    assert mapping.version.author == alice


def test_a_wrong_mapping_is_refused_on_its_box(shop, loyalty, alice, logged_in):
    page = url(Mapping, "add") + f"?destination={loyalty.pk}"
    given = {"source": shop.pk, "action": "profile", "trigger": 'type = "', "fields": json.dumps({"data": {"@no": 1}})}

    answer = logged_in(alice).post(page, given)

    assert sorted(faults(answer)) == ["fields", "trigger"]
    assert not Mapping.objects.exists()


@pytest.mark.parametrize(("fields", "wrong"), [("", []), ("[1]", ["fields"]), ("{", ["fields"]), ("null", [])])
def test_whatever_is_typed_as_fields_is_answered(fields, wrong, make_mapping, alice, logged_in):
    mapping = make_mapping(enabled=False)
    given = {"name": "M", "source": mapping.source_id, "action": "profile", "trigger": mapping.trigger}

    answer = logged_in(alice).post(url(mapping), given | {"fields": fields})

    mapping.refresh_from_db()
    if wrong:
        assert list(faults(answer)) == wrong
    else:
        assert (answer.status_code, mapping.fields) == (302, {})


def test_the_fifty_first_mapping_is_refused_in_words(shop, loyalty, make_mapping, alice, logged_in):
    Mapping.objects.bulk_create(
        Mapping(source=shop, destination=loyalty, action="profile", name=str(n)) for n in range(50)
    )
    page = url(Mapping, "add") + f"?destination={loyalty.pk}"

    answer = logged_in(alice).post(page, {"source": shop.pk, "action": "profile", "trigger": "", "fields": "{}"})

    assert faults(answer) == {"__all__": ["Loyalty has 50 mappings, on or off, which is the most."]}


def test_a_mapping_is_switched_off_and_on(ours, alice, logged_in):
    browser = logged_in(alice)

    off = browser.post(url(ours, "switch"), follow=True)
    on = browser.post(url(ours, "switch"), follow=True)

    assert said(off) == ["Acme mapping is off."]
    assert said(on) == ["Acme mapping is on."]
    assert Mapping.objects.get(pk=ours.pk).version == ours.version


def test_switching_on_says_why_it_cannot_be(make_mapping, alice, logged_in):
    mapping = make_mapping("event", enabled=False, name="Unfinished")

    answer = logged_in(alice).post(url(mapping, "switch"), follow=True)

    assert said(answer) == ["Unfinished stays off. Required and not mapped yet: Action."]
    assert Mapping.objects.get().enabled is False


def test_many_mappings_are_switched_at_once(ours, make_mapping, alice, logged_in):
    second = make_mapping(name="Second")
    pressed = {"action": "switch_off", "_selected_action": [ours.pk, second.pk]}

    logged_in(alice).post(url(Mapping, "changelist"), pressed)

    assert set(Mapping.objects.values_list("enabled", flat=True)) == {False}


def test_versions_are_listed_with_their_author(ours, alice, logged_in):
    browser = logged_in(alice)
    given = {"name": ours.name, "source": ours.source_id, "action": "profile", "trigger": 'type = "track"'}

    browser.post(url(ours), given | {"fields": json.dumps(ours.fields)})

    page = text(browser.get(url(ours)))
    assert "{\n  &quot;" in page
    assert "Version 2" in page
    assert "by alice" in page


def test_every_connector_has_its_forms(brand, alice, logged_in):
    browser = logged_in(alice)

    for slug, definition in registry.destinations().items():
        page = text(browser.get(url(Account, "add") + f"?connector={slug}"))
        assert [field.name for field in definition.account if f'name="setting_{field.name}"' not in page] == []
