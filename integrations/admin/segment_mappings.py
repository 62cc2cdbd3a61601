"""Taking mappings over from Segment, and giving them back: two pages of a destination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from connectors import registry
from connectors.errors import DeliveryError
from integrations import scoping, secrets, segment_mappings
from integrations.admin.site import BrandScopedAdmin
from integrations.models import Account, Destination, Source


class ImportForm(forms.Form):
    """Which mappings to take over, pasted or fetched; once valid, `subscriptions` holds them as they were found."""

    source = forms.ModelChoiceField(
        Source.objects.none(),
        empty_label=None,
        widget=UnfoldAdminSelectWidget(),
        help_text="Where the events of these mappings come from here.",
    )
    text = forms.CharField(
        label="JSON",
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 16}),
        help_text="One of Segment's subscriptions, or a list of them, with name, actionSlug, trigger and settings.",
    )
    account = forms.ModelChoiceField(
        Account.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget(),
        help_text="Or fetch them: with the Public API token of this account …",
    )
    there = forms.CharField(
        label="Destination in Segment",
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="… from this destination. Its id stands in the address of its page in Segment.",
    )
    subscriptions: Sequence[Any] = ()

    def __init__(self, sources: QuerySet[Source], accounts: QuerySet[Account], data: Any = None) -> None:
        super().__init__(data)
        for name, offered in (("source", sources), ("account", accounts)):
            box = self.fields[name]
            assert isinstance(box, forms.ModelChoiceField)
            box.queryset = offered

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        text, account, there = cleaned["text"], cleaned.get("account"), cleaned["there"]
        if bool(text) == bool(account or there) or bool(account) != bool(there):
            raise forms.ValidationError("Paste their JSON, or choose an account and name a destination in Segment.")
        try:
            self.subscriptions = segment_mappings.fetch(account, there) if account else segment_mappings.read(text)
        except (segment_mappings.Unreadable, DeliveryError, secrets.SecretError) as error:
            raise forms.ValidationError(str(error)) from None
        return cleaned


class SegmentMappings(BrandScopedAdmin):
    """Adds the two pages to a destination's."""

    actions_detail = ("import_mappings", "export_mappings")

    def has_import_permission(self, request: HttpRequest, object_id: str) -> bool:
        destination = self.get_object(request, object_id)
        return destination is not None and self.has_change_permission(request, destination)

    @action(description="Import from Segment", url_path="import", permissions=["import"])
    def import_mappings(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Mappings of a destination in Segment become mappings here, off; what can't is told one by one."""
        destination = self._destination(request, object_id)
        vendors = [d.slug for d in registry.destinations().values() if d.sends_to_source]
        sources = Source.objects.filter(brand=destination.brand_id)
        accounts = Account.objects.filter(brand=destination.brand_id, connector__in=vendors)
        form = ImportForm(
            scoping.scope(sources, request.user, *self.editors),
            scoping.scope(accounts, request.user, *self.editors),
            request.POST if request.method == "POST" else None,
        )
        result: Sequence[tuple[str, Sequence[Any]]] = ()
        if form.is_valid():
            source = form.cleaned_data["source"]
            found = segment_mappings.import_(form.subscriptions, source, destination, request.user)  # type: ignore[arg-type]  # logged in
            result = (("New here, off", found.made), ("Here already", found.known), ("Refused", found.refused))
        context = {"original": destination, "form": form, "result": result}
        return self.page(request, "admin/destination_import.html", f"Import mappings into {destination}", **context)

    @action(description="Export", url_path="export")
    def export_mappings(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The destination's mappings as a file, in the form the import takes."""
        destination = self._destination(request, object_id)
        answer = JsonResponse(segment_mappings.export(destination), json_dumps_params={"indent": 2})
        answer["Content-Disposition"] = f'attachment; filename="mappings-{destination.pk}.json"'
        return answer

    def _destination(self, request: HttpRequest, object_id: str) -> Destination:
        destination = self.get_object(request, object_id)
        if not isinstance(destination, Destination):
            raise PermissionDenied
        return destination
