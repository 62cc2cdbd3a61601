"""Where secrets are stored: apart from what they belong to, so that no list, filter or export comes near them."""

from django.db import models


class Secret(models.Model):
    """One secret of one thing, encrypted; read and written only by integrations.secrets."""

    owner_kind = models.CharField(max_length=20)
    owner_id = models.BigIntegerField()
    name = models.CharField(max_length=100)
    ciphertext = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner_kind", "owner_id", "name"], name="one_secret_of_a_name")]

    def __str__(self) -> str:
        return f"{self.owner_kind} {self.owner_id} {self.name}"
