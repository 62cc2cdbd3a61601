"""Every address we answer, beside /healthz, /readyz and /metrics (health.py)."""

from django.urls import path

from integrations.admin.site import site
from integrations.doors import tracking, webhooks

urlpatterns = [
    *(path(f"v1/{name}", tracking.receive, {"kind": kind}) for name, kind in tracking.PATHS.items()),
    path("v1/webhooks/<int:source_id>", webhooks.receive, {"kind": "webhook"}),
    path("admin/", site.urls),
]
