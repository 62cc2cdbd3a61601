"""Segment's HTTP Tracking API: the door of every SDK, server and browser that would otherwise send to Segment."""

from __future__ import annotations

import base64

from django.http import HttpRequest

from connectors import event
from integrations.doors import body, intake
from integrations.doors.answers import Refused, Visit, door, keep, opened

_TYPES = ("track", "identify", "page", "screen", "group", "alias")
PATHS = {  # last part of the path: the kind of what comes there; the letters are analytics.js's own
    **{kind: kind for kind in (*_TYPES, "batch", "import")},
    **{kind[0]: kind for kind in (*_TYPES, "batch")},
}


@door
def receive(request: HttpRequest, visit: Visit) -> None:
    """Take one request in. A write key in the headers is looked up before a byte of the body is read."""
    visit.key = _key_of_headers(request.META.get("HTTP_AUTHORIZATION", ""))
    if visit.key:
        visit.source = _known(visit.key)
    visit.body = body.read(request, body.TRACKING)
    visit.body = body.unpack(request, visit.body)
    if visit.source:
        keep(visit, opened(visit))
    else:
        _receive_by_body(visit)


def _receive_by_body(visit: Visit) -> None:
    """The write key stands in the body. A stranger's is not parsed: some text that looks like one must be known first.

    Then the key at the top of the body decides, not one that happens to stand inside an event.
    """
    for key in event.written_keys(visit.body):
        visit.source = intake.find_by_key(key)
        if visit.source:
            visit.key = key
            break
    else:
        raise _unknown_key()
    parsed = opened(visit)
    if parsed.items and parsed.write_key != visit.key:
        visit.key, visit.source = parsed.write_key, None
        visit.source = _known(visit.key)
    keep(visit, parsed)


def _known(key: str) -> intake.SourceRef:
    source = intake.find_by_key(key)
    if source is None:
        raise _unknown_key()
    return source


def _unknown_key() -> Refused:
    return Refused(
        401,
        "invalid_write_key",
        "No source has this write key. Send it as the user of Basic authorization or as writeKey in the body; "
        "it is shown on the source's page.",
    )


def _key_of_headers(authorization: str) -> str:
    """The write key: the user of Basic, or what Bearer bears; empty where neither is given."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
    except ValueError:
        raise Refused(
            401, "invalid_write_key", "The Basic authorization is not base64 of a write key and a colon."
        ) from None
