"""Destinations: who receives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from integrations import holds, scoping, secrets
from integrations.admin import home
from integrations.admin.segment_mappings import SegmentMappings
from integrations.admin.site import Choice, ScopedFilter, site
from integrations.forms import ConfigurationForm, SettingsForm, settings_form
from integrations.holds import Notice
from integrations.models import Account, Destination
from logs.models import Hold
from logs.verdict import Held

MEANINGS = {
    "let_go": "They are sent as they were decided when they came, though what holds them still stands: what comes "
    "later goes on waiting.",
    "decide_again": "Each is decided as if it had just come in, by its mapping as it is today. What matches gets "
    "today's fields and is sent as soon as nothing holds it; what does not match any more is cancelled.",
    "discard": "They are never sent. They stay in the books and in the outbound log, with your reason.",
}
"""What a verb for what waits does."""


class AccountBox(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    """Accounts to send with; the one in use may stay though it is somebody's own, but is not named."""

    visible: frozenset[int] = frozenset()

    def label_from_instance(self, obj: Any) -> str:
        return str(obj) if obj.pk in self.visible else "Somebody's personal account"


@admin.register(Destination, site=site)
class DestinationAdmin(SegmentMappings):
    choose_first = "account"
    choose_title = "Which account does it send with?"
    buttons = ("pause", "resume")
    change_form_outer_before_template = "admin/destination_panel.html"
    list_display = ("name", "vendor", "brand", "status", "mappings")
    list_filter = (("brand", ScopedFilter), "enabled")
    list_select_related = ("brand", "account")
    search_fields = ("name",)
    ordering = ("name", "pk")  # counting drops the model's own

    def get_queryset(self, request: HttpRequest) -> Any:
        held = Exists(Hold.objects.filter(lane=OuterRef("pk")))
        return super().get_queryset(request).annotate(mapping_count=Count("mappings"), held=held)

    def choices_first(self, request: HttpRequest) -> Sequence[Choice]:
        accounts = scoping.scope(Account.objects.select_related("brand"), request.user, *self.editors)
        return [Choice(str(a.pk), a.name, f"{a.definition.name}, {a.brand}") for a in accounts]

    def form_for(self, request: HttpRequest, obj: Any) -> type[SettingsForm] | type[ConfigurationForm]:
        accounts = scoping.scope(Account.objects.all(), request.user, *self.editors)
        if obj is None:
            account = accounts.get(pk=request.GET["account"])
            preset = {"account": account, "brand": account.brand}
            return settings_form(preset, account.definition.settings, {}, ())
        same = accounts.filter(brand=obj.brand, connector=obj.account.connector)
        box = AccountBox(
            Account.objects.filter(Q(pk__in=same.values("pk")) | Q(pk=obj.account_id)),
            empty_label=None,
            widget=UnfoldAdminSelectWidget(),
            help_text="Another account of the same vendor may take over at any time.",
        )
        box.visible = frozenset(same.values_list("pk", flat=True))
        stored = secrets.names("destination", obj.pk)
        return settings_form({}, obj.declared, obj.settings, stored, account=box)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        source = form.base_fields.get("source")
        if isinstance(source, forms.ModelChoiceField) and source.queryset is not None:
            brand = obj.brand if obj else form.preset["brand"]
            source.queryset = source.queryset.filter(brand=brand, account__isnull=False)
            source.required = True
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        schedule = ("retry_waits", "retry_every", "retry_days")
        return (
            (None, {"fields": self._own_fields(request, obj)}),
            ("When the vendor fails", {"fields": schedule}),
        )

    def _own_fields(self, request: HttpRequest, obj: Any) -> Sequence[str]:
        if obj is not None and not self.has_change_permission(request, obj):
            return ("name", "enabled", "vendor", "brand")
        form = self.form_for(request, obj)
        definition = (obj.account if obj else form.preset["account"]).definition
        source = ("source",) if definition.sends_to_source else ()
        known = ("vendor", "brand") if obj else ()
        return ("name", "enabled", *known, *source, *form.declared_fields, "concurrency")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return ("vendor", "brand") if obj else ()

    def save_model(self, request: HttpRequest, obj: Destination, form: SettingsForm, change: bool) -> None:
        obj.write_settings(form.values)

    def panel(self, request: HttpRequest, obj: Destination) -> dict[str, Any]:
        kinds = set(Hold.objects.filter(lane=obj.pk).values_list("kind", flat=True))
        return {
            "notices": home.shown(request, [obj.brand_id], home.of_destination(obj)),
            "paused": Held.PAUSED in kinds,
            "gone": Held.GONE in kinds,
            "may_press": self.has_change_permission(request, obj),
        }

    def pause(self, request: HttpRequest, destination: Destination) -> None:
        """Let what is meant for it wait."""
        if not (reason := home.reason(request)):
            return
        with transaction.atomic():
            who = request.user.get_username()
            Hold.objects.put(destination.pk, destination.brand_id, Held.PAUSED, reason, who=who)
            self.record(request, "paused", destination, reason)
        messages.success(request, f"{destination} is paused: what is meant for it waits until you resume.")

    @transaction.atomic
    def resume(self, request: HttpRequest, destination: Destination) -> None:
        """Send what waited; a receiver that was gone is tried again."""
        Hold.objects.lift(destination.pk, Held.PAUSED, Held.GONE)
        self.record(request, "resumed", destination)
        messages.success(request, f"{destination} goes on: what waited is sent now.")

    # What waits for it.

    def get_urls(self) -> list[URLPattern]:
        held = path(
            "<path:object_id>/held/<int:mapping>/<int:hold>/<slug:verb>/",
            self.admin_site.admin_view(self.held_view),
            name="integrations_destination_held",
        )
        return [held, *super().get_urls()]

    def held_view(self, request: HttpRequest, object_id: str, mapping: int, hold: int, verb: str) -> HttpResponse:
        """Let go, decide again or discard what one notice speaks of: first told, then done."""
        destination = self.get_object(request, object_id)
        if destination is None or not self.has_change_permission(request, destination):
            raise PermissionDenied
        place = (destination.pk, mapping, hold)
        notices = holds.notices([destination.brand_id])
        notice = next((n for n in notices if (n.lane, n.mapping, n.hold) == place and verb in n.verbs), None)
        if notice is None:
            messages.warning(request, "Nothing was done: nothing waits there any more for which this could be done.")
            return self.back_to(destination)
        if request.method == "POST" and (verb != "discard" or home.reason(request)):
            self._do(request, destination, notice, verb)
            return self.back_to(destination)
        exceptions = holds.exceptions(notice, verb)
        return self.page(
            request,
            "admin/held.html",
            f"{home.VERBS[verb]}: {destination}",
            notice=notice,
            verb=verb,
            label=home.VERBS[verb],
            variant="danger" if verb == "discard" else "primary",
            meaning=MEANINGS[verb],
            applies=notice.count - sum(n for _, n in exceptions),
            exceptions=exceptions,
            drain=holds.drain(notice) if verb == "let_go" else "",
            back=reverse("admin:integrations_destination_change", args=[destination.pk]),
        )

    def _do(self, request: HttpRequest, destination: Destination, notice: Notice, verb: str) -> None:
        place, reason = (notice.lane, notice.mapping, notice.hold), ""
        if verb == "let_go":
            done = holds.let_go(*place, newest_first=request.POST.get("order") == "newest")
        elif verb == "decide_again":
            done = holds.decide_again(*place)
        else:
            reason = home.reason(request)
            done = holds.discard(*place, reason)
        label = home.VERBS[verb]
        self.record(request, f"{label}: {done.applied}", destination, f"{reason} {notice.sentence}".strip())
        said = [f"{label}: {done.applied:,}.", *(f"Not {n:,}: {why}." for why, n in done.not_applied)]
        messages.add_message(request, messages.SUCCESS if done.applied else messages.WARNING, " ".join(said))

    @admin.display(description="vendor", ordering="account__connector")
    def vendor(self, destination: Destination) -> str:
        return destination.definition.name

    @admin.display(description="mappings", ordering="mapping_count")
    def mappings(self, destination: Any) -> int:
        return int(destination.mapping_count)

    @display(description="status", label={"on": "success", "off": "warning", "held": "danger"}, ordering="enabled")
    def status(self, destination: Any) -> str:
        if not destination.enabled:
            return "off"
        return "held" if destination.held else "on"
