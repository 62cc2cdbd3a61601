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
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection

from connectors import event as events
from connectors import lanes, routing
from connectors.book import Book, Lane, Version
from connectors.client import DEADLINE, Answer, Client, Exchange
from connectors.definitions import Call, perform, prepare, together
from connectors.errors import (
    Broken,
    Busy,
    CredentialsRefused,
    DeliveryError,
    Gone,
    NoAnswer,
    Rejected,
    SwitchyardError,
)
from connectors.mapping import Context
from connectors.rates import Allowance
from connectors.schedule import Schedule
from logs import door, ids, redact
from logs import models as logs
from logs.models.delivery import identifier
from logs.models.queue import DECIDE_LANE, MAX_CLAIMS, Aside, Claimed, Outcome
from logs.verdict import Cause, Held, Status

CLAIM = 100
"""Rows claimed at once; what an action may batch beyond that it gets in the next request."""

LEASE = DEADLINE + 12
"""Seconds a claim is ours. A worker that dies is made good this much later, at most."""

SLICE, SHORT_SLICE = 5.0, 0.5
"""Seconds one task drains its lane before it makes room for others; the short one when every thread is busy."""

KEPT_REQUEST = 512 * 1024
"""Bytes of a request kept in the log: a whole batch of Segment's, so that every event can be shown its part."""

RECORD_TRIES = 20
"""Times an outcome is offered to a database that is away, half a second apart: within the lease."""

UNCERTAIN = 15.0
"""Seconds until an update looks again whether a newer one of its customer, of unknown outcome, was delivered."""

BUSY_CUSTOMER = 1.0
"""Seconds until a row looks again whether the customer's other delivery is finished."""

LOOK_AGAIN = 1.0
"""Seconds a worker with work in hand goes on before it looks whether its lane is held now."""

ON_REQUEST = frozenset({Cause.AFTER_PAUSE, Cause.AFTER_HOLD, Cause.BY_HAND})
"""Causes that mean a person said "send it": what holds single deliveries does not hold these."""

EVER = datetime(2000, 1, 1, tzinfo=UTC)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ready:
    """A claimed row with its payload, ready to leave. `happened` is set for an update, where the latest wins."""

    row: Claimed
    version: Version
    payload: dict[str, Any]
    call: Call
    happened: datetime | None = None

    @property
    def customer(self) -> tuple[int, int]:
        return self.row.mapping, self.row.customer


@dataclass(slots=True)
class Hand:
    """What one worker holds of one lane: the lane, its client, its claim, and how long that is still good."""

    lane_id: int
    lane: Lane
    client: Client
    token: int
    until: float
    probing: bool
    allowed: int
    made: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    def lasts(self) -> bool:
        return self.until - time.monotonic() > self.client.deadline + 1


class Watch:
    """Whether to stop: when the worker does, or when the lane was held since we began; asked before each send."""

    def __init__(self, lane_id: int, lane: Lane, stopping: Callable[[], bool]) -> None:
        self._lane_id, self._lane, self._stopping = lane_id, lane, stopping
        self._looked = time.monotonic()
        self.held = False

    def __call__(self) -> bool:
        if not self.held and time.monotonic() - self._looked > LOOK_AGAIN:
            self._looked = time.monotonic()
            self.held = any(
                _closed(hold, self._lane_id) for hold in logs.Hold.objects.of(self._lane.id, self._lane.brand)
            )
        return self.held or self._stopping()


def drain(lane_id: int, book: Book, pace: lanes.Pace, stopping: Callable[[], bool]) -> bool:
    """Deliver what the lane has ready, for a few seconds at most; True if there is more to do.

    Any number may be called at once, anywhere: a lane runs only as many as its concurrency says, the rest return. The
    negative of a lane's id is the lane of what a person let go of it: neither off nor pause stops that.
    """
    if lane_id == DECIDE_LANE:
        return decide_late(book)
    lane = book.lane(abs(lane_id))
    if lane is None:
        return _cancel(lane_id)
    if not lane.on and lane_id > 0:
        return False
    holds = list(logs.Hold.objects.of(lane.id, lane.brand))
    if any(_closed(hold, lane_id) for hold in holds):
        return False
    with _clients.lent(lane) as client:
        if any(hold.kind == Held.CREDENTIALS for hold in holds) and not _credentials_good(lane, client):
            return False
        ramp = min([hold.ramp for hold in holds if hold.kind == Held.BREAKER], default=None)
        places = lane.concurrency if ramp is None else min(ramp, lane.concurrency)
        with pace.room(lane_id, lane.brand) as room, lanes.slot(lane_id, places if room else 0) as got:
            if not got:
                return False
            if not _drain(lane_id, lane, client, book, pace, Watch(lane_id, lane, stopping), ramp):
                return False
    # A row that came between the last claim and giving the place back found every place taken: look again.
    return lane_id in logs.Queue.objects.lanes()


