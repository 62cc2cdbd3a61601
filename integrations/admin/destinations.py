"""Destinations: who receives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from integrations import scoping, secrets
from integrations.admin.segment_mappings import SegmentMappings
from integrations.admin.site import Choice, ScopedFilter, site
from integrations.forms import ConfigurationForm, SettingsForm, settings_form
from integrations.models import Account, Destination


class AccountBox(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    """Accounts to send with; the one in use may stay though it is somebody's own, but is not named."""

    visible: frozenset[int] = frozenset()

    def label_from_instance(self, obj: Any) -> str:
        return str(obj) if obj.pk in self.visible else "Somebody's personal account"


@admin.register(Destination, site=site)
class DestinationAdmin(SegmentMappings):
    choose_first = "account"
    choose_title = "Which account does it send with?"
    list_display = ("name", "vendor", "brand", "status", "mappings")
    list_filter = (("brand", ScopedFilter), "enabled")
    list_select_related = ("brand", "account")
    search_fields = ("name",)
    ordering = ("name", "pk")  # counting drops the model's own

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(mapping_count=Count("mappings"))

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

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
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

    @admin.display(description="vendor", ordering="account__connector")
    def vendor(self, destination: Destination) -> str:
        return destination.definition.name

    @admin.display(description="mappings", ordering="mapping_count")
    def mappings(self, destination: Any) -> int:
        return int(destination.mapping_count)

    @display(description="status", label={"on": "success", "off": "warning"}, ordering="enabled")
    def status(self, destination: Destination) -> str:
        return "on" if destination.enabled else "off"
