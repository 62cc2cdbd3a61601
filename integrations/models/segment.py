"""Workspaces, and sources: the streams of events everything starts from."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models.functions import Now

from integrations import secrets
from integrations.models.account import Account
from integrations.models.base import Named, issued_key, opaque_id
from integrations.models.brand import Brand

OVERLAP = timedelta(days=7)
"""How long a rotated key still opens the door."""


class Workspace(Named):
    """A Segment workspace as an account's token sees it; kept in step with Segment, not edited here."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="workspaces")
    slug = models.CharField(max_length=200)
    segment_id = models.CharField("Segment's id", max_length=100)

    class Meta(Named.Meta):
        constraints = [models.UniqueConstraint(fields=["account", "segment_id"], name="one_workspace_of_an_id")]


class SourceManager(models.Manager["Source"]):
    def create_application(self, brand: Brand, name: str) -> Source:
        """A source for the brand's own systems; its write key is issued with it."""
        return self.create(brand=brand, name=name, kind=Source.Kind.APPLICATION)

    @transaction.atomic
    def create_segment(self, account: Account, name: str, write_key: str, **more: Any) -> Source:
        """A source in Segment, known by the write key entered here; the secret for its webhook is issued with it."""
        source = self.create(brand=account.brand, account=account, name=name, kind=Source.Kind.SEGMENT, **more)
        source.enter_write_key(write_key)
        return source


class Source(Named):
    class Kind(models.TextChoices):
        APPLICATION = "application", "Application"
        SEGMENT = "segment", "Segment"

    brand = models.ForeignKey(Brand, models.PROTECT, related_name="sources")
    kind = models.CharField(
        max_length=20,
        choices=Kind.choices,
        default=Kind.APPLICATION,
        help_text="Application: your own systems send events here, with Segment's libraries and a write key from us. "
        "Segment: a source in your Segment workspace; events come from it through a webhook, and can be sent to it.",
    )
    enabled = models.BooleanField(
        "on", default=True, help_text="Switched off, events are kept and marked “source off”, and sent nowhere."
    )
    paused = models.BooleanField(
        default=False, help_text="Events are still taken in and matched; what they would send waits until you resume."
    )
    account = models.ForeignKey(
        Account,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="sources",
        help_text="For a Segment source: the Segment account it belongs to, which knows its region.",
    )
    workspace = models.ForeignKey(Workspace, models.SET_NULL, null=True, blank=True, related_name="sources")
    segment_id = models.CharField("Segment's id", max_length=100, blank=True)
    slug = models.CharField(
        max_length=200,
        blank=True,
        validators=[RegexValidator(r"^[a-z0-9._-]+\Z", "Segment allows lower case letters, digits and . _ - only.")],
        help_text="The source's name in Segment.",
    )
    rules_version = models.BigIntegerField(default=0, editable=False)
    """Grows whenever what routing does with an event of this source may have changed; the database sees to it."""

    objects = SourceManager()

    class Meta(Named.Meta):
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="segment", account__isnull=False)
                | models.Q(kind="application", account__isnull=True, workspace__isnull=True),
                name="segment_sources_have_an_account",
                violation_error_message="A Segment source needs a Segment account; an application has none.",
            )
        ]

    def clean(self) -> None:
        if self.account is None:
            return
        if self.brand_id is None:
            self.brand = self.account.brand
        if self.account.brand_id != self.brand_id:
            raise ValidationError({"account": "This account belongs to another brand."})
        if not self.account.definition.sends_to_source:
            raise ValidationError({"account": f"{self.account.definition.name} has no sources to send to."})
        if self.workspace and self.workspace.account_id != self.account_id:
            raise ValidationError({"workspace": "This workspace belongs to another account."})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new source is issued its key in the same breath."""
        adding = self._state.adding
        with transaction.atomic():
            super().save(*args, **kwargs)
            if adding:
                self.issue_key()

    @property
    def key_kind(self) -> str:
        """What its senders prove themselves with: a write key, or the secret that signs Segment's webhook."""
        return SourceKey.Kind.WRITE_KEY if self.kind == self.Kind.APPLICATION else SourceKey.Kind.WEBHOOK_SECRET

    @transaction.atomic
    def issue_key(self) -> str:
        """A new key, returned in plain; the one before it stays valid for OVERLAP."""
        Source.objects.select_for_update().get(pk=self.pk)
        self.keys.current().update(expires_at=Now() + OVERLAP)
        value = issued_key()
        key = SourceKey.objects.create(source=self, kind=self.key_kind, hash=hash_of(value), ending=value[-4:])
        secrets.put(SourceKey.secrets_kind, key.pk, "value", value)
        return value

    def reveal_key(self) -> str:
        """The current key in plain. Show it to administrators only, and write an AuditEntry."""
        key = self.keys.current().get()
        return secrets.open_all(SourceKey.secrets_kind, [key.pk])[key.pk]["value"]

    def webhook_secrets(self) -> list[str]:
        """Every secret a webhook of this source may be signed with now."""
        ids = self.keys.valid().filter(kind=SourceKey.Kind.WEBHOOK_SECRET).values_list("pk", flat=True)
        return [opened["value"] for opened in secrets.open_all(SourceKey.secrets_kind, ids).values()]

    def enter_write_key(self, value: str) -> None:
        """Keep the key Segment gave its source, to send with; it does not open our door."""
        secrets.put("source", self.pk, "write_key", value)


class SourceKeyQuerySet(models.QuerySet["SourceKey"]):
    def valid(self) -> SourceKeyQuerySet:
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=Now()))

    def current(self) -> SourceKeyQuerySet:
        return self.filter(expires_at=None)

    def opening(self, write_key: str) -> SourceKeyQuerySet:
        """The key row this write key belongs to, if it still opens the door."""
        return self.valid().filter(kind=SourceKey.Kind.WRITE_KEY, hash=hash_of(write_key))


class SourceKey(models.Model):
    """A key issued by us: its hash for look-up, its value among the secrets."""

    class Kind(models.TextChoices):
        WRITE_KEY = "write_key", "write key"
        WEBHOOK_SECRET = "webhook_secret", "webhook secret"

    secrets_kind = "source_key"

    id = models.BigIntegerField(primary_key=True, default=opaque_id, editable=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="keys")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    hash = models.BinaryField(max_length=32, unique=True)
    ending = models.CharField(max_length=4)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)

    objects = SourceKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source"], condition=models.Q(expires_at=None), name="one_current_key_of_a_source"
            )
        ]

    def __str__(self) -> str:
        return f"••••{self.ending}"


def hash_of(key: str) -> bytes:
    """SHA-256: enough for a key of 190 random bits, and quick at the door."""
    return hashlib.sha256(key.encode()).digest()