def _drain(
    lane_id: int, lane: Lane, client: Client, book: Book, pace: lanes.Pace, stopping: Watch, ramp: int | None
) -> bool:
    """Claim and deliver until the time is up; False when the account's limits are used up, which only time mends."""
    begun = time.monotonic()
    while not stopping() and time.monotonic() - begun < (SHORT_SLICE if pace.full else SLICE):
        allowance = Allowance(lane, book, CLAIM)
        if not allowance.sends:
            allowance.settle(Counter(), Counter())
            return False
        n = min(CLAIM, allowance.sends * _rows_a_send(lane), ramp or CLAIM)
        until = time.monotonic() + LEASE
        hand = Hand(lane_id, lane, client, secrets.randbits(62), until, ramp is not None, allowance.sends)
        rows = logs.Queue.objects.claim(lane_id, n, hand.token, LEASE)
        if rows:
            _deliver(hand, rows, book, pace, stopping)
        allowance.settle(hand.made, hand.requests)
        if not rows or ramp is not None:
            break
    return True


def _closed(hold: logs.Hold, lane_id: int) -> bool:
    """Whether the hold closes the lane now; a due probe opens it a little, and what was let go passes a pause."""
    if hold.kind == Held.PAUSED and lane_id < 0:
        return False
    return hold.until is None or hold.until > datetime.now(UTC)


def _rows_a_send(lane: Lane) -> int:
    """How many rows one request of the lane may carry, if all its actions have batches."""
    batches = [action.batch for action in lane.destination.actions]
    return min((batch.items for batch in batches if batch), default=1) if all(batches) else 1


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
            wait = Schedule().wait(row.attempts + 1)
            logs.Queue.objects.put_off(DECIDE_LANE, [Aside(row, wait, attempts=1)], token)
            continue
        door.record_late(
            row,
            token,
            source=rules.source,
            rule_set=rules.id if rules.rules else None,
            verdicts=decision.verdicts,
            work=[door.Work(rule.lane, rule.mapping, rule.version, rule.ordered) for rule in decision.matched],
        )
    return len(rows) == CLAIM


def _deliver(hand: Hand, rows: Sequence[Claimed], book: Book, pace: lanes.Pace, stopping: Watch) -> None:
    """Resolve the claimed rows, send them in groups, record each send before the next."""
    versions = book.versions({row.version for row in rows})
    admitted, aside, ended = _admit(rows, versions, hand.token)
    ready, failed = _resolve(admitted, versions, hand.lane.settings)
    ready, behind, superseded = _latest_only(ready, hand.token)
    aside += behind
    failed += superseded
    if ended or failed:
        _record(hand, [*ended, *failed], (), versions)
    groups = deque(_groups(ready, hand.lane.settings))
    unfinished: set[tuple[int, int]] = set()
    while groups and hand.made.total() < hand.allowed and not stopping():
        if not hand.lasts():
            groups = _renewed(hand, groups)
            continue
        group = groups.popleft()
        if group[0].version.terms.ordered and group[0].customer in unfinished:
            aside += [Aside(item.row, BUSY_CUSTOMER) for item in group]
            continue
        outcomes = _send(hand, group, pace, versions)
        unfinished.update((o.row.mapping, o.row.customer) for o in outcomes if o.wait is not None)
        if _hold_the_lane(hand, outcomes, pace):
            stopping.held = True
    left = [item.row for group in groups for item in group]
    if aside:
        logs.Queue.objects.put_off(hand.lane_id, aside, hand.token)
    if left:
        logs.Queue.objects.give_back(hand.lane_id, left, hand.token)
    remembered = [row for row in admitted if _remembers(versions[row.version])]
    if remembered:
        logs.CustomerState.objects.leave(hand.token, [(row.mapping, row.customer) for row in remembered])


def _renewed(hand: Hand, groups: deque[list[Ready]]) -> deque[list[Ready]]:
    """What is still ours after renewing the lease."""
    held = [item.row for group in groups for item in group]
    ours = logs.Queue.objects.renew(hand.lane_id, held, hand.token, LEASE)
    logs.CustomerState.objects.occupy(
        [item.customer for group in groups for item in group if item.happened], hand.token, LEASE
    )
    hand.until = time.monotonic() + LEASE
    return deque(kept for group in groups if (kept := [item for item in group if item.row.id in ours]))


