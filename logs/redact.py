"""What must not stand in a log: secret headers by name, known secrets by value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

MASK = "••••"

_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|password|api-?key|signature", re.IGNORECASE)


def headers(sent: Mapping[str, str], secrets: Iterable[str] = ()) -> dict[str, str]:
    """Headers as they may be shown: those that carry credentials by their name lose their value."""
    secrets = tuple(secrets)
    return {name: MASK if _SECRET_HEADER.search(name) else text(value, secrets) for name, value in sent.items()}


def text(value: str, secrets: Iterable[str]) -> str:
    """The text without any of the secrets, as they are or percent-encoded."""
    for secret in secrets:
        for form in {secret, quote(secret, safe="")}:
            value = value.replace(form, MASK)
    return value


def body(value: bytes, secrets: Iterable[str]) -> bytes:
    """The bytes without any of the secrets, as they are or as JSON writes them."""
    for secret in secrets:
        written = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, safe=""))
        for form in {secret, *written}:
            value = value.replace(form.encode(), MASK.encode())
    return value


def blank(value: bytes, secret: str) -> bytes:
    """The bytes with the secret overwritten in place, so that offsets into them stay true."""
    plain = secret.encode()
    return value.replace(plain, b"*" * len(plain)) if plain else value
