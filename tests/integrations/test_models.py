"""What the models and, by every way in, the database hold to."""

from __future__ import annotations

import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import F, ProtectedError

from integrations import secrets
from integrations.models import Account, Brand, Destination, Mapping, MappingVersion, Secret, Source, SourceKey
from integrations.models.segment import OVERLAP
from logs.models import Label

pytestmark = pytest.mark.django_db


def rules_version(source: Source) -> int:
    return Source.objects.values_list("rules_version", flat=True).get(pk=source.pk)


def unsaved(source: Source, destination: Destination, n: int) -> list[Mapping]:
    return [
        Mapping(source=source, destination=destination, action="profile", name=f"M{i}", trigger="x", fields={})
        for i in range(n)
    ]


# Ids and names


def test_ids_are_random_and_safe_in_javascript(brand, other_brand):
    ids = [brand.pk, other_brand.pk, *(Brand.objects.create(name="N").pk for _ in range(20))]

    assert len(set(ids)) == 22
    assert all(0 < id < 2**50 for id in ids)


def test_renaming_changes_labels_and_nothing_else(brand, shop, loyalty, make_mapping):
    mapping = make_mapping()
    before = rules_version(shop)

    for model, thing in ((Brand, brand), (Account, loyalty.account), (Source, shop), (Mapping, mapping)):
        model.objects.filter(pk=thing.pk).update(name="Ämne 😀")
    loyalty.name = "Ämne 😀"
    loyalty.save()

    ids = [brand.pk, loyalty.account_id, shop.pk, mapping.pk, loyalty.pk]
    assert sorted(Label.objects.filter(pk__in=ids).values_list("kind", "brand", "label")) == [
        (kind, brand.pk, "Ämne 😀") for kind in ("account", "brand", "destination", "mapping", "source")
    ]
    assert rules_version(shop) == before


def test_a_deleted_thing_keeps_its_label(shop):
    id = shop.pk

    shop.delete()

    assert Label.objects.get(pk=id).label == "Shop"


# Keys


def test_a_source_has_a_key_that_opens_the_door_from_the_start(shop):
    assert len(shop.key) == 32
    assert shop.key.isalnum()
    assert SourceKey.objects.opening(shop.key).get().source == shop
    assert not SourceKey.objects.opening(shop.key[:-1]).exists()


def test_after_rotation_the_old_key_opens_for_seven_days_more(shop):
    new = shop.issue_key()

    assert SourceKey.objects.opening(shop.key).exists()
    assert SourceKey.objects.opening(new).exists()
    assert shop.reveal_key() == new

    SourceKey.objects.exclude(expires_at=None).update(expires_at=F("expires_at") - OVERLAP)

    assert not SourceKey.objects.opening(shop.key).exists()
    assert SourceKey.objects.opening(new).exists()


def test_the_key_of_a_segment_source_does_not_open_our_door(make_segment):
    source = make_segment(write_key="a-key-of-segments").source

    assert secrets.open_all("source", [source.pk])[source.pk] == {"write_key": "a-key-of-segments"}
    assert not SourceKey.objects.opening("a-key-of-segments").exists()
    assert not SourceKey.objects.opening(source.reveal_key()).exists()
    assert source.webhook_secrets() == [source.reveal_key()]


def test_both_webhook_secrets_are_valid_after_rotation(make_segment):
    source = make_segment().source
    old = source.reveal_key()

    new = source.issue_key()

    assert sorted(source.webhook_secrets()) == sorted([old, new])


def test_a_source_has_one_current_key(shop):
    with pytest.raises(IntegrityError, match="one_current_key_of_a_source"):
        SourceKey.objects.create(source=shop, kind="write_key", hash=b"x", ending="x")


# Accounts and destinations


def test_secret_settings_are_kept_apart_and_opened_together(make_account):
    account = make_account()

    account.refresh_from_db()

    assert account.settings == {"stack": "st1", "customer_id": "own"}
    assert account.open_settings() == {"stack": "st1", "customer_id": "own", "api_key": "s3cret"}


def test_settings_written_again_keep_the_secrets_not_named(make_account):
    account = make_account()

    account.write_settings({"stack": "st2"})

    assert account.open_settings() == {"stack": "st2", "api_key": "s3cret"}


def test_any_number_of_accounts_and_destinations_of_one_connector(make_account, make_destination, make_segment):
    stacks = [make_destination(f"Loyalty {n}", make_account(name=f"Login {n}")) for n in (1, 2)]
    workspaces = [make_segment(name) for name in ("Oregon", "Dublin")]
    workspaces[1].account.write_settings({"region": "dublin"})

    assert [d.account.open_settings()["stack"] for d in stacks] == ["st1", "st1"]
    assert [Account.objects.get(pk=d.account_id).settings["region"] for d in workspaces] == ["oregon", "dublin"]


def test_an_unknown_connector_is_refused(brand):
    with pytest.raises(ValidationError, match="There is no connector 'nowhere'"):
        Account.objects.create_account(brand, "nowhere", "Login")


