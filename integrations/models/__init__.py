"""What people configure."""

from integrations.models.account import Account
from integrations.models.audit import AuditEntry
from integrations.models.brand import Brand, Membership
from integrations.models.destination import Destination
from integrations.models.mapping import Mapping, MappingVersion
from integrations.models.secret import Secret
from integrations.models.segment import Source, SourceKey, Workspace

__all__ = [
    "Account",
    "AuditEntry",
    "Brand",
    "Destination",
    "Mapping",
    "MappingVersion",
    "Membership",
    "Secret",
    "Source",
    "SourceKey",
    "Workspace",
]
