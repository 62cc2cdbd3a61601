"""Delivering: claim, resolve, send, record, lane by lane. At least once, with the same key on every attempt.

A row leaves the queue in the transaction that records what became of it, and in no other way. No transaction is open
while the network is slow. A send is begun only under a lease that outlasts it, and recorded before the next one, so a
killed worker repeats at most the events of one send.
"""

from __future__ import annotations

import json
import logging
import secrets
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection

from connectors import event as events
from connectors import lanes, routing
from connectors.book import Book, Lane, Version
from connectors.client import DEADLINE, Answer, Client, Exchange
from connectors.definitions import ActionDefinition, Call, perform, prepare, together
from connectors.errors import Broken, DeliveryError, SwitchyardError
from connectors.mapping import Context
from logs import door, ids, redact
from logs import models as logs
from logs.models.delivery import identifier
from logs.models.queue import DECIDE_LANE, MAX_CLAIMS, Claimed, Outcome
from logs.verdict import Status

CLAIM = 100
"""Rows claimed at once; what an action may batch beyond that it gets in the next request."""

LEASE = DEADLINE + 15
"""Seconds a claim is ours. A worker that dies is made good this much later, at most."""

SLICE = 5.0
"""Seconds one task drains its lane before it makes room for others."""

KEPT_REQUEST = 512 * 1024
"""Bytes of a request kept in the log: a whole batch of Segment's, so that every event can be shown its part."""

RECORD_TRIES = 20
"""Times an outcome is offered to a database that is away, half a second apart: within the lease."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ready:
    """A claimed row with its payload, ready to leave."""

    row: Claimed
    action: ActionDefinition
    payload: dict[str, Any]
    call: Call


@dataclass(slots=True)
class Hand:
    """What one worker holds of one lane: the lane, its client, its claim, and how long that is still good."""

    lane: Lane
    client: Client
    token: int
    until: float

    def lasts(self) -> bool:
        return self.until - time.monotonic() > self.client.deadline + 1


def drain(lane_id: int, book: Book, pace: lanes.Pace, stopping: Callable[[], bool]) -> bool:
    """Deliver what the lane has ready, for a few seconds at most; True if there is more to do.

    Any number may be called at once, anywhere: a lane runs only as many as its concurrency says, the rest return.
    """
    if lane_id == DECIDE_LANE:
        return decide_late(book)
    lane = book.lane(lane_id)
    if lane is None:
        return _let_go(lane_id)
    if not lane.on or logs.Lane.objects.filter(id=lane_id).exists():
        return False
    until = time.monotonic() + SLICE
    with pace.room(lane_id) as room, lanes.slot(lane_id, lane.concurrency if room else 0) as got:
        if not got:
            return False
        with _clients.lent(lane) as client:
            while not stopping() and time.monotonic() < until:
                hand = Hand(lane, client, secrets.randbits(62), time.monotonic() + LEASE)
                rows = logs.Queue.objects.claim(lane_id, CLAIM, hand.token, LEASE)
                if not rows:
                    break
                _deliver(hand, rows, book, pace, stopping)
    # A row that came between the last claim and giving the place back found every place taken: look again.
    return lane_id in logs.Queue.objects.lanes()


def stored_events(wanted: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Events by id, read again from the bytes they came in; one whose body is gone is absent. Two queries for any n."""
    wanted = set(wanted)
    if not wanted:
        return {}
    low, high = min(wanted), max(wanted)
    rows = list(
        logs.Event.objects.filter(id__in=wanted, id__gte=low, id__lte=high).values_list(
            "id", "start", "size", "message_id"
        )
    )
    requests = {ids.request_of(id) for id, *_ in rows}
    bodies = {}
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT r.id, r.kind, b.envelope::text, b.body FROM logs_request r JOIN logs_requestbody b ON b.id = r.id
               WHERE r.id = ANY(%s) AND r.id BETWEEN %s AND %s AND b.id BETWEEN %s AND %s""",
            [list(requests), ids.request_of(low), high, ids.request_of(low), high],
        )
        for id, kind, envelope, body in cursor.fetchall():
            bodies[id] = (kind, json.loads(envelope) if envelope else None, zlib.decompress(body))
    found = {}
    for id, start, size, message_id in rows:
        if (request := ids.request_of(id)) in bodies:
            kind, envelope, body = bodies[request]
            found[id] = events.load(
                body[start : start + size],
                kind=kind,
                envelope=envelope,
                received_at=ids.moment(request),
                message_id=message_id,
            )
    return found


def call_for(row: Claimed, event: dict[str, Any]) -> Call:
    """The delivery as `perform` sees it; its key comes from the row's identity alone, so every attempt has the same."""
    key = identifier(row.event, row.mapping, row.replay, row.run, row.step)
    return Call(key=key, memo=row.memo, event=event)


