"""What a vendor knows, on the page of a mapping: choices to use, offers to send, and things to create there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from connectors.errors import DeliveryError
from connectors.jstext import to_text
from integrations import choices, scoping
from integrations.admin.site import BrandScopedAdmin
from integrations.models import Mapping
from integrations.secrets import SecretError


class VendorChoices(BrandScopedAdmin):
    """Adds these buttons to a mapping's page; each but `ask` and `refresh` makes a new version.

    With somebody's personal account only that person asks, and sees what was answered.
    """

    buttons: Sequence[str] = ("ask", "refresh", "use", "offer", "create")

    def known(self, request: HttpRequest, mapping: Mapping) -> dict[str, Any]:
        """What the panel shows."""
        may_look = self._may_look(request, mapping)
        return {
            "vendor": mapping.destination.definition.name,
            "boxes": choices.boxes(mapping, known=may_look),
            "warnings": choices.warnings(mapping),
            "may_look": may_look,
        }

    def warn(self, request: HttpRequest, mapping: Mapping) -> None:
        """Tell what of the fixed values hardly does what is wanted."""
        for warning in choices.warnings(mapping):
            messages.warning(request, warning)

    def ask(self, request: HttpRequest, mapping: Mapping) -> None:
        """Fetch what a field offers, unless it is known."""
        box = self._box(request, mapping, known=True)
        if box is None or box.known is None:
            self.refresh(request, mapping)

    def refresh(self, request: HttpRequest, mapping: Mapping) -> None:
        """Fetch what a field offers, and keep it in place of what is known."""
        box = self._box(request, mapping)
        if box is None or not box.field.dynamic or not self._may_look(request, mapping):
            messages.warning(request, "Nothing was asked: that field has no choices, or the account is not yours.")
            return
        try:
            choices.ask(mapping, box.field.name)
        except (DeliveryError, SecretError, choices.NotKept) as error:
            messages.error(request, str(error))
        self.record(request, "asked the vendor", mapping, box.field.label)

    def use(self, request: HttpRequest, mapping: Mapping) -> None:
        """Put a choice into the mapping's fields."""
        box, value = self._box(request, mapping), request.POST.get("value", "").strip()
        if box is None or not box.field.dynamic or not value:
            messages.warning(request, "Nothing was done: choose one of the values this mapping's fields offer.")
            return
        self._put(request, mapping, box, value)

    def offer(self, request: HttpRequest, mapping: Mapping) -> None:
        """Put a field's offer into the mapping's fields."""
        box = self._box(request, mapping)
        if box is None or not box.has_offer:
            messages.warning(request, "Nothing was done: this mapping's action offers no value for that field.")
            return
        self._put(request, mapping, box, box.field.offer)

    def create(self, request: HttpRequest, mapping: Mapping) -> None:
        """Make at the vendor what a field can name, and use it."""
        box = self._box(request, mapping)
        where, called = (request.POST.get(name, "").strip() for name in ("where", "called"))
        if box is None or box.creation is None or not (where and called) or not self._may_look(request, mapping):
            messages.warning(request, "Nothing was created: it needs a name, a place, and an account that is yours.")
            return
        try:
            made = choices.create(mapping, box.field.name, where, called)
        except (DeliveryError, SecretError) as error:
            messages.error(request, str(error))
            self.record(request, f"tried to create a {box.creation.noun}"[:50], mapping, f"{called}: {error}")
            return
        self.record(request, f"created a {box.creation.noun}"[:50], mapping, f"{called}: {made}")
        messages.success(request, f"The {box.creation.noun} “{called}” was created: {made}.")
        self._put(request, mapping, box, made)

    def _put(self, request: HttpRequest, mapping: Mapping, box: choices.Box, value: Any) -> None:
        try:
            changed = choices.put(mapping, box.field.name, value, request.user)  # type: ignore[arg-type]  # logged in
        except ValidationError as error:
            messages.error(request, f"{mapping} stays as it was. {' '.join(error.messages)}")
            return
        self.record(request, "set a field", mapping, f"{box.field.label}: {to_text(value)}")
        messages.success(request, f"{box.field.label} is {to_text(value)} now, for every event: {changed.version}.")
        self.warn(request, changed)

    def _box(self, request: HttpRequest, mapping: Mapping, *, known: bool = False) -> choices.Box | None:
        asked = request.POST.get("field")
        return next((box for box in choices.boxes(mapping, known=known) if box.field.name == asked), None)

    def _may_look(self, request: HttpRequest, mapping: Mapping) -> bool:
        return scoping.can_see(request.user, mapping.destination.account)
