"""The admin: what administrators see and click. Importing it registers every page."""

from integrations.admin import accounts, brands, destinations, logs, mappings, sources
from integrations.admin.site import site

__all__ = ["accounts", "brands", "destinations", "logs", "mappings", "site", "sources"]
