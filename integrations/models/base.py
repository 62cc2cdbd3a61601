"""What configured things share: an opaque id that never changes, a name that may, settings of which some are secret."""

from __future__ import annotations

import secrets as randomness
import string
from collections.abc import Mapping
from typing import Any, ClassVar

from django.db import models, transaction

from connectors.definitions import UNSET, DestinationDefinition, InputField
from integrations import secrets

ALPHANUMERIC = string.ascii_letters + string.digits


def opaque_id() -> int:
    """A random id of 50 bits, which JavaScript still counts exactly; unique over all brands and tables."""
    return randomness.randbits(50) or 1


def brand_seed() -> bytes:
    """32 random bytes."""
    return randomness.token_bytes(32)


def issued_key() -> str:
    """A key of ours: 32 letters and digits, 190 bits."""
    return "".join(randomness.choice(ALPHANUMERIC) for _ in range(32))


class Named(models.Model):
    """A configured thing: everything hangs on its id, so its name is free to change."""

    id = models.BigIntegerField(primary_key=True, default=opaque_id, editable=False)
    name = models.CharField("name", max_length=200, help_text="Any text; change it whenever you like.")

    class Meta:
        abstract = True
        ordering: ClassVar[list[str]] = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class Configured(Named):
    """A named thing with the settings a connector declares: plain ones in a column, secret ones among the secrets."""

    settings = models.JSONField("settings", default=dict, blank=True, editable=False)

    class Meta(Named.Meta):
        abstract = True

    secrets_kind: ClassVar[str]

    @property
    def definition(self) -> DestinationDefinition:
        """The connector's definition; KeyError if its file is gone."""
        raise NotImplementedError

    @property
    def declared(self) -> tuple[InputField, ...]:
        """The settings asked of this thing."""
        raise NotImplementedError

    def with_defaults(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """These values, and the declared default of every setting not among them."""
        return {field.name: field.default for field in self.declared if field.default is not UNSET} | dict(values)

    def write_settings(self, values: Mapping[str, Any]) -> None:
        """Save these settings, each where it belongs; secrets not named keep their value."""
        secret = {field.name for field in self.declared if field.secret}
        self.settings = {name: value for name, value in values.items() if name not in secret}
        with transaction.atomic():
            self.save()
            for name in secret & set(values):
                secrets.put(self.secrets_kind, self.pk, name, values[name])

    def open_settings(self) -> dict[str, Any]:
        """Plain and secret settings together; never log or print them."""
        return {**self.settings, **secrets.open_all(self.secrets_kind, [self.pk])[self.pk]}