def _admit(
    rows: Sequence[Claimed], versions: dict[int, Version], token: int
) -> tuple[list[Claimed], list[Aside], list[Outcome]]:
    """Which of the rows may be sent now, which have to wait for something, and which have ended."""
    admitted: list[Claimed] = []
    aside: list[Aside] = []
    ended: list[Outcome] = []
    for row in rows:
        version = versions.get(row.version)
        if row.claims > MAX_CLAIMS:
            why = f"Its worker died or hung {MAX_CLAIMS} times while it had this event. It is set aside for a person."
            ended.append(Outcome(row, Status.QUARANTINED, sent=False, fault="Quarantined", error=why))
        elif version is None:
            ended.append(
                Outcome(row, Status.CANCELLED, sent=False, error="The mapping was deleted before it was sent.")
            )
        elif version.terms.max_age and datetime.now(UTC) - ids.moment(row.event) > version.terms.max_age:
            why = f"Too old: its mapping sends nothing later than {version.terms.max_age} after it was received."
            ended.append(Outcome(row, Status.EXPIRED, sent=False, fault="TooOld", error=why))
        elif version.terms.paused and row.cause not in ON_REQUEST:
            aside.append(Aside(row, None, version.terms.paused))
        else:
            admitted.append(row)
    for check in (_in_turn, _one_at_a_time, _within_limits):
        admitted, put_off = check(admitted, versions, token)
        aside += put_off
    return admitted, aside, ended


def _in_turn(rows: list[Claimed], versions: dict[int, Version], token: int) -> tuple[list[Claimed], list[Aside]]:
    """Of mappings in strict order, only what no earlier event of the customer, in other hands, comes before."""
    strict = [row for row in rows if versions[row.version].terms.ordered]
    if not strict:
        return rows, []
    turns = logs.Turn.objects.earliest((row.mapping, row.customer) for row in strict)
    later: set[int] = set()
    for row in sorted(strict, key=lambda row: row.event):
        waiting = turns.get((row.mapping, row.customer), [])
        if waiting and waiting[0] == row.event:
            waiting.pop(0)
        elif row.event in waiting:
            later.add(row.id)
    now = sorted((row for row in rows if row.id not in later), key=lambda row: row.event)
    return now, [Aside(row, BUSY_CUSTOMER) for row in rows if row.id in later]


def _one_at_a_time(rows: list[Claimed], versions: dict[int, Version], token: int) -> tuple[list[Claimed], list[Aside]]:
    """Of updates, only those whose customer nobody else is updating; of "once" mappings, only who is due again."""
    asking = [row for row in rows if _remembers(versions[row.version])]
    if not asking:
        return rows, []
    taken = logs.CustomerState.objects.occupy([(row.mapping, row.customer) for row in asking], token, LEASE)
    aside: dict[int, Aside] = {}
    for row in asking:
        once = versions[row.version].terms.once
        pair = (row.mapping, row.customer)
        if pair not in taken:
            aside[row.id] = Aside(row, BUSY_CUSTOMER)
        elif once and row.cause not in ON_REQUEST and (sent := taken[pair]) and datetime.now(UTC) - sent < once:
            aside[row.id] = Aside(row, None, Held.ONCE)
        elif once:
            taken[pair] = datetime.now(UTC)
    return [row for row in rows if row.id not in aside], list(aside.values())


def _remembers(version: Version) -> bool:
    return version.action.update or version.terms.once is not None


def _within_limits(rows: list[Claimed], versions: dict[int, Version], token: int) -> tuple[list[Claimed], list[Aside]]:
    """Of mappings with a limit or on their first run, only what stays within it; a retry was counted before."""
    counted: dict[int, list[Claimed]] = {}
    for row in rows:
        terms = versions[row.version].terms
        if (terms.hourly or terms.first_run) and row.attempts == 0 and row.cause == Cause.FIRST:
            counted.setdefault(row.version, []).append(row)
    aside: dict[int, Aside] = {}
    for version, asking in counted.items():
        terms, mapping = versions[version].terms, versions[version].mapping
        if terms.first_run:
            left = logs.Quota.objects.take(mapping, terms.first_run_since or EVER, terms.first_run, len(asking))
            aside |= {row.id: Aside(row, None, Held.FIRST_RUN) for row in asking[left:]}
            asking = asking[:left]
        if terms.hourly:
            now = datetime.now(UTC)
            hour = now.replace(minute=0, second=0, microsecond=0)
            left = logs.Quota.objects.take(mapping, hour, terms.hourly, len(asking))
            wait = (hour + timedelta(hours=1) - now).total_seconds()
            aside |= {row.id: Aside(row, wait, Held.OVER_LIMIT) for row in asking[left:]}
    return [row for row in rows if row.id not in aside], list(aside.values())


