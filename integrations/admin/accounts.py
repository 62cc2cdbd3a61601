"""Accounts and the workspaces seen through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from connectors import registry
from connectors.errors import SwitchyardError
from integrations import holds, scoping, secrets
from integrations.admin.site import BrandScopedAdmin, Choice, ReadOnlyAdmin, ScopedFilter, site
from integrations.book import address_policy
from integrations.forms import SettingsForm, secret_box, settings_form
from integrations.models import Account, Membership, Source, Workspace


@admin.register(Account, site=site)
class AccountAdmin(BrandScopedAdmin):
    choose_first = "connector"
    choose_title = "Which vendor is the account for?"
    buttons = ("test_connection",)
    change_form_outer_before_template = "admin/account_panel.html"
    list_display = ("name", "vendor", "brand", "shared", "tested")
    list_filter = (("brand", ScopedFilter), "connector")
    list_select_related = ("brand", "owner")
    search_fields = ("name",)

    def choices_first(self, request: HttpRequest) -> Sequence[Choice]:
        return [Choice(d.slug, d.name, d.description) for d in registry.destinations().values()]

    def form_for(self, request: HttpRequest, obj: Any) -> type[SettingsForm]:
        connector = obj.connector if obj else request.GET.get("connector", "")
        definition = registry.get_destination(connector)
        boxes: dict[str, forms.Field] = {}
        if scoping.has_role(request.user, Membership.Role.ADMINISTRATOR):
            boxes["personal"] = forms.BooleanField(
                label="Mine alone",
                help_text="On: only you see and use this account. Off: everyone in the brand does.",
                required=False,
                initial=bool(obj and obj.owner_id),
                widget=UnfoldBooleanSwitchWidget(),
            )
        if definition.limits:
            numbers = ", ".join(f"{limit.label} ({limit.slug}): {limit.per_minute:,}" for limit in definition.limits)
            help = Account._meta.get_field("limits").help_text
            boxes["limits"] = forms.JSONField(
                required=False,
                initial=obj.limits if obj else {},
                widget=UnfoldAdminTextareaWidget({"rows": 3}),
                help_text=f"{help} {definition.name}'s usual numbers: {numbers}.",
            )
        if definition.sends_to_source and obj is None:
            boxes["write_key"] = secret_box(
                "Write key",
                "If all you have is the write key of one source: enter it, and that source is set up in the same step. "
                "You find it in Segment on the source's page, under Settings, API Keys.",
            )
        return settings_form(
            {"connector": connector},
            definition.account,
            obj.settings if obj else {},
            secrets.names("account", obj.pk) if obj else (),
            **boxes,
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        if obj is None:
            return ["name", "brand", *self.form_for(request, obj).declared_fields]
        if self.has_change_permission(request, obj):
            return ["name", "vendor", "brand", *self.form_for(request, obj).declared_fields]
        return ["name", "vendor", "brand", "shared"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return ("vendor", "brand", "shared") if obj else ()

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Workspaces are only seen through the account, so they go along with it."""
        deleted, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, lacking - {Workspace._meta.verbose_name}, protected

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: Account, form: SettingsForm, change: bool) -> None:
        personal = form.cleaned_data.get("personal", False)
        if not personal and not scoping.is_administrator(request.user, obj.brand_id):
            personal = True
            if not change:
                messages.info(request, "The account is yours alone: only administrators share accounts with the brand.")
        obj.owner = (obj.owner or request.user) if personal else None  # type: ignore[assignment]  # logged in
        obj.write_settings(form.values)
        holds.probe(obj)
        if write_key := form.cleaned_data.get("write_key"):
            source = Source.objects.create_segment(obj, obj.name, write_key)
            messages.success(request, f"The source “{source}” was set up with the write key.")

    def panel(self, request: HttpRequest, obj: Account) -> dict[str, Any]:
        return {"may_test": self.has_change_permission(request, obj)}

    def test_connection(self, request: HttpRequest, account: Account) -> None:
        """Ask the vendor, with the stored settings, and keep what was found."""
        try:
            ok, message = True, account.definition.test(_settings_to_test(account), policy=address_policy())
        except (SwitchyardError, secrets.SecretError) as error:
            ok, message = False, str(error)
        account.record_test(ok, message)
        if ok:
            holds.probe(account)
        messages.add_message(request, messages.SUCCESS if ok else messages.ERROR, message)

    @admin.display(description="vendor", ordering="connector")
    def vendor(self, account: Account) -> str:
        return account.definition.name

    @admin.display(description="used by")
    def shared(self, account: Account) -> str:
        return f"{account.owner} alone" if account.owner else "everyone in the brand"

    @display(description="last test", label={"ok": "success", "failed": "danger", "never": "info"})
    def tested(self, account: Account) -> tuple[str, str]:
        if account.test_ok is None:
            return "never", "not tested yet"
        return ("ok", "passed") if account.test_ok else ("failed", "failed")


@admin.register(Workspace, site=site)
class WorkspaceAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "account")
    list_filter = (("account", ScopedFilter),)
    list_select_related = ("account",)
    search_fields = ("name", "slug")
    fields = ("name", "slug", "segment_id", "account")


def _settings_to_test(account: Account) -> dict[str, Any]:
    """The account's settings; when it has just one source, that one's write key too, so that it can be looked up."""
    opened = account.open_settings()
    keys = secrets.open_all("source", account.sources.values_list("pk", flat=True)).values()
    known = [key["write_key"] for key in keys if "write_key" in key]
    return opened | ({"source_write_key": known[0]} if len(known) == 1 else {})
