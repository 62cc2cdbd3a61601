"""What every door does alike: let in only so many at once, keep what can be kept, and answer as Segment does.

200 means committed: at least one event was kept, or all had been before. 400 is final for every Segment SDK ever
released; 429 and 503, both with Retry-After, mean "send it again" to all of them.
"""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from connectors import event
from connectors.errors import EventError
from integrations.doors import intake, limits

AT_ONCE = 64  # requests one process takes in at the same time; more are asked to come again
AWAY = 1.0  # seconds no other thread tries to connect to a database that has just been tried in vain
BATCH = 500 * 1024  # bytes; Segment's limit of a batch

_SHOWN_HEADERS = {  # the ones that may be stored: none that could hold a key, a cookie or an address
    "user-agent": "HTTP_USER_AGENT",
    "content-type": "CONTENT_TYPE",
    "content-encoding": "HTTP_CONTENT_ENCODING",
    "x-retry-count": "HTTP_X_RETRY_COUNT",
}
_room = threading.BoundedSemaphore(AT_ONCE)
_connect_again_at = 0.0


class Refused(Exception):
    """The request is answered with an error; `events` is how many it presented, `after` the seconds until it may
    come again."""

    def __init__(self, status: int, code: str, message: str, *, events: int = 1, after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.events = events
        self.after = after


@dataclass(slots=True)
class Visit:
    """One request at a door: what is known of it so far. `source` is None until it is authenticated."""

    kind: str
    headers: dict[str, str]
    started: float  # time.perf_counter()
    source: intake.SourceRef | None = None
    key: str = ""
    body: bytes = b""


def door(take_in: Callable[..., None]) -> Callable[..., HttpResponse]:
    """Make a view of a function that takes a Visit in, or raises Refused. Browsers of any origin may send."""

    @csrf_exempt
    @functools.wraps(take_in)
    def view(request: HttpRequest, kind: str, **place: int) -> HttpResponse:
        response = _answer(take_in, request, kind, place)
        response["Access-Control-Allow-Origin"] = "*"
        return response

    return view


def _answer(take_in: Callable[..., None], request: HttpRequest, kind: str, place: dict[str, int]) -> HttpResponse:
    global _connect_again_at
    if request.method == "OPTIONS":
        return _preflight()
    if request.method != "POST":
        response = _refusal(405, "method_not_allowed", f"{request.method} is not taken here; send a POST.")
        response["Allow"] = "POST, OPTIONS"
        return response
    if connection.connection is None and time.monotonic() < _connect_again_at:
        return _away()
    if not _room.acquire(blocking=False):
        return _refusal(429, "too_many_requests", "Too many requests are being taken in; send this again.", after=1)
    try:
        visit = Visit(kind, _headers(request), time.perf_counter())
        try:
            take_in(request, visit, **place)
        except Refused as refused:
            _note(visit, refused)
            return _refusal(refused.status, refused.code, refused.message, after=refused.after)
    except (OperationalError, InterfaceError):
        if connection.connection is None:
            _connect_again_at = time.monotonic() + AWAY
        connection.close()
        return _away()
    finally:
        _room.release()
    return HttpResponse(b'{"success": true}', content_type="application/json")


def opened(visit: Visit) -> event.Parsed:
    """The events of an authenticated body. Raises Refused for a body nothing can be made of."""
    if visit.kind in ("batch", "import") and len(visit.body) > BATCH:
        raise Refused(
            400,
            "batch_too_large",
            f"The batch is {len(visit.body):,} bytes; Segment's limit is {BATCH:,}. Send fewer events at once.",
        )
    try:
        return event.parse(visit.body, visit.kind)
    except EventError as error:
        raise Refused(400, error.code, error.message) from None


def keep(visit: Visit, parsed: event.Parsed) -> None:
    """Take the events in, committed. Raises Refused where not one of them can be kept."""
    assert visit.source is not None
    if not parsed.items:
        code, message = _verdict(parsed.refused)
        raise Refused(400, code, message, events=len(parsed.refused))
    _within_limit(visit.source, len(parsed.items) + len(parsed.refused))
    intake.take(
        visit.source,
        kind=visit.kind,
        parsed=parsed,
        body=visit.body,
        headers=visit.headers,
        started=visit.started,
        key=visit.key,
    )


def _within_limit(source: intake.SourceRef, events: int) -> None:
    """Raise Refused if the brand sends more than its operators allow; the others do not notice."""
    if not source.events_per_second:
        return
    wait = limits.take(source.brand, source.events_per_second, events)
    if wait:
        raise Refused(
            429,
            "brand_limit",
            f"This brand may send {source.events_per_second:,} events a second; send this again in {wait} s, "
            "or ask an operator for more.",
            events=events,
            after=wait,
        )


def _verdict(refusals: list[event.Refusal]) -> tuple[str, str]:
    """One code and message for a body of which nothing was kept."""
    first = refusals[0]
    if len(refusals) == 1:
        return first.code, first.message
    code = first.code if all(r.code == first.code for r in refusals) else "empty_batch_result"
    return code, f"None of the {len(refusals):,} events can be kept; the first: {first.message}"


def _note(visit: Visit, refused: Refused) -> None:
    """A refusal of a known source is a row of its inbound log; strangers are only counted."""
    if visit.source is None:
        intake.count_unauthenticated(visit.kind)
        return
    intake.refuse(
        visit.source,
        kind=visit.kind,
        status=refused.status,
        code=refused.code,
        message=refused.message,
        body=visit.body,
        headers=visit.headers,
        started=visit.started,
        key=visit.key,
        events=refused.events,
    )


def _headers(request: HttpRequest) -> dict[str, str]:
    given = {name: request.META.get(key, "") for name, key in _SHOWN_HEADERS.items()}
    return {name: value[:500].replace("\0", "") for name, value in given.items() if value}


def _refusal(status: int, code: str, message: str, *, after: int = 0) -> HttpResponse:
    body = json.dumps({"success": False, "code": code, "message": message})
    response = HttpResponse(body, status=status, content_type="application/json")
    if after:
        response["Retry-After"] = str(after)
    return response


def _away() -> HttpResponse:
    return _refusal(503, "database_away", "Nothing could be stored just now; send this again.", after=5)


def _preflight() -> HttpResponse:
    return HttpResponse(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding, X-Retry-Count",
            "Access-Control-Max-Age": "86400",
        },
    )
