"""Makes the configuration a Django app, and refuses to run a production without its keys."""

from django.apps import AppConfig
from django.core import checks


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Switchyard"

    def ready(self) -> None:
        from integrations import production, secrets

        checks.register(secrets.check_keys)
        checks.register(production.check)
