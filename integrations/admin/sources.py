"""Sources: where events come from, the addresses they come to, and the keys we issue for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from connectors import registry
from integrations import scoping, secrets
from integrations.admin import home
from integrations.admin.site import BrandScopedAdmin, Choice, ScopedFilter, site
from integrations.forms import ConfigurationForm, configuration_form, secret_box
from integrations.models import Source
from logs.verdict import Held

Kind = Source.Kind


@admin.register(Source, site=site)
class SourceAdmin(BrandScopedAdmin):
    choose_first = "kind"
    choose_title = "Where do the events come from?"
    buttons = ("reveal", "rotate", "pause", "resume")
    change_form_outer_before_template = "admin/source_panel.html"
    list_display = ("name", "kind", "brand", "status", "key")
    list_filter = (("brand", ScopedFilter), "kind", "enabled")
    list_select_related = ("brand",)
    search_fields = ("name", "slug")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("keys")

    def choices_first(self, request: HttpRequest) -> Sequence[Choice]:
        return [
            Choice(Kind.APPLICATION, "Our own systems", "A shop, an app or a server sends with Segment's libraries."),
            Choice(Kind.SEGMENT, "A source in Segment", "Known by its write key; can be sent to, and send to us."),
        ]

    def form_for(self, request: HttpRequest, obj: Any) -> type[ConfigurationForm]:
        kind = obj.kind if obj else request.GET.get("kind", "")
        if kind != Kind.SEGMENT:
            return configuration_form({"kind": kind})
        stored = obj is not None and "write_key" in secrets.names("source", obj.pk)
        help = "In Segment on the source's page, under Settings, API Keys. It is used to send to the source."
        return configuration_form({"kind": kind}, write_key=secret_box("Write key", help, obj is None, stored))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        account = form.base_fields.get("account")
        if isinstance(account, forms.ModelChoiceField) and account.queryset is not None:
            vendors = [d.slug for d in registry.destinations().values() if d.sends_to_source]
            account.queryset = account.queryset.filter(connector__in=vendors)
            account.required = True
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        if obj is not None:
            login = ("account", "workspace") if obj.account and scoping.can_see(request.user, obj.account) else ()
            slug = ("slug",) if obj.kind == Kind.SEGMENT else ()
            key = ("write_key",) if obj.kind == Kind.SEGMENT and self.has_change_permission(request, obj) else ()
            return ("name", "enabled", "brand", "kind", *login, *slug, *key)
        if request.GET.get("kind") == Kind.SEGMENT:
            return ("name", "account", "write_key", "enabled")
        return ("name", "brand", "enabled")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return ("brand", "kind", "account", "workspace", "slug") if obj else ()

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: Source, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if write_key := form.cleaned_data.get("write_key"):
            obj.enter_write_key(write_key)

    def panel(self, request: HttpRequest, obj: Source) -> dict[str, Any]:
        mappings = set(obj.mappings.values_list("pk", flat=True))
        return {
            "notices": home.shown(
                request,
                [obj.brand_id],
                lambda notice: notice.hold is Held.SOURCE_PAUSED and notice.mapping in mappings,
            ),
            "may_press": self.has_change_permission(request, obj),
            "keys": list(obj.keys.valid().order_by("-created_at")),
            "may_reveal": scoping.is_administrator(request.user, obj.brand_id),
            "door": request.build_absolute_uri("/"),
            "webhook": request.build_absolute_uri(f"/v1/webhooks/{obj.pk}"),
        }

    def reveal(self, request: HttpRequest, source: Source) -> HttpResponse:
        """Show the current key, and write down who saw it."""
        self._administrators_only(request, source)
        self.record(request, "revealed the key", source)
        return self._key_page(request, source, source.reveal_key())

    def rotate(self, request: HttpRequest, source: Source) -> HttpResponse:
        """Issue a new key and show it; the one before stays valid for a week."""
        self._administrators_only(request, source)
        with transaction.atomic():
            self.record(request, "rotated the key", source)
            key = source.issue_key()
        messages.success(request, "A new key was issued. The one before it stays valid for seven days.")
        return self._key_page(request, source, key)

    @transaction.atomic
    def pause(self, request: HttpRequest, source: Source) -> None:
        """Go on taking events in, and let what they would send wait."""
        Source.objects.filter(pk=source.pk).update(paused=True)
        self.record(request, "paused", source)
        messages.success(request, f"{source} is paused: what its events would send waits until you resume.")

    @transaction.atomic
    def resume(self, request: HttpRequest, source: Source) -> None:
        """Send what waited."""
        Source.objects.filter(pk=source.pk).update(paused=False)
        self.record(request, "resumed", source)
        messages.success(request, f"{source} goes on: what waited is sent now.")

    def _administrators_only(self, request: HttpRequest, source: Source) -> None:
        if not scoping.is_administrator(request.user, source.brand_id):
            raise PermissionDenied("Only administrators of the brand see keys.")

    def _key_page(self, request: HttpRequest, source: Source, key: str) -> HttpResponse:
        context = self.panel(request, source) | {"original": source, "key": key}
        return self.page(request, "admin/source_key.html", f"Key of {source}", **context)

    @admin.display(description="key")
    def key(self, source: Source) -> str:
        return next((str(key) for key in source.keys.all() if key.expires_at is None), "")

    @display(description="status", label={"on": "success", "off": "warning", "paused": "warning"}, ordering="enabled")
    def status(self, source: Source) -> str:
        if not source.enabled:
            return "off"
        return "paused" if source.paused else "on"
