"""Refuses to run a production with settings that would give it away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from integrations import secrets

KEY_LENGTH = 50
TOKEN_LENGTH = 20
COMMON = ("django-insecure", "change", "secret", "example", "password", "insecure")


def require_safe() -> None:
    """Raise ImproperlyConfigured with everything that is unsafe; for servers as they start."""
    secrets.require_keys()
    found = [*faults()]
    if found:
        raise ImproperlyConfigured(" ".join(found))


def check(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """The same for manage.py check, one error each; keys that are missing have an error of their own."""
    if secrets.check_keys():
        return []
    return [checks.Error(fault, id="switchyard.E002") for fault in faults()]


def faults() -> Iterator[str]:
    """What is unsafe, each in a sentence that names the variable and what to set it to."""
    public = [host for host in settings.ALLOWED_HOSTS if host not in settings.LOOPBACK]
    if settings.DEBUG:
        if public:
            yield f"DEBUG shows settings and code to whoever reaches {', '.join(public)}: unset it."
        return
    if not _is_random(settings.SECRET_KEY):
        yield (
            f"SECRET_KEY is short or looks like an example: set it to {KEY_LENGTH} random characters or more "
            "(openssl rand -base64 48)."
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield "ALLOWED_HOSTS lets every name in: list those under which people and senders reach this server."
    if not settings.ALLOWED_HOSTS:
        yield "ALLOWED_HOSTS is empty, so that nobody can reach this server: list its names."
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < TOKEN_LENGTH:
        yield f"METRICS_TOKEN is shorter than {TOKEN_LENGTH} characters: make a longer one (openssl rand -hex 20)."


def _is_random(key: str) -> bool:
    return len(key) >= KEY_LENGTH and len(set(key)) >= 5 and not any(word in key.lower() for word in COMMON)
