"""Keeps secrets encrypted with a ring of keys, each value bound to the row it belongs to.

The envelope is `v1:<key id>:<base64 of nonce and ciphertext>`, AES-256-GCM. Kind, id and name of the owner are its
associated data, so that a value copied to another row does not open there. The ring is the environment variable
SWITCHYARD_SECRET_KEYS, `id:base64key,…`, newest first: the first key encrypts, all of them open.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from integrations.models.secret import Secret

NONCE = 12
VARIABLE = "SWITCHYARD_SECRET_KEYS"


class SecretError(Exception):
    """A secret that can't be opened; the message says which one and what to do."""


def put(kind: str, id: int, name: str, value: str) -> None:
    """Store a secret, replacing the one of that name; an empty value forgets it."""
    if not value:
        Secret.objects.filter(owner_kind=kind, owner_id=id, name=name).delete()
        return
    Secret.objects.bulk_create(
        [Secret(owner_kind=kind, owner_id=id, name=name, ciphertext=seal(kind, id, name, value))],
        update_conflicts=True,
        unique_fields=["owner_kind", "owner_id", "name"],
        update_fields=["ciphertext"],
    )


def open_all(kind: str, ids: Iterable[int]) -> dict[int, dict[str, str]]:
    """Every secret of these owners, opened, by owner and name; an owner without secrets has an empty dict."""
    opened: dict[int, dict[str, str]] = {id: {} for id in ids}
    for row in Secret.objects.filter(owner_kind=kind, owner_id__in=list(opened)):
        opened[row.owner_id][row.name] = unseal(kind, row.owner_id, row.name, row.ciphertext)
    return opened


def names(kind: str, id: int) -> set[str]:
    """Which secrets are stored, without opening any."""
    return set(Secret.objects.filter(owner_kind=kind, owner_id=id).values_list("name", flat=True))


def forget(kind: str, id: int) -> None:
    """Delete every secret of this owner. Deleting the owner does so too, by a trigger of the database."""
    Secret.objects.filter(owner_kind=kind, owner_id=id).delete()


def rotate(batch: int = 200) -> int:
    """Encrypt again, with the newest key, what an older one holds; returns how many.

    Stop it and start it again as you like: what is done is not done twice, and a value replaced meanwhile stays.
    """
    newest = next(iter(key_ring()))
    done = 0
    old = Secret.objects.exclude(ciphertext__startswith=f"v1:{newest}:").order_by("pk")
    after = 0
    while rows := list(old.filter(pk__gt=after)[:batch]):
        for row in rows:
            value = unseal(row.owner_kind, row.owner_id, row.name, row.ciphertext)
            fresh = seal(row.owner_kind, row.owner_id, row.name, value)
            done += Secret.objects.filter(pk=row.pk, ciphertext=row.ciphertext).update(ciphertext=fresh)
        after = rows[-1].pk
    return done


def seal(kind: str, id: int, name: str, value: str) -> str:
    """The envelope of a value, to be opened for this owner and name only."""
    key_id, key = next(iter(key_ring().items()))
    nonce = os.urandom(NONCE)
    sealed = nonce + key.encrypt(nonce, value.encode(), _bound_to(kind, id, name))
    return f"v1:{key_id}:{base64.b64encode(sealed).decode()}"


def unseal(kind: str, id: int, name: str, envelope: str) -> str:
    """The value in an envelope; SecretError unless a key of the ring opens it for this very owner and name."""
    what = f"The secret {name!r} of {kind} {id}"
    version, _, rest = envelope.partition(":")
    key_id, _, sealed_text = rest.partition(":")
    if version != "v1":
        raise SecretError(f"{what} has no envelope this version reads: enter it again.")
    key = key_ring().get(key_id)
    if key is None:
        raise SecretError(f"{what} is encrypted with key {key_id!r}, which is not in {VARIABLE}: add that key again.")
    try:
        sealed = base64.b64decode(sealed_text, validate=True)
        return key.decrypt(sealed[:NONCE], sealed[NONCE:], _bound_to(kind, id, name)).decode()
    except (InvalidTag, ValueError) as error:
        raise SecretError(
            f"{what} does not open with key {key_id!r}: the key's value has changed, or the secret was changed or "
            f"moved outside Switchyard. Enter it again, or put the right key into {VARIABLE}."
        ) from error


def key_ring() -> dict[str, AESGCM]:
    """The keys by id, newest first; ImproperlyConfigured if there are none or one is malformed."""
    return _parse_ring(settings.SECRET_KEYS)


def check_keys(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """A production without its own keys is an error, named by its variable."""
    if settings.DEBUG and not settings.SECRET_KEYS:
        return []
    try:
        require_keys()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="switchyard.E001")]
    return []


def require_keys() -> None:
    """Raise ImproperlyConfigured unless sessions can be signed and secrets be encrypted; for servers as they start."""
    try:
        signs = bool(settings.SECRET_KEY)
    except ImproperlyConfigured:
        signs = False
    if not signs:
        raise ImproperlyConfigured("The environment variable SECRET_KEY is empty: set it to a long random text.")
    key_ring()


@lru_cache(maxsize=4)
def _parse_ring(text: str) -> dict[str, AESGCM]:
    ring: dict[str, AESGCM] = {}
    for entry in filter(None, text.split(",")):
        key_id, _, encoded = entry.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not key_id or len(key) != 32:
            raise ImproperlyConfigured(
                f"{VARIABLE}: the key {key_id!r} must read id:key, with 32 random bytes in base64 as the key."
            )
        ring[key_id] = AESGCM(key)
    if not ring:
        raise ImproperlyConfigured(
            f"The environment variable {VARIABLE} is empty: set it to id:key, with 32 random bytes in base64 as the "
            "key (openssl rand -base64 32), and keep it safe: without it no stored secret opens again."
        )
    return ring


def _bound_to(kind: str, id: int, name: str) -> bytes:
    return f"{kind}:{id}:{name}".encode()
