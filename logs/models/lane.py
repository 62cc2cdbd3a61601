"""The state of a lane, and of a customer in a mapping that asks for one."""

from __future__ import annotations

from django.db import models


class Lane(models.Model):
    """A lane that is held: nothing is claimed from it while the row exists. `held` says why, in words."""

    id = models.BigIntegerField(primary_key=True)
    brand = models.BigIntegerField()
    held = models.TextField()
    since = models.DateTimeField()

    def __str__(self) -> str:
        return self.held


class CustomerState(models.Model):
    """What the newest delivered update of a customer was, written only for mappings that ask."""

    pk = models.CompositePrimaryKey("mapping", "customer")
    mapping = models.BigIntegerField()
    customer = models.BigIntegerField()
    newest = models.DateTimeField(null=True)
    sent = models.DateTimeField(null=True)
    hashes = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"Customer {self.customer} of mapping {self.mapping}"
