"""Brands, which can be stopped, the people in them, and who did what."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from integrations import scoping
from integrations.admin import home
from integrations.admin.site import BrandScopedAdmin, ReadOnlyAdmin, ScopedFilter, site
from integrations.models import AuditEntry, Brand, Membership
from logs.models import Hold
from logs.verdict import Held

Role = Membership.Role


@admin.register(Brand, site=site)
class BrandAdmin(BrandScopedAdmin):
    """Administrators rename and stop their brand; only operators make, limit and remove brands."""

    editors = (Role.ADMINISTRATOR,)
    buttons = ("stop", "start")
    change_form_outer_before_template = "admin/brand_panel.html"
    list_display = ("name", "people")
    search_fields = ("name",)
    fields = ("name", "events_per_second")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if scoping.is_operator(request.user) else ("events_per_second",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return scoping.is_operator(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scoping.is_operator(request.user)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("memberships__user")

    def panel(self, request: HttpRequest, obj: Brand) -> dict[str, Any]:
        return {
            "notices": home.shown(request, [obj.pk]),
            "stopped": Hold.objects.filter(lane=obj.pk, kind=Held.STOPPED).exists(),
            "may_press": self.has_change_permission(request, obj),
        }

    def stop(self, request: HttpRequest, brand: Brand) -> None:
        """Let everything of the brand wait."""
        if not (reason := home.reason(request)):
            return
        with transaction.atomic():
            Hold.objects.put(brand.pk, brand.pk, Held.STOPPED, reason, who=request.user.get_username())
            self.record(request, "stopped everything", brand, reason)
        messages.success(request, f"Everything of {brand} is stopped: nothing more is sent within five seconds.")

    def start(self, request: HttpRequest, brand: Brand) -> None:
        """Send what waited, and everything that comes."""
        with transaction.atomic():
            Hold.objects.lift(brand.pk, Held.STOPPED)
            self.record(request, "started again", brand)
        messages.success(request, f"{brand} has started again: what waited is sent now.")

    @admin.display(description="people")
    def people(self, brand: Brand) -> str:
        return ", ".join(sorted(str(membership.user) for membership in brand.memberships.all()))


@admin.register(Membership, site=site)
class MembershipAdmin(BrandScopedAdmin):
    editors = (Role.ADMINISTRATOR,)
    list_display = ("user", "brand", "role")
    list_filter = (("brand", ScopedFilter), "role")
    list_select_related = ("user", "brand")
    fields = ("user", "brand", "role")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("user", "brand") if obj else ()


@admin.register(User, site=site)
class PersonAdmin(BrandScopedAdmin, UserAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Log-ins, for operators. What a person may do follows from their roles in brands, and from nothing here."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        ("May log in", {"fields": ("is_active", "is_staff", "is_superuser")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2", "is_staff")}),)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return UserAdmin.get_form(self, request, obj, change=change, **kwargs)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scoping.is_operator(request.user)

    has_add_permission = has_view_permission
    has_change_permission = has_view_permission
    has_delete_permission = has_view_permission


@admin.register(AuditEntry, site=site)
class AuditEntryAdmin(ReadOnlyAdmin):
    """For administrators: keys that were shown or rotated, what was stopped, paused, let go and discarded, and why."""

    list_display = ("at", "user_name", "action", "object_label", "reason", "address")
    list_filter = ("object_kind",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return scoping.scope(super().get_queryset(request), request.user, Role.ADMINISTRATOR)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return scoping.has_role(request.user, Role.ADMINISTRATOR)
        return scoping.is_administrator(request.user, obj.brand)
