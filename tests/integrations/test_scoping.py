"""Nobody sees or changes more than their roles in their brands allow."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.contenttypes.models import ContentType

from integrations import scoping
from integrations.models import Account, Brand, Destination, Mapping, MappingVersion, Membership, Source, SourceKey

pytestmark = pytest.mark.django_db

CONFIGURED = [Account, Destination, Mapping, MappingVersion, Source, SourceKey]


def visible(model, user):
    return set(scoping.scope(model._default_manager.all(), user))


@pytest.fixture
def mapping(make_mapping):
    return make_mapping()


@pytest.mark.parametrize("model", [Brand, Membership, *CONFIGURED])
def test_everyone_sees_their_own_brand_and_no_other(model, mapping, alice, bob, mallory, other_brand, other_shop):
    ours = set(model._default_manager.all()) - visible(model, mallory)

    assert ours
    assert visible(model, alice) == visible(model, bob) == ours
    assert not visible(model, mallory) & ours


@pytest.mark.parametrize("model", CONFIGURED)
def test_operators_see_all_and_strangers_nothing(model, mapping, operator):
    stranger = User.objects.create_user("nobody", is_staff=True)

    assert visible(model, operator) == set(model._default_manager.all())
    assert visible(model, stranger) == visible(model, AnonymousUser()) == set()
    assert (scoping.may_enter(operator), scoping.may_enter(stranger)) == (True, False)


def test_a_model_nobody_thought_of_is_seen_by_operators_only(alice, operator):
    assert visible(ContentType, alice) == set()
    assert visible(ContentType, operator) != set()


def test_people_see_the_people_of_their_brands(alice, bob, mallory):
    assert visible(User, alice) == {alice, bob}
    assert visible(User, mallory) == {mallory}


def test_a_personal_account_is_seen_and_edited_by_its_owner_only(make_account, alice, bob, mike):
    account = make_account(owner=mike)

    assert [scoping.can_see(user, account) for user in (alice, bob, mike)] == [False, False, True]
    assert [scoping.can_edit(user, account) for user in (alice, bob, mike)] == [False, False, True]


def test_roles_decide_what_may_be_edited(brand, shop, mapping, alice, mike, bob, mallory, operator):
    people = (alice, mike, bob, mallory, operator)
    membership = Membership.objects.get(user=bob)

    def editors(thing):
        return [user.username for user in people if scoping.can_edit(user, thing)]

    assert editors(shop) == editors(mapping) == editors(mapping.destination) == ["alice", "mike", "olga"]
    assert editors(mapping.destination.account) == ["alice", "olga"]
    assert editors(brand) == editors(membership) == ["alice", "olga"]


def test_who_is_no_longer_active_is_no_operator(operator):
    operator.is_active = False

    assert not scoping.is_operator(operator)
