"""The admin site: open to staff who belong to a brand, and to operators."""

from __future__ import annotations

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite

from integrations import scoping


class Site(UnfoldAdminSite):
    site_title = "Switchyard"
    index_title = "Switchyard"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and scoping.may_enter(request.user)


site = Site()