def _resolve(
    rows: Sequence[Claimed], versions: dict[int, Version], settings: dict[str, Any]
) -> tuple[list[Ready], list[Outcome]]:
    """What is ready to leave, and what failed before it could."""
    found = stored_events(row.event for row in rows)
    ready, ended = [], []
    for row in rows:
        version, event = versions[row.version], found.get(row.event)
        if event is None:
            why = "What was received is no longer stored, so it can't be sent."
            ended.append(Outcome(row, Status.FAILED, sent=False, fault="Expired", error=why))
            continue
        try:
            payload = prepare(version.action, version.fields, event, context_for(version, row.event), settings)
        except SwitchyardError as error:
            ended.append(_outcome(row, error, (), 0))
        except Exception as error:  # noqa: BLE001 (one event must not take its siblings along)
            ended.append(_outcome(row, Broken(f"Resolving raised {type(error).__name__}: {error}"), (), 0))
        else:
            happened = happened_at(event, row.event) if _remembers(version) else None
            ready.append(Ready(row, version, payload, call_for(row, event), happened))
    return ready, ended


def _latest_only(ready: list[Ready], token: int) -> tuple[list[Ready], list[Aside], list[Outcome]]:
    """Which updates may go, the oldest first: not those older than one already delivered for the same customer, and
    not yet those older than one that may have been, by a worker that died or an answer that never came."""
    asked = [(*item.customer, item.happened) for item in ready if item.version.action.update and item.happened]
    if not asked:
        return ready, [], []
    known = logs.CustomerState.objects.attempt(asked, token)
    go: list[Ready] = []
    aside: list[Aside] = []
    ended: list[Outcome] = []
    for item in sorted(ready, key=lambda item: (item.happened or EVER, item.row.event)):
        delivered, attempted = known.get(item.customer, (None, None)) if item.happened else (None, None)
        if item.happened and delivered and item.happened < delivered:
            why = "A newer update of this customer was delivered by the same mapping already."
            ended.append(Outcome(item.row, Status.SUPERSEDED, sent=False, happened=item.happened, error=why))
        elif item.happened and attempted and item.happened < attempted:
            aside.append(Aside(item.row, UNCERTAIN))
        else:
            go.append(item)
    return go, aside, ended


def happened_at(event: dict[str, Any], id: int) -> datetime:
    """When it happened by the sender's clock, but never after we received it."""
    return min(datetime.fromisoformat(event["timestamp"]), ids.moment(id))


def _groups(ready: Sequence[Ready], settings: dict[str, Any]) -> Iterator[list[Ready]]:
    """What travels together, by action and by what its batches allow; of a mapping in strict order, each alone."""
    by_action: dict[str, list[Ready]] = {}
    for item in ready:
        by_action.setdefault(item.version.action.slug, []).append(item)
    for items in by_action.values():
        if any(item.version.terms.ordered for item in items):
            yield from ([item] for item in items)
            continue
        for group in together(items[0].version.action, [item.payload for item in items], settings):
            yield [items[i] for i in group]


def _send(hand: Hand, group: list[Ready], pace: lanes.Pace, versions: dict[int, Version]) -> list[Outcome]:
    """Send one group and record what came of it."""
    action = group[0].version.action
    hand.made[action.slug] += 1
    answers = perform(action, hand.client, [item.payload for item in group], [item.call for item in group])
    exchanges = hand.client.take_exchanges()
    hand.requests[action.slug] += len(exchanges)
    spent = sum(exchange.ms for exchange in exchanges)
    good = None
    if any(isinstance(answer, CredentialsRefused) for answer in answers):
        good = _credentials_good(hand.lane, hand.client)
        answers = [_judged(answer, good) for answer in answers]
    pace.note(hand.lane.id, spent / 1000, not all(isinstance(answer, NoAnswer | Busy) for answer in answers))
    outcomes = []
    for part, (item, answer) in enumerate(zip(group, answers, strict=True)):
        outcome = _outcome(item.row, answer, exchanges, spent, hand.lane.schedule)
        outcome.part = part if action.batch else None
        outcome.memo = item.call.memo
        outcome.happened = item.happened
        held = isinstance(answer, Gone) or (isinstance(answer, CredentialsRefused) and good is False)
        if outcome.wait is not None and (held or hand.probing):
            # The lane is held, or was only being probed: the row goes back as it was.
            outcome.wait, outcome.counted = 0.0, False
        outcomes.append(outcome)
    _record(hand, outcomes, exchanges, versions)
    return outcomes


