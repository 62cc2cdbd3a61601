"""What is held, for the pages to show: on the home page, and on those of brand, source, destination and mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse

from integrations import holds, scoping
from integrations.holds import Notice, Remedy
from integrations.models import Destination
from logs.verdict import Held

VERBS = {"let_go": "Let go", "decide_again": "Decide again", "discard": "Discard"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A notice with what this person may do about it; `brand` is empty where there is only one."""

    notice: Notice
    brand: str
    remedy: Remedy | None
    verbs: list[Remedy]

    @property
    def is_late(self) -> bool:
        return self.notice.too_late is not None and self.notice.too_late < datetime.now(UTC)


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The home page's own part (UNFOLD["DASHBOARD_CALLBACK"])."""
    brands = {brand.pk: brand for brand in scoping.brands_of(request.user)}
    names = {pk: str(brand) for pk, brand in brands.items()} if len(brands) > 1 else {}
    return context | {"notices": shown(request, brands, names=names)}


def shown(
    request: HttpRequest,
    brands: Iterable[int],
    only: Callable[[Notice], bool] = lambda notice: True,
    names: dict[int, str] | None = None,
) -> list[Shown]:
    """The notices of these brands that are wanted, with the buttons of somebody who may press them."""
    editable = set(scoping.brands_of(request.user, *scoping.EDITORS).values_list("pk", flat=True))
    return [
        Shown(
            notice,
            (names or {}).get(notice.brand, ""),
            _remedy(request, notice) if notice.brand in editable else None,
            [_verb(notice, verb) for verb in notice.verbs] if notice.brand in editable else [],
        )
        for notice in holds.notices(brands)
        if only(notice)
    ]


def of_destination(destination: Destination) -> Callable[[Notice], bool]:
    return lambda notice: notice.lane in (destination.pk, destination.brand_id)


def _remedy(request: HttpRequest, notice: Notice) -> Remedy | None:
    """The remedy, if it is this person's to apply and not on the page already."""
    remedy = notice.remedy
    if notice.hold is Held.STOPPED and not scoping.is_administrator(request.user, notice.brand):
        return None
    if notice.hold is Held.CREDENTIALS:
        destination = Destination.objects.select_related("account").get(pk=notice.lane)
        if not scoping.can_edit(request.user, destination.account):
            address = reverse("admin:integrations_destination_change", args=[notice.lane])
            remedy = Remedy("Choose another account", address)
    return None if remedy is None or remedy.address == request.path else remedy


def _verb(notice: Notice, verb: str) -> Remedy:
    address = reverse(
        "admin:integrations_destination_held", args=[notice.lane, notice.mapping, notice.hold.value, verb]
    )
    return Remedy(VERBS[verb], address)


def reason(request: HttpRequest) -> str:
    """The reason that was given with a button; without one the person is asked for it."""
    given = request.POST.get("reason", "").strip()[:500]
    if not given:
        messages.error(request, "Nothing was done: say why, so that the others understand.")
    return given
