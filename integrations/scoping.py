"""What a user may see and do: the one place that knows about brands and roles.

Operators (superusers) see all. Everybody else sees the brands they belong to, and of these what their role allows.
Permissions come from here and never from Django's own permission rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db.models import Model, Q, QuerySet

from integrations.models import (
    Account,
    AuditEntry,
    Brand,
    Destination,
    Mapping,
    MappingVersion,
    Membership,
    Source,
    SourceKey,
    Workspace,
)
from logs import models as logs

Role = Membership.Role
Person = AbstractBaseUser | AnonymousUser
M = TypeVar("M", bound=Model)

EDITORS = (Role.ADMINISTRATOR, Role.MEMBER)

PATHS: dict[type[Model], str] = {
    Brand: "pk",
    Membership: "brand",
    Account: "brand",
    Workspace: "account__brand",
    Source: "brand",
    SourceKey: "source__brand",
    Destination: "brand",
    Mapping: "source__brand",
    MappingVersion: "mapping__source__brand",
    AuditEntry: "brand",
    User: "memberships__brand",
    logs.Inbound: "brand",
    logs.Delivery: "brand",
}
"""From each model to the id of its brand. A model that is not here is seen by operators only."""


def is_operator(user: Person) -> bool:
    return user.is_active and bool(getattr(user, "is_superuser", False))


def roles_of(user: Person) -> dict[int, str]:
    """Brand id → role. Read once for each user object, and a request makes its own."""
    known: dict[int, str] | None = vars(user).get("_roles")
    if known is None:
        known = dict(Membership.objects.filter(user=user.pk).values_list("brand", "role"))
        vars(user)["_roles"] = known
    return known


def brands_of(user: Person, *roles: str) -> QuerySet[Brand]:
    """The brands of a user, or those where the role is one of these."""
    return Brand.objects.all() if is_operator(user) else Brand.objects.filter(pk__in=_brand_ids(user, roles))


def may_enter(user: Person) -> bool:
    return is_operator(user) or bool(roles_of(user))


def has_role(user: Person, *roles: str) -> bool:
    """Whether the user has one of these roles in any brand."""
    return is_operator(user) or bool(_brand_ids(user, roles))


def is_administrator(user: Person, brand: int) -> bool:
    return is_operator(user) or roles_of(user).get(brand) == Role.ADMINISTRATOR


def scope(queryset: QuerySet[M], user: Person, *roles: str) -> QuerySet[M]:
    """What of the queryset the user may see, or, with roles, what lies in brands where they have one of them."""
    if is_operator(user):
        return queryset
    path = PATHS.get(queryset.model)
    if path is None:
        return queryset.none()
    visible = queryset.filter(**{f"{path}__in": _brand_ids(user, roles)})
    if queryset.model is Account:
        return visible.filter(Q(owner=None) | Q(owner=user.pk))
    if queryset.model is Workspace:
        return visible.filter(Q(account__owner=None) | Q(account__owner=user.pk))
    return visible.distinct() if queryset.model is User else visible


def brand_of(thing: Model) -> int:
    """The id of the brand a thing lies in."""
    found: Any = thing
    for step in PATHS[type(thing)].split("__"):
        found = getattr(found, step)
    return int(getattr(found, "pk", found))


def can_see(user: Person, obj: Model) -> bool:
    return bool(scope(_rows(obj), user).exists())


def can_edit(user: Person, obj: Model) -> bool:
    """Administrators edit all of their brand, members what events flow through and accounts of their own."""
    return is_operator(user) or bool(scope(_rows(obj), user, *editors_of(obj)).exists())


def editors_of(obj: Model) -> Iterable[str]:
    if isinstance(obj, Source | Destination | Mapping) or (isinstance(obj, Account) and obj.owner_id is not None):
        return EDITORS
    return (Role.ADMINISTRATOR,)


def hidden(user: Person, objects: Iterable[Model]) -> int:
    """How many of these the user may not see; one query for each model among them."""
    by_model: dict[type[Model], set[Any]] = {}
    for obj in objects:
        by_model.setdefault(type(obj), set()).add(obj.pk)
    return sum(
        len(ids) - scope(model._default_manager.filter(pk__in=ids), user).count() for model, ids in by_model.items()
    )


def _rows(obj: Model) -> QuerySet[Model]:
    return type(obj)._default_manager.filter(pk=obj.pk)


def _brand_ids(user: Person, roles: Iterable[str]) -> list[int]:
    wanted = set(roles)
    return [brand for brand, role in roles_of(user).items() if not wanted or role in wanted]
