"""Celery: the doorbell and the hands of delivery, never its memory."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_init, worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integrations.settings")

app = Celery("integrations")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["integrations"])


@worker_init.connect
@beat_init.connect
def _refuse(**kwargs: Any) -> None:
    """End a process that is set up unsafely. Celery would only log any other exception."""
    from django.core.exceptions import ImproperlyConfigured

    from integrations.production import require_safe

    try:
        require_safe()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None


@worker_init.connect
def _fit(**kwargs: Any) -> None:
    """End a worker whose database is not migrated: it would send and then fail to record that it did."""
    from django.db import InterfaceError, OperationalError

    from integrations.health import unapplied

    try:
        missing = unapplied()
    except (OperationalError, InterfaceError):
        return  # while the database is away nothing is claimed either
    if missing:
        names = ", ".join(sorted(".".join(migration) for migration in missing))
        raise SystemExit(f"The database lacks these migrations: {names}. Run manage.py migrate, then start the worker.")


@worker_ready.connect
def _begin(**kwargs: Any) -> None:
    from integrations import tasks

    tasks.start_sweeping()


@worker_shutting_down.connect
def _end(**kwargs: Any) -> None:
    """Stop claiming at once; what is on its way is finished and recorded, the rest given back."""
    from integrations import tasks

    tasks.stopping.set()