def _judged(answer: Any, good: bool | None) -> Any:
    """A refusal of credentials means this request only, when the connector's own test says that they are good."""
    if not isinstance(answer, CredentialsRefused) or not good:
        return answer
    why = f"{answer.message} The account's credentials are good, so it is this request that is refused."
    return Rejected(why, status=answer.status, code=answer.code)


def _credentials_good(lane: Lane, client: Client) -> bool | None:
    """Ask the connector's own test: bad credentials hold the lane, good ones end that hold; None: it can't tell."""
    test = lane.destination.test_connection
    if test is None:
        return None
    try:
        test(client)
    except CredentialsRefused as error:
        if not logs.Hold.objects.put(lane.id, lane.brand, Held.CREDENTIALS, error.message, seconds=lanes.PROBE_FIRST):
            logs.Hold.objects.again(lane.id, Held.CREDENTIALS, lanes.PROBE_FIRST, lanes.PROBE_MOST)
        return False
    except DeliveryError:
        logs.Hold.objects.again(lane.id, Held.CREDENTIALS, lanes.PROBE_FIRST, lanes.PROBE_MOST)
        return None
    finally:
        client.take_exchanges()
    logs.Hold.objects.lift(lane.id, Held.CREDENTIALS)
    return True


def _hold_the_lane(hand: Hand, outcomes: Sequence[Outcome], pace: lanes.Pace) -> bool:
    """Hold the lane, or open, reopen or close its breaker, as the send showed. True: send no more now."""
    lane = hand.lane
    error = next((o.error for o in outcomes if o.wait is not None), "")
    if any(o.fault == Gone.__name__ for o in outcomes):
        logs.Hold.objects.put(lane.id, lane.brand, Held.GONE, error)
        return True
    if any(o.fault == CredentialsRefused.__name__ and not o.counted for o in outcomes):
        return True
    if hand.probing:
        if error:
            logs.Hold.objects.again(lane.id, Held.BREAKER, lanes.OPEN_FIRST, lanes.OPEN_MOST)
        else:
            logs.Hold.objects.climb(lane.id, lane.concurrency)
        return bool(error)
    asked = max((o.retry_after or 0.0 for o in outcomes), default=0.0)
    if asked or (error and pace.failing(lane.id)):
        logs.Hold.objects.put(lane.id, lane.brand, Held.BREAKER, error, seconds=asked or lanes.OPEN_FIRST)
        return True
    return False


def _outcome(
    row: Claimed, answer: Any, exchanges: Sequence[Exchange], ms: float, schedule: Schedule | None = None
) -> Outcome:
    """What the answer, or the error in its place, means for the row; what may work later needs a schedule."""
    sent = bool(exchanges)
    outcome = Outcome(
        row,
        Status.DELIVERED,
        sent=sent,
        code=exchanges[-1].status if sent else None,
        ms=ms if sent else None,
        exchange=0 if sent else None,
        exchanges=len(exchanges),
    )
    if isinstance(answer, SwitchyardError):
        outcome.status = Status.FAILED
        outcome.fault = type(answer).__name__
        outcome.error = answer.message
        if isinstance(answer, DeliveryError):
            outcome.code = answer.status
            if answer.again and schedule:
                _again(outcome, answer, schedule)
    elif isinstance(answer, Answer):
        outcome.error = answer.note
    return outcome


def _again(outcome: Outcome, error: DeliveryError, schedule: Schedule) -> None:
    wait = schedule.wait(outcome.row.attempts + 1, error.retry_after)
    if datetime.now(UTC) + timedelta(seconds=wait) - ids.moment(outcome.row.event) > schedule.longest:
        outcome.status = Status.EXPIRED
        outcome.error += f" It was given up {schedule.longest.days} days after it was received."
    else:
        outcome.status, outcome.wait, outcome.retry_after = Status.AGAIN, wait, error.retry_after


def _record(
    hand: Hand, outcomes: Sequence[Outcome], exchanges: Sequence[Exchange], versions: dict[int, Version]
) -> None:
    """Log what happened and take the rows out of the queue. A database that is away is waited for."""
    hidden = [str(hand.lane.settings[n]) for n in hand.lane.destination.secrets if hand.lane.settings.get(n)]
    for outcome in outcomes:
        outcome.error = redact.text(outcome.error, hidden)
    columns = [_columns(exchange, hidden) for exchange in exchanges]
    ordered = any(version.terms.ordered for version in versions.values())
    for tries_left in reversed(range(RECORD_TRIES)):
        try:
            logs.Queue.objects.record(hand.lane_id, outcomes, hand.token, columns, ordered=ordered)
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


def _cancel(lane_id: int) -> bool:
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