def test_new_sources_and_destinations_are_on_and_new_mappings_off(shop, loyalty):
    mapping = Mapping.objects.create_mapping(shop, loyalty, "profile")

    assert (shop.enabled, loyalty.enabled, mapping.enabled) == (True, True, False)


def test_what_is_deleted_takes_its_secrets_along(make_segment, shop):
    destination = make_segment()
    source, account = destination.source, destination.account
    account.write_settings({"region": "oregon", "token": "t"})
    kept = Secret.objects.filter(owner_kind="source_key", owner_id__in=shop.keys.values("pk"))

    Destination.objects.filter(pk=destination.pk).delete()
    Source.objects.filter(pk=source.pk).delete()
    Account.objects.filter(pk=account.pk).delete()

    assert list(Secret.objects.all()) == list(kept)
    assert len(kept) == 1


def test_an_account_in_use_is_not_deleted(loyalty):
    with pytest.raises(ProtectedError):
        loyalty.account.delete()


def test_a_segment_destination_names_a_source_of_its_account(make_account, make_segment):
    account, other = make_account("segment", "Login"), make_segment().source

    with pytest.raises(ValidationError, match="Choose the source Twilio Segment is to send to"):
        Destination.objects.create_destination(account, "Warehouse")
    with pytest.raises(ValidationError, match="This source belongs to another account"):
        Destination.objects.create_destination(account, "Warehouse", source=other)


def test_a_destination_that_sends_to_no_source_names_none(make_account, make_segment):
    source = make_segment().source

    with pytest.raises(ValidationError, match="Antavo does not send to a source"):
        Destination.objects.create_destination(make_account(), "Loyalty", source=source)


def test_only_segments_own_name_of_a_source_follows_segments_rule(shop):
    shop.name = "Any Name At All!"
    shop.full_clean()
    shop.slug = "not allowed"

    with pytest.raises(ValidationError, match="Segment allows lower case letters, digits"):
        shop.full_clean()


# One brand


def test_a_mapping_joins_things_of_one_brand(other_shop, loyalty):
    with pytest.raises(ValidationError, match="different brands"):
        Mapping.objects.create_mapping(other_shop, loyalty, "profile")
    with pytest.raises(IntegrityError, match="points at something of another brand"), transaction.atomic():
        Mapping.objects.bulk_create(unsaved(other_shop, loyalty, 1))

    assert not Mapping.objects.exists()


def test_a_destination_uses_an_account_and_a_source_of_its_brand(other_brand, loyalty, make_account, make_segment):
    foreign = make_account(of=other_brand)
    theirs = Source.objects.create_segment(make_account("segment", of=other_brand), "Theirs", "key")

    for change in ({"account": foreign}, {"source": theirs}):
        with pytest.raises(IntegrityError, match="points at something of another brand"), transaction.atomic():
            Destination.objects.filter(pk=loyalty.pk).update(**change)


def test_a_source_uses_an_account_of_its_brand(brand, other_brand, make_account):
    foreign = make_account("segment", of=other_brand)

    with pytest.raises(IntegrityError, match="points at something of another brand"):
        Source.objects.create(brand=brand, kind="segment", account=foreign, name="Mixed")


@pytest.mark.parametrize("model", [Account, Source, Destination])
def test_nothing_moves_to_another_brand(model, shop, loyalty, other_brand):
    with pytest.raises(IntegrityError, match="its brand never changes"):
        model.objects.update(brand=other_brand)


# At most fifty


def test_a_destination_has_fifty_mappings_at_most_by_every_way_in(shop, loyalty, make_destination):
    Mapping.objects.bulk_create(unsaved(shop, loyalty, 50))
    elsewhere = Mapping.objects.create_mapping(shop, make_destination("Second", loyalty.account), "profile")

    with pytest.raises(ValidationError, match="Loyalty has 50 mappings, on or off, which is the most"):
        Mapping.objects.create_mapping(shop, loyalty, "profile")
    with pytest.raises(IntegrityError, match="has 50 mappings"), transaction.atomic():
        Mapping.objects.bulk_create(unsaved(shop, loyalty, 1))
    with pytest.raises(IntegrityError, match="has 50 mappings"), transaction.atomic():
        Mapping.objects.filter(pk=elsewhere.pk).update(destination=loyalty)

    assert loyalty.mappings.count() == 50


def test_fifty_one_in_one_statement_are_refused_together(shop, loyalty):
    with pytest.raises(IntegrityError, match="has 50 mappings"), transaction.atomic():
        Mapping.objects.bulk_create(unsaved(shop, loyalty, 51))

    assert loyalty.mappings.count() == 0


def test_the_fifty_may_still_be_edited(shop, loyalty):
    Mapping.objects.bulk_create(unsaved(shop, loyalty, 50))
    mapping = loyalty.mappings.first()

    Mapping.objects.filter(pk=mapping.pk).update(destination=loyalty, name="Still fine")

    mapping.refresh_from_db()
    assert mapping.name == "Still fine"