def context_for(version: Version, event: int) -> Context:
    """What a mapping may need beside the event: values we make up are the same for an (event, mapping), always."""
    return Context(seed=version.seed, identity=struct.pack(">2q", event, version.mapping))


def decide_late(book: Book) -> bool:
    """Decide the events whose deciding failed at the door; what fails again waits for its next turn."""
    token = secrets.randbits(62)
    rows = logs.Queue.objects.claim(DECIDE_LANE, CLAIM, token, LEASE)
    found = stored_events(row.event for row in rows)
    sources = dict(logs.Event.objects.filter(id__in=found).values_list("id", "source"))
    for row in rows:
        try:
            rules = book.rule_set(sources[row.event])
            decision = routing.decide(found[row.event], rules)
        except Exception:  # noqa: BLE001 (whatever broke deciding at the door may still be broken)
            log.exception("Event %s could not be decided", row.event)
            logs.Queue.objects.postpone(row, token, lanes.wait(row.attempts + 1))
            continue
        door.record_late(
            row,
            token,
            source=rules.source,
            rule_set=rules.id if rules.rules else None,
            verdicts=decision.verdicts,
            work=[door.Work(rule.lane, rule.mapping, rule.version) for rule in decision.matched],
        )
    return len(rows) == CLAIM


def _deliver(hand: Hand, rows: Sequence[Claimed], book: Book, pace: lanes.Pace, stopping: Callable[[], bool]) -> None:
    """Resolve the claimed rows, send them in groups, record each send before the next."""
    ready, ended = _resolve(rows, book, hand.lane.settings)
    if ended:
        _record(hand, ended, ())
    groups = deque(_groups(ready, hand.lane.settings))
    while groups:
        held = [item.row for group in groups for item in group]
        if stopping():
            logs.Queue.objects.give_back(hand.lane.id, held, hand.token)
            return
        if not hand.lasts():
            ours = logs.Queue.objects.renew(hand.lane.id, held, hand.token, LEASE)
            hand.until = time.monotonic() + LEASE
            groups = deque(kept for group in groups if (kept := [item for item in group if item.row.id in ours]))
            if not groups:
                return
        group = groups.popleft()
        answers = perform(group[0].action, hand.client, [item.payload for item in group], [item.call for item in group])
        exchanges = hand.client.take_exchanges()
        spent = sum(exchange.ms for exchange in exchanges)
        pace.note(hand.lane.id, spent / 1000)
        outcomes = [
            _outcome(item.row, answer, exchanges, spent, part=part if len(group) > 1 else None, memo=item.call.memo)
            for part, (item, answer) in enumerate(zip(group, answers, strict=True))
        ]
        _record(hand, outcomes, exchanges)


def _resolve(
    rows: Sequence[Claimed], book: Book, settings: dict[str, Any]
) -> tuple[list[Ready], list[Outcome]]:
    """What is ready to leave, and what ended before it could."""
    versions = book.versions({row.version for row in rows})
    found = stored_events(row.event for row in rows)
    ready, ended = [], []
    for row in rows:
        version, event = versions.get(row.version), found.get(row.event)
        if row.claims > MAX_CLAIMS:
            why = f"Its worker died or hung {MAX_CLAIMS} times while it had this event. It is set aside for a person."
            ended.append(Outcome(row, Status.QUARANTINED, sent=False, fault="Quarantined", error=why))
        elif version is None:
            ended.append(
                Outcome(row, Status.CANCELLED, sent=False, error="The mapping was deleted before it was sent.")
            )
        elif event is None:
            why = "What was received is no longer stored, so it can't be sent."
            ended.append(Outcome(row, Status.FAILED, sent=False, fault="Expired", error=why))
        else:
            try:
                payload = prepare(version.action, version.fields, event, context_for(version, row.event), settings)
            except SwitchyardError as error:
                ended.append(_outcome(row, error, (), 0))
            except Exception as error:  # noqa: BLE001 (one event must not take its siblings along)
                ended.append(_outcome(row, Broken(f"Resolving raised {type(error).__name__}: {error}"), (), 0))
            else:
                ready.append(Ready(row, version.action, payload, call_for(row, event)))
    return ready, ended


