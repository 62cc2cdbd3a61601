"""Makes an old key dispensable: every secret is encrypted again with the newest one."""

from typing import Any

from django.core.management.base import BaseCommand

from integrations import secrets


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret with the first key of SWITCHYARD_SECRET_KEYS. Put the new key before the old one, "
        "restart, run this, then take the old key away. May be stopped and started again at any time."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        newest = next(iter(secrets.key_ring()))
        done = secrets.rotate()
        self.stdout.write(f"{done} secrets were encrypted again; all are under the key {newest} now.")
