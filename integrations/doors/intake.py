"""From a body that was understood to rows that are committed: decide, record, ring."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from django.db import Error as DatabaseError
from django.db import connection

from connectors import event as events
from connectors import routing
from connectors.book import RuleSet
from connectors.event import Parsed
from integrations import secrets, tasks
from integrations.book import rules_at
from integrations.models.segment import SourceKey, hash_of
from logs import door, ids, redact
from logs.models.queue import DECIDE_LANE

LOGGED_REFUSALS = 60
"""Refused requests of a source that one process writes into the log in a minute; the others are only counted."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceRef:
    """What the door knows of the source a request is for."""

    id: int
    brand: int
    on: bool
    rules_version: int
    events_per_second: int | None


@dataclass(frozen=True, slots=True)
class Taken:
    accepted: int
    duplicates: int
    refused: int


def find_by_key(key: str) -> SourceRef | None:
    """The source this write key opens."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_KEY, [SourceKey.Kind.WRITE_KEY.value, hash_of(key)])
        row = cursor.fetchone()
    return SourceRef(*row) if row else None


def find_for_webhook(source_id: int) -> tuple[SourceRef, list[bytes]] | None:
    """A source by its id, with every secret its webhook may be signed with; None without such."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_ID, [source_id, SourceKey.Kind.WEBHOOK_SECRET.value])
        rows = cursor.fetchall()
    if not rows:
        return None
    opened = secrets.open_all(SourceKey.secrets_kind, [row[5] for row in rows])
    return SourceRef(*rows[0][:5]), [values["value"].encode() for values in opened.values()]


def take(
    source: SourceRef, *, kind: str, parsed: Parsed, body: bytes, headers: dict[str, str], started: float, key: str
) -> Taken:
    """Commit a request and what must happen next, then ring. Raises django.db errors, and then nothing is stored.

    `started` is the time.perf_counter() at which the request came; `key` is blanked in the stored body.
    """
    id = ids.maker.base()
    received_at = ids.moment(id)
    rules = _rules(source)
    arrivals = []
    for item in parsed.items:
        arrival = door.Arrival(
            item.index,
            item.start,
            item.size,
            item.type,
            item.name,
            item.customer,
            item.anonymous,
            item.message_id,
        )
        try:
            if rules is None:
                arrival.undecided = True
            elif rules.rules:
                event = events.normalize(
                    item.event,
                    kind=kind,
                    envelope=parsed.envelope,
                    received_at=received_at,
                    message_id=item.message_id,
                )
                decision = routing.decide(event, rules)
                arrival.rule_set, arrival.verdicts = rules.id, decision.verdicts
                arrival.work = [
                    door.Work(rule.lane, rule.mapping, rule.version, rule.ordered) for rule in decision.matched
                ]
        except Exception:  # noqa: BLE001 (a bug of ours must not cost the sender's event)
            log.exception("Event %s of request %s could not be decided at the door", item.index, id)
            arrival.undecided = True
        arrivals.append(arrival)
    accepted = door.record(
        door.Arrived(
            id=id,
            brand=source.brand,
            source=source.id,
            kind=kind,
            ms=(time.perf_counter() - started) * 1000,
            presented=len(parsed.items) + len(parsed.refused),
            body=redact.blank(body, key),
            headers=headers,
            envelope=parsed.envelope,
            refusals=[(refusal.index, refusal.code, refusal.message) for refusal in parsed.refused],
        ),
        arrivals,
    )
    if accepted:
        ready = {work.lane for arrival in arrivals for work in arrival.work}
        tasks.bell(ready | {DECIDE_LANE} if any(a.undecided for a in arrivals) else ready)
    return Taken(accepted, len(arrivals) - accepted, len(parsed.refused))


def refuse(
    source: SourceRef,
    *,
    kind: str,
    status: int,
    code: str,
    message: str,
    body: bytes,
    headers: dict[str, str],
    started: float,
    key: str = "",
    events: int = 1,
) -> None:
    """Write a refused request of a known source into its log, with the reason and its first bytes."""
    request = door.Arrived(
        id=ids.maker.base(),
        brand=source.brand,
        source=source.id,
        kind=kind,
        ms=(time.perf_counter() - started) * 1000,
        presented=events,
        body=redact.blank(body, key),
        headers=headers,
    )
    door.refuse(request, status=status, code=code, message=message, logged=_worth_a_row(source.id))


def count_unauthenticated(kind: str) -> None:
    """Count a request without a valid key for the operator; it belongs to no brand and leaves no row."""
    door.count_unauthenticated(ids.moment(ids.maker.base()), 1)


def _rules(source: SourceRef) -> RuleSet | None:
    """The source's rules; None when they can't be read for a reason of ours: the events are then decided later."""
    try:
        return rules_at(source.id, source.rules_version)
    except DatabaseError:
        raise
    except Exception:  # noqa: BLE001 (as above)
        log.exception("The rules of source %s could not be read", source.id)
        return None


_refusals: dict[int, tuple[int, int]] = {}


def _worth_a_row(source: int) -> bool:
    """Whether this refusal is still within what a source may fill its log with; each process counts for itself."""
    minute = int(time.monotonic() // 60)
    began, n = _refusals.get(source, (minute, 0))
    _refusals[source] = (minute, n + 1) if began == minute else (minute, 1)
    return began != minute or n < LOGGED_REFUSALS


_BY_KEY = """
SELECT s.id, s.brand_id, s.enabled, s.rules_version, b.events_per_second
FROM integrations_sourcekey k
JOIN integrations_source s ON s.id = k.source_id
JOIN integrations_brand b ON b.id = s.brand_id
WHERE k.kind = %s AND k.hash = %s AND (k.expires_at IS NULL OR k.expires_at > now())"""

_BY_ID = """
SELECT s.id, s.brand_id, s.enabled, s.rules_version, b.events_per_second, k.id
FROM integrations_sourcekey k
JOIN integrations_source s ON s.id = k.source_id
JOIN integrations_brand b ON b.id = s.brand_id
WHERE s.id = %s AND k.kind = %s AND (k.expires_at IS NULL OR k.expires_at > now())"""