def _groups(ready: Sequence[Ready], settings: dict[str, Any]) -> Iterator[list[Ready]]:
    """What travels together, by action and by what its batches allow."""
    by_action: dict[str, list[Ready]] = {}
    for item in ready:
        by_action.setdefault(item.action.slug, []).append(item)
    for items in by_action.values():
        for group in together(items[0].action, [item.payload for item in items], settings):
            yield [items[i] for i in group]


def _outcome(
    row: Claimed,
    answer: Any,
    exchanges: Sequence[Exchange],
    ms: float,
    part: int | None = None,
    memo: dict[str, Any] | None = None,
) -> Outcome:
    """What the answer, or the error in its place, means for the row."""
    sent = bool(exchanges)
    last = exchanges[-1].status if sent else None
    outcome = Outcome(
        row,
        Status.DELIVERED,
        sent=sent,
        code=last,
        ms=ms if sent else None,
        exchange=0 if sent else None,
        exchanges=len(exchanges),
        part=part,
        memo=memo,
    )
    if isinstance(answer, SwitchyardError):
        outcome.status = Status.FAILED
        outcome.fault = type(answer).__name__
        outcome.error = answer.message
        if isinstance(answer, DeliveryError):
            outcome.code = answer.status
            if answer.again:
                _again(outcome, answer)
    elif isinstance(answer, Answer):
        outcome.error = answer.note
    return outcome


def _again(outcome: Outcome, error: DeliveryError) -> None:
    wait = lanes.wait(outcome.row.attempts + 1, error.retry_after)
    if datetime.now(UTC) + timedelta(seconds=wait) - ids.moment(outcome.row.event) > lanes.MAX_AGE:
        outcome.status = Status.EXPIRED
        outcome.error += f" It was given up {lanes.MAX_AGE.days} days after it was received."
    else:
        outcome.status = Status.AGAIN
        outcome.wait = wait


def _record(hand: Hand, outcomes: Sequence[Outcome], exchanges: Sequence[Exchange]) -> None:
    """Log what happened and take the rows out of the queue. A database that is away is waited for."""
    hidden = [str(hand.lane.settings[n]) for n in hand.lane.destination.secrets if hand.lane.settings.get(n)]
    for outcome in outcomes:
        outcome.error = redact.text(outcome.error, hidden)
    columns = [_columns(exchange, hidden) for exchange in exchanges]
    for tries_left in reversed(range(RECORD_TRIES)):
        try:
            logs.Queue.objects.record(hand.lane.id, outcomes, hand.token, columns)
        except (OperationalError, InterfaceError):
            if not tries_left:
                raise
            connection.close()
            time.sleep(0.5)
        else:
            return


def _columns(exchange: Exchange, hidden: Sequence[str]) -> tuple[Any, ...]:
    return (
        exchange.method,
        redact.text(exchange.url, hidden),
        json.dumps(redact.headers(exchange.request_headers, hidden)),
        zlib.compress(redact.body(exchange.request_body, hidden)[:KEPT_REQUEST], 1),
        exchange.status,
        json.dumps(redact.headers(exchange.response_headers, hidden)),
        zlib.compress(redact.body(exchange.response_body, hidden), 1),
        exchange.truncated,
        exchange.ms,
        exchange.request_id,
        redact.text(exchange.error, hidden),
    )


def _let_go(lane_id: int) -> bool:
    """Cancel what waits for a destination that was deleted."""
    token = secrets.randbits(62)
    rows = logs.Queue.objects.claim(lane_id, CLAIM, token, LEASE)
    if rows:
        why = "The destination was deleted before it was sent."
        gone = [Outcome(row, Status.CANCELLED, sent=False, error=why) for row in rows]
        logs.Queue.objects.record(lane_id, gone, token, ())
    return len(rows) >= CLAIM


class _Clients:
    """Clients between drains, so that connections stay alive; one that no longer fits its lane is dropped."""

    def __init__(self) -> None:
        self._idle: dict[int, list[tuple[Lane, Client]]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, lane: Lane) -> Iterator[Client]:
        with self._lock:
            idle = self._idle.get(lane.id, [])
            known, client = idle.pop() if idle else (lane, None)
        if client is None or known != lane:
            if client:
                client.close()
            client = lane.destination.client(lane.settings, policy=lane.policy)
        yield client
        with self._lock:
            self._idle.setdefault(lane.id, []).append((lane, client))


_clients = _Clients()
