"""The admin: what administrators see and click. Importing it registers every page."""

from integrations.admin import accounts, brands, destinations, mappings, sources
from integrations.admin.site import site

__all__ = ["accounts", "brands", "destinations", "mappings", "site", "sources"]
