"""Every address we answer."""

from django.urls import path

from integrations.admin.site import site

urlpatterns = [path("admin/", site.urls)]
