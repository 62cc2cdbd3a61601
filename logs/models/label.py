"""Names of configured things by their opaque id, kept when the thing is gone, so that evidence stays readable."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models


class LabelQuerySet(models.QuerySet["Label"]):
    def names(self, ids: Iterable[int]) -> dict[int, str]:
        """Names by id; an id nobody ever named is absent."""
        return dict(self.filter(id__in=set(ids)).values_list("id", "label"))


class Label(models.Model):
    id = models.BigIntegerField(primary_key=True)
    brand = models.BigIntegerField()
    kind = models.TextField()
    label = models.TextField()

    objects = LabelQuerySet.as_manager()

    def __str__(self) -> str:
        return self.label
