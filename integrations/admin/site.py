"""The admin site, open to staff who belong to a brand, and the base of every page in it: nobody sees another brand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from django.contrib import admin
from django.contrib.admin.utils import NestedObjects
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.forms import Field as FormField
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from integrations import scoping
from integrations.forms import ConfigurationForm
from integrations.models import AuditEntry, Brand


class Site(UnfoldAdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and scoping.may_enter(request.user)

    def may_open(self, request: HttpRequest, page: str) -> bool:
        """Whether a list, named as in integrations_source_changelist, belongs in this user's menu."""
        pages = {f"{model._meta.label_lower.replace('.', '_')}_changelist": p for model, p in self._registry.items()}
        return pages[page].has_module_permission(request)


site = Site()


class ScopedFilter(admin.RelatedFieldListFilter):
    """Offers only what the user may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        visible = scoping.scope(field.remote_field.model._default_manager.all(), request.user)
        return field.get_choices(include_blank=False, limit_choices_to={"pk__in": visible.values("pk")})


class Choice(NamedTuple):
    """One thing to choose before a page opens."""

    value: str
    label: str
    description: str = ""


class BrandScopedAdmin(ModelAdmin):
    """A page that shows and accepts what lies in the user's brands, and lets them do what their roles allow.

    Filters on a foreign key are ScopedFilters; there are no raw ids. `choose_first` names the query parameter of a
    choice to make before the page to add one opens, from `choices_first`.
    """

    editors: Sequence[str] = scoping.EDITORS
    choose_first: str = ""
    choose_title: str = ""
    buttons: Sequence[str] = ()
    """Methods that answer a POST to the thing's page followed by their name; whoever may change it may press."""
    compressed_fields = False
    list_filter_submit = False
    list_per_page = 50
    save_on_top = False
    show_facets = admin.ShowFacets.NEVER

    # What they see.

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return scoping.scope(super().get_queryset(request), request.user)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        """Offers, and on POST accepts, only what lies in brands where the user has a role to use it."""
        offered = scoping.scope(db_field.remote_field.model._default_manager.all(), request.user, *self.editors)
        if db_field.remote_field.model is Brand and offered.count() == 1:
            kwargs["initial"] = offered.get()
        return super().formfield_for_foreignkey(db_field, request, **kwargs | {"queryset": offered})

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> FormField | None:
        """Without the buttons that open another thing's form in a window of its own."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what the page's own filters ask; any other look-up reads columns letter by letter."""
        filters = [item[0] if isinstance(item, tuple | list) else item for item in self.get_list_filter(request)]
        asked = {
            f"{name}__{how}" for name in filters if isinstance(name, str) for how in ("exact", "id__exact", "isnull")
        }
        return lookup in asked | {getattr(item, "parameter_name", None) for item in filters}

    def get_deleted_objects(
        self, objs: Iterable[Model], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """What would go along; things the user may not see are counted, never named, and stop it."""
        collector = NestedObjects(using=DEFAULT_DB_ALIAS)
        collector.collect(list(objs))
        along = {obj for found in collector.data.values() for obj in found} | set(collector.protected)
        if unseen := scoping.hidden(request.user, along):
            return [], {}, set(), [f"{unseen} more, which you may not see: ask an administrator."]
        return super().get_deleted_objects(objs, request)

    # What they may do.

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or scoping.can_see(request.user, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return scoping.has_role(request.user, *self.editors)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scoping.has_role(request.user, *self.editors) if obj is None else scoping.can_edit(request.user, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def editable(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """What of these rows may be changed; a person can be viewer of one brand and member of another."""
        return scoping.scope(queryset, request.user, *self.editors)

    # Choosing first.

    def choices_first(self, request: HttpRequest) -> Sequence[Choice]:
        return ()

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.choose_first or not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)
        choices = self.choices_first(request)
        if request.GET.get(self.choose_first) in [choice.value for choice in choices]:
            return super().add_view(request, form_url, extra_context)
        return self.page(request, "admin/choose.html", self.choose_title, parameter=self.choose_first, choices=choices)

    # Buttons and panels.

    def panel(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """What `change_form_outer_before_template` shows above the form."""
        return {}

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        obj = self.get_object(request, object_id)
        panel = {} if obj is None else self.panel(request, obj)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **panel})

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path(
                f"<path:object_id>/{button}/",
                self.admin_site.admin_view(self._pressed(button)),
                name=f"{name}_{button}",
            )
            for button in self.buttons
        ] + super().get_urls()

    def _pressed(self, button: str) -> Callable[..., HttpResponse]:
        @require_POST
        def press(request: HttpRequest, object_id: str) -> HttpResponse:
            obj = self.get_object(request, object_id)
            if obj is None or not self.has_change_permission(request, obj):
                raise PermissionDenied
            return getattr(self, button)(request, obj) or self.back_to(obj)

        return press

    def record(self, request: HttpRequest, action: str, obj: Any, reason: str = "") -> None:
        """Write down in the audit what this person did."""
        brand, address = scoping.brand_of(obj), request.META.get("REMOTE_ADDR", "")
        AuditEntry.objects.record(request.user, action, obj, brand, address, reason)  # type: ignore[arg-type]  # logged in

    def back_to(self, obj: Model) -> HttpResponse:
        return HttpResponseRedirect(
            reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])
        )

    def page(self, request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
        """A page of the theme with a title of its own."""
        return TemplateResponse(
            request, template, self.admin_site.each_context(request) | {"opts": self.opts, "title": title} | context
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs.setdefault("form", self.form_for(request, obj))
        return super().get_form(request, obj, change=change, **kwargs)

    def form_for(self, request: HttpRequest, obj: Any) -> type[ConfigurationForm]:
        return ConfigurationForm


class ReadOnlyAdmin(BrandScopedAdmin):
    """A page to look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
