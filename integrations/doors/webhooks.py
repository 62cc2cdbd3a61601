"""Segment's webhook destinations: how events of a source that lives in Segment come to us, signed."""

from __future__ import annotations

import os

from django.http import HttpRequest

from connectors.signatures import verify_segment
from integrations.doors import body, intake
from integrations.doors.answers import Refused, Visit, door, keep, opened

_NOBODYS_SECRET = os.urandom(32)  # so that a source that does not exist takes as long to refuse


@door
def receive(request: HttpRequest, visit: Visit, source_id: int) -> None:
    """Take one request in, if a secret of the source signed its bytes. Never tells whether there is such a source."""
    content = body.read(request, body.WEBHOOK)
    source, secrets = intake.find_for_webhook(source_id) or (None, [_NOBODYS_SECRET])
    genuine = verify_segment(content, request.META.get("HTTP_X_SIGNATURE", ""), secrets)
    if source is None or not genuine:
        raise Refused(
            401,
            "invalid_signature",
            "X-Signature does not match the body. Enter this source's webhook secret as the shared secret in Segment.",
        )
    visit.source, visit.body = source, content
    visit.body = body.unpack(request, content)
    keep(visit, opened(visit))
