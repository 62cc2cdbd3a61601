"""The account: a login at a vendor, asked for once and used by any number of destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now

from connectors import registry
from connectors.definitions import DestinationDefinition, InputField
from integrations.models.base import Configured
from integrations.models.brand import Brand

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class AccountManager(models.Manager["Account"]):
    def create_account(
        self, brand: Brand, connector: str, name: str, values: dict[str, Any] | None = None, owner: User | None = None
    ) -> Account:
        """An account with its settings, plain and secret ones alike in `values`."""
        account = self.model(brand=brand, connector=connector, name=name, owner=owner)
        account.full_clean()
        account.write_settings(account.with_defaults(values or {}))
        return account


class Account(Configured):
    """Personal when it has an owner, else shared with the brand."""

    secrets_kind = "account"

    brand = models.ForeignKey(Brand, models.PROTECT, related_name="accounts")
    connector = models.CharField(max_length=50, help_text="The vendor this login is for.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="accounts",
        help_text="A personal account is seen and used by its owner only. Empty: shared with everyone in the brand.",
    )
    limits = models.JSONField(
        default=dict,
        blank=True,
        help_text="Requests a minute where the vendor allows this account another number than is usual: "
        '{"requests": 3000}.',
    )
    tested_at = models.DateTimeField("tested", null=True, editable=False)
    test_ok = models.BooleanField("last test", null=True, editable=False)
    test_message = models.TextField("what the test found", blank=True, editable=False)

    objects = AccountManager()

    @property
    def definition(self) -> DestinationDefinition:
        return registry.get_destination(self.connector)

    @property
    def declared(self) -> tuple[InputField, ...]:
        return self.definition.account

    def clean_fields(self, exclude: Any = None) -> None:
        self.limits = {} if self.limits is None else self.limits
        super().clean_fields(exclude=exclude)

    def clean(self) -> None:
        try:
            known = {limit.slug: limit for limit in self.definition.limits}
        except KeyError:
            raise ValidationError({"connector": f"There is no connector {self.connector!r}."}) from None
        if not isinstance(self.limits, dict):
            raise ValidationError({"limits": 'Write limits as {"name": requests a minute}.'})
        for slug, per_minute in self.limits.items():
            if slug not in known:
                names = ", ".join(known) or "none"
                raise ValidationError({"limits": f"{self.definition.name} has no limit “{slug}”; it has: {names}."})
            if type(per_minute) is not int or not 1 <= per_minute <= 1_000_000:
                raise ValidationError({"limits": f"“{slug}” must be a whole number from 1 to 1,000,000 a minute."})

    def record_test(self, ok: bool, message: str) -> None:
        """Keep what "test connection" found."""
        Account.objects.filter(pk=self.pk).update(tested_at=Now(), test_ok=ok, test_message=message[:2000])