@pytest.mark.django_db(transaction=True)
def test_of_two_fiftieth_mappings_at_once_one_gets_in(shop, loyalty):
    Mapping.objects.bulk_create(unsaved(shop, loyalty, 49))
    outcomes = []

    def insert() -> None:
        try:
            Mapping.objects.bulk_create(unsaved(shop, loyalty, 1))
        except IntegrityError as error:
            outcomes.append(str(error))
        finally:
            connection.close()

    second = threading.Thread(target=insert)
    with transaction.atomic():
        Mapping.objects.bulk_create(unsaved(shop, loyalty, 1))
        second.start()
        second.join(timeout=0.3)
        assert second.is_alive()  # waits for the first to commit
    second.join()

    assert "has 50 mappings" in outcomes[0]
    assert loyalty.mappings.count() == 50


# Versions


def test_each_saved_change_of_what_a_mapping_does_is_a_version(make_mapping, alice):
    mapping = make_mapping()
    first = mapping.version

    mapping.name = "Renamed"
    mapping.enabled = False
    mapping.save()
    assert mapping.version == first

    mapping.trigger, mapping.author = 'type = "track"', alice
    mapping.save()

    assert list(mapping.versions.values_list("number", "trigger", "author__username")) == [
        (2, 'type = "track"', "alice"),
        (1, 'type = "identify"', None),
    ]
    assert mapping.version.number == 2


def test_a_change_past_the_model_is_a_version_too(make_mapping):
    mapping = make_mapping()

    Mapping.objects.update(fields={"customer": "u1"})

    mapping.refresh_from_db()
    assert (mapping.version.number, mapping.version.fields) == (2, {"customer": "u1"})


def test_a_mapping_shows_the_version_of_what_it_says_and_no_other(make_mapping):
    mapping, stale = make_mapping(), Mapping.objects.get()
    mapping.trigger = 'type = "track"'
    mapping.save()

    Mapping.objects.update(version=stale.version)

    mapping.refresh_from_db()
    assert mapping.version.trigger == 'type = "track"'


def test_a_version_never_changes(make_mapping):
    make_mapping()

    with pytest.raises(IntegrityError, match="what it says never changes"):
        MappingVersion.objects.update(trigger="")


def test_a_deleted_mapping_takes_its_versions_along(make_mapping):
    make_mapping().delete()

    assert not MappingVersion.objects.exists()


# Rules


@pytest.mark.parametrize(
    "change",
    [
        lambda m: Mapping.objects.update(enabled=False),
        lambda m: Mapping.objects.update(trigger='type = "track"'),
        lambda m: Mapping.objects.update(fields={"customer": "u1"}),
        lambda m: Mapping.objects.bulk_create(unsaved(m.source, m.destination, 1)),
        lambda m: Mapping.objects.all().delete(),
        lambda m: Destination.objects.update(enabled=False),
        lambda m: Destination.objects.all().delete(),
        lambda m: Source.objects.update(enabled=False),
    ],
    ids=["off", "trigger", "fields", "new", "deleted", "destination off", "destination deleted", "source off"],
)
def test_whatever_rules_depend_on_makes_a_new_rules_version(change, make_mapping, shop):
    mapping = make_mapping()
    before = rules_version(shop)

    change(mapping)

    assert rules_version(shop) > before


def test_a_mapping_that_moves_to_another_source_changes_the_rules_of_both(make_mapping, brand, shop):
    make_mapping()
    second = Source.objects.create_application(brand, "Second")
    before = rules_version(shop), rules_version(second)

    Mapping.objects.update(source=second)

    assert (rules_version(shop), rules_version(second)) == (before[0] + 1, before[1] + 1)


def test_a_stale_source_saved_again_does_not_take_its_rules_version_back(make_mapping, shop):
    make_mapping()
    now = rules_version(shop)
    assert shop.rules_version < now

    shop.save()

    assert rules_version(shop) == now


# Wrong mappings are refused


def test_a_new_mapping_starts_with_the_actions_trigger_fields_and_name(shop, loyalty):
    mapping = Mapping.objects.create_mapping(shop, loyalty, "profile")

    assert (mapping.name, mapping.trigger) == ("Profile updates", 'type = "identify"')
    assert mapping.fields == loyalty.definition.action("profile").default_mapping


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"action": "nothing", "name": "N"}, "action", "Loyalty offers these actions: event, profile."),
        ({"trigger": 'type ="'}, "trigger", "character"),
        ({"fields": {"customer": {"@nothing": 1}}}, "fields", "@nothing"),
        ({"action": "event"}, "fields", "Required and not mapped yet: Action."),
    ],
    ids=["unknown action", "broken trigger", "broken fields", "required field"],
)
def test_a_wrong_mapping_is_refused_with_the_field_named(given, field, message, make_mapping):
    with pytest.raises(ValidationError) as refused:
        make_mapping(**given)

    assert list(refused.value.message_dict) == [field]
    assert message in refused.value.message_dict[field][0]
    assert not Mapping.objects.exists()


def test_a_mapping_without_a_trigger_may_be_kept_but_not_switched_on(make_mapping):
    mapping = make_mapping(enabled=False)
    mapping.trigger = ""
    mapping.full_clean()
    mapping.enabled = True

    with pytest.raises(ValidationError, match="Without a trigger no event matches"):
        mapping.full_clean()
