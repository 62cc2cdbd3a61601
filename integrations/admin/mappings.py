"""Mappings: which events become which action, and their versions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from integrations import scoping
from integrations.admin import home
from integrations.admin.choices import VendorChoices
from integrations.admin.site import Choice, ScopedFilter, site
from integrations.forms import ConfigurationForm, configuration_form
from integrations.holds import Notice
from integrations.models import Destination, Mapping


class Indented(json.JSONEncoder):
    """JSON for people."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"indent": 2})


@admin.register(Mapping, site=site)
class MappingAdmin(VendorChoices):
    choose_first = "destination"
    choose_title = "Who is to receive the events?"
    buttons = ("switch", "pause", "resume", "go_on", *VendorChoices.buttons)
    actions = ("switch_on", "switch_off")
    change_form_outer_before_template = "admin/mapping_panel.html"
    list_display = ("name", "source", "destination", "action_name", "status")
    list_filter = (("source", ScopedFilter), ("destination", ScopedFilter), "enabled")
    list_select_related = ("source", "destination__account")
    search_fields = ("name", "trigger")

    def choices_first(self, request: HttpRequest) -> Sequence[Choice]:
        destinations = scoping.scope(
            Destination.objects.select_related("account", "brand"), request.user, *self.editors
        )
        return [Choice(str(d.pk), d.name, f"{d.definition.name}, {d.brand}") for d in destinations]

    def form_for(self, request: HttpRequest, obj: Any) -> type[ConfigurationForm]:
        if obj is None:
            offered = scoping.scope(Destination.objects.all(), request.user, *self.editors)
            destination = offered.get(pk=request.GET["destination"])
        else:
            destination = obj.destination
        actions = forms.ChoiceField(
            choices=[(action.slug, action.name) for action in destination.definition.actions],
            widget=UnfoldAdminSelectWidget(),
            help_text=Mapping._meta.get_field("action").help_text,
        )
        fields = forms.JSONField(
            required=False,
            encoder=Indented,
            widget=UnfoldAdminTextareaWidget({"rows": 24}),
            help_text=Mapping._meta.get_field("fields").help_text,
        )
        return configuration_form({"destination": destination}, action=actions, fields=fields)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        source = form.base_fields.get("source")
        if isinstance(source, forms.ModelChoiceField) and source.queryset is not None:
            destination = obj.destination if obj else form.preset["destination"]
            source.queryset = source.queryset.filter(brand=destination.brand_id)
        if obj is None and "name" in form.base_fields:
            form.base_fields["name"].required = False
            form.base_fields["name"].help_text = "Any text; empty: the name of the action."
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        known = ("destination",) if obj else ()
        terms = ("ordered", "max_age", "hourly_limit", "once_days", "first_run")
        return (
            (None, {"fields": ("name", "source", *known, "action", "trigger", "fields", "enabled")}),
            ("Limits and order", {"fields": terms}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return ("destination",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Mapping, form: Any, change: bool) -> None:
        obj.author = request.user  # type: ignore[assignment]  # logged in
        super().save_model(request, obj, form, change)
        self.warn(request, obj)

    def panel(self, request: HttpRequest, obj: Mapping) -> dict[str, Any]:
        def concerns(notice: Notice) -> bool:
            return notice.mapping in (0, obj.pk) and home.of_destination(obj.destination)(notice)

        return {
            "notices": home.shown(request, [obj.destination.brand_id], concerns),
            "versions": obj.versions.select_related("author")[:20],
            "may_press": self.has_change_permission(request, obj),
            **self.known(request, obj),
        }

    def switch(self, request: HttpRequest, mapping: Mapping) -> None:
        """On if it was off, off if it was on."""
        self._switch(request, mapping, not mapping.enabled)

    @transaction.atomic
    def pause(self, request: HttpRequest, mapping: Mapping) -> None:
        """Go on matching, and let what would be sent wait."""
        Mapping.objects.filter(pk=mapping.pk).update(paused=True)
        self.record(request, "paused", mapping)
        messages.success(request, f"{mapping} is paused: what it would send waits until you resume.")

    @transaction.atomic
    def resume(self, request: HttpRequest, mapping: Mapping) -> None:
        """Send what waited."""
        Mapping.objects.filter(pk=mapping.pk).update(paused=False)
        self.record(request, "resumed", mapping)
        messages.success(request, f"{mapping} goes on: what waited is sent now.")

    @transaction.atomic
    def go_on(self, request: HttpRequest, mapping: Mapping) -> None:
        """End the first run: send what waited for it, and everything that comes."""
        Mapping.objects.filter(pk=mapping.pk).update(first_run=None, first_run_since=None)
        self.record(request, "said go on", mapping)
        messages.success(request, f"The first run of {mapping} is over: what waited is sent now.")

    @admin.action(description="Switch on", permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Mapping]) -> None:
        for mapping in self.editable(request, queryset):
            self._switch(request, mapping, True)

    @admin.action(description="Switch off", permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Mapping]) -> None:
        for mapping in self.editable(request, queryset):
            self._switch(request, mapping, False)

    def _switch(self, request: HttpRequest, mapping: Mapping, on: bool) -> None:
        mapping.enabled = on
        try:
            if on:
                mapping.full_clean()
        except ValidationError as error:
            messages.error(request, f"{mapping} stays off. {' '.join(error.messages)}")
            return
        Mapping.objects.filter(pk=mapping.pk).update(enabled=on)
        messages.success(request, f"{mapping} is {'on' if on else 'off'}.")

    @admin.display(description="action", ordering="action")
    def action_name(self, mapping: Mapping) -> str:
        try:
            return mapping.definition.name
        except KeyError:
            return mapping.action

    @display(description="status", label={"on": "success", "off": "warning", "paused": "warning"}, ordering="enabled")
    def status(self, mapping: Mapping) -> str:
        if not mapping.enabled:
            return "off"
        return "paused" if mapping.paused else "on"
