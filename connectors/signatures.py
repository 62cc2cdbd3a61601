"""Whether a webhook is genuine: HMACs over the raw bytes, compared in constant time.

Segment signs with HMAC-SHA1 in lower-case hex, header X-Signature: one event over the whole body, a batch over the JSON
text of its first element only (segmentio/action-destinations, webhook/index.ts), or, since a change proposed upstream
(pull request 3989), over the whole body as well. Parsing and writing the JSON again breaks the signature: JavaScript
writes other numbers than Python.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence


def sign_segment(raw: bytes, secret: bytes) -> str:
    """The X-Signature of these bytes."""
    return hmac.new(secret, raw, hashlib.sha1).hexdigest()


def verify_segment(raw: bytes, signature: str, secrets: Sequence[bytes]) -> bool:
    """Whether one of the secrets signed the body, or the first element of the list it is.

    Every secret is tried, also after a match, so that time tells nothing. An empty secret proves nothing and is
    skipped; no usable secret means no.
    """
    given = signature.encode("utf-8", "surrogatepass")
    texts = [raw, *_first_element(raw)]
    genuine = False
    for secret in secrets:
        for text in texts:
            expected = sign_segment(text, secret).encode()
            genuine |= hmac.compare_digest(expected, given) and bool(secret)
    return genuine


def _first_element(raw: bytes) -> list[bytes]:
    """The exact bytes of the first element of a JSON list; none if the body is no list of something."""
    try:
        text = raw.decode()
        start = _past_blanks(text, 0)
        if text[start] != "[":
            return []
        start = _past_blanks(text, start + 1)
        _, end = json.JSONDecoder(parse_int=str).raw_decode(text, start)
    except (ValueError, IndexError, RecursionError):
        return []
    return [text[start:end].encode()]


def _past_blanks(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position
