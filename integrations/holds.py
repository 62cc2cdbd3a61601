"""What waits for a person, in words, and the three verbs for it: let go, decide again, discard."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, F
from django.db.models.functions import Now
from django.urls import reverse

from connectors import delivery, routing
from connectors.book import RuleSet, Terms
from integrations.book import book
from integrations.models import Account, Brand, Destination, Mapping
from logs import ids
from logs.models import Delivery, Hold, Queue, Waiting, held
from logs.verdict import Cause, Held, Status, Verdict

CHUNK = 2000
PATIENCE = 8.0
"""Seconds a verb works before it tells how far it came."""

IN_HAND = "a worker has it in hand and finishes it"
NO_TIME = "there are too many for one go; press again"
NO_BODY = "its body is no longer stored"
NO_MAPPING = "its mapping was deleted"


@dataclass(frozen=True, slots=True)
class Remedy:
    """The one thing that ends a hold: a button's label and the page it is on."""

    label: str
    address: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One hold as people see it: a sentence, what waits behind it, and its remedy.

    `lane` is the destination's id, or the brand's where everything is stopped; `mapping` is 0 where a whole lane is
    held; `too_late` is when the first that waits becomes too old.
    """

    lane: int
    mapping: int
    hold: Held
    brand: int
    sentence: str
    groups: tuple[held.Group, ...]
    too_late: datetime | None
    remedy: Remedy | None

    @property
    def count(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def oldest(self) -> datetime | None:
        """When the oldest that waits was received."""
        return min((ids.moment(group.oldest) for group in self.groups), default=None)

    @property
    def verbs(self) -> tuple[str, ...]:
        """Which of the verbs fit: what a vendor holds can't be let go before it works again."""
        if self.hold is Held.STOPPED or not self.count:
            return ()
        if self.hold in (Held.CREDENTIALS, Held.GONE, Held.BREAKER):
            return ("decide_again", "discard")
        return ("let_go", "decide_again", "discard")


Exceptions = tuple[tuple[str, int], ...]
"""Why not, and to how many."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a verb came to: to how many it applied, and why not to the others."""

    applied: int
    not_applied: Exceptions = ()


WHY = {
    Held.STOPPED: "everything of this brand is stopped",
    Held.PAUSED: "the destination is paused",
    Held.OFF: "the destination is off",
    Held.CREDENTIALS: "the vendor refuses the account's credentials",
    Held.GONE: "the receiver says it is gone for good",
    Held.BREAKER: "the vendor fails; it is tried again by itself",
    Held.MAPPING_PAUSED: "the mapping is paused",
    Held.SOURCE_PAUSED: "the source is paused",
    Held.OVER_LIMIT: "the mapping has sent what it may in this hour; the next hour goes on by itself",
    Held.ONCE: "the mapping sends to a customer only once in so many days",
    Held.FIRST_RUN: "the mapping's first run is over and waits for “go on”",
}


def notices(brands: Iterable[int]) -> list[Notice]:
    """Everything that is held in these brands: first whole brands, then lanes, then mappings, the fullest first."""
    brands = list(brands)
    destinations = {d.pk: d for d in Destination.objects.filter(brand__in=brands).select_related("account")}
    mappings = {m.pk: m for m in Mapping.objects.filter(destination__in=list(destinations))}
    holds = [h for h in Hold.objects.filter(brand__in=brands) if h.lane in {*destinations, h.brand}]
    holds.sort(key=lambda hold: (hold.kind != Held.STOPPED, hold.since))
    holds += [Hold(lane=d.pk, brand=d.brand_id, kind=Held.OFF) for d in destinations.values() if not d.enabled]
    lanes = [_covered(hold, destinations) for hold in holds]
    waiting = held.behind(sorted(set().union(*lanes)))
    aside = held.aside(brands)

    def notice(lane: int, mapping: int, hold: Held, groups: list[held.Group], sentence: str) -> Notice:
        ends = [_too_old(group, destinations[abs(group.lane)], mappings.get(group.mapping)) for group in groups]
        remedy = _remedy(hold, lane, destinations.get(lane), mappings.get(mapping))
        brand = destinations[lane].brand_id if lane in destinations else lane
        return Notice(lane, mapping, hold, brand, sentence, tuple(groups), min(ends, default=None), remedy)

    found = []
    for hold, covered in zip(holds, lanes, strict=True):
        groups = [group for group in waiting if group.lane in covered]
        groups += [group for group in aside if group.lane in covered and group.hold == hold.kind]
        if groups or hold.kind != Held.OFF:
            sentence = _of_lane(hold, destinations.get(hold.lane), groups)
            found.append(notice(hold.lane, 0, Held(hold.kind), groups, sentence))
    single = defaultdict(list)
    for group in aside:
        if group.hold > Held.OFF and group.mapping in mappings:
            single[abs(group.lane), group.mapping, Held(group.hold)].append(group)
    for (lane, mapping, kind), groups in single.items():
        sentence = f"{_wait(groups)} of {mappings[mapping]}: {WHY[kind]}."
        found.append(notice(lane, mapping, kind, groups, sentence))
    return found


def _covered(hold: Hold, destinations: dict[int, Destination]) -> set[int]:
    """The lanes that a hold of a lane or of a brand closes."""
    if hold.kind != Held.STOPPED:
        return set(_lanes(hold.lane, Held(hold.kind)))
    return {lane for d in destinations.values() if d.brand_id == hold.brand for lane in (d.pk, -d.pk)}


def _lanes(lane: int, hold: Held) -> tuple[int, ...]:
    """The lanes of a destination that it closes: neither off nor pause stops what was let go."""
    return (lane,) if hold in (Held.PAUSED, Held.OFF) else (lane, -lane)


def _too_old(group: held.Group, destination: Destination, mapping: Mapping | None) -> datetime:
    longest = timedelta(days=destination.retry_days)
    if mapping is not None and mapping.max_age is not None:
        longest = min(longest, mapping.max_age)
    return ids.moment(group.oldest) + longest


def _wait(groups: list[held.Group]) -> str:
    count = sum(group.count for group in groups)
    return {0: "Nothing waits", 1: "1 waits"}.get(count, f"{count:,} wait")


def _of_lane(hold: Hold, destination: Destination | None, groups: list[held.Group]) -> str:
    whom = f" for {destination}" if destination else ""
    by = f", by {hold.who}" if hold.who else ""
    return f"{_wait(groups)}{whom}: {WHY[Held(hold.kind)]}{by}. {hold.reason}".strip()


def _remedy(hold: Held, lane: int, destination: Destination | None, mapping: Mapping | None) -> Remedy | None:
    """Where a person ends the hold; a vendor that fails needs none."""
    if destination is None:
        return Remedy("Start again", reverse("admin:integrations_brand_change", args=[lane]))
    if hold is Held.CREDENTIALS:
        address = reverse("admin:integrations_account_change", args=[destination.account_id])
        return Remedy("Replace the credentials", address)
    if mapping is None:
        label = {Held.PAUSED: "Resume", Held.OFF: "Switch on", Held.GONE: "Check the address, then resume"}.get(hold)
        return Remedy(label, reverse("admin:integrations_destination_change", args=[lane])) if label else None
    if hold is Held.SOURCE_PAUSED:
        return Remedy("Resume the source", reverse("admin:integrations_source_change", args=[mapping.source_id]))
    label = {Held.MAPPING_PAUSED: "Resume", Held.FIRST_RUN: "Go on"}.get(hold, "Change the limit")
    return Remedy(label, reverse("admin:integrations_mapping_change", args=[mapping.pk]))


def resume() -> None:
    """Let go by itself what nothing holds any more: pauses ended, first runs said to go on, limits taken away.

    The holds of what was deleted go too, so that what still waits for it is cancelled.
    """
    things = (Destination.objects.values("pk"), Brand.objects.values("pk"))
    Hold.objects.exclude(lane__in=things[0]).exclude(lane__in=things[1]).delete()
    groups = held.aside()
    terms = book.terms(group.mapping for group in groups)
    closed = set(Hold.objects.values_list("lane", "kind"))
    closed |= {(lane, Held.OFF) for lane in Destination.objects.filter(enabled=False).values_list("pk", flat=True)}
    for group in groups:
        of_lane = (abs(group.lane), group.hold) in closed
        if not of_lane and not _held_back(Held(group.hold), terms.get(group.mapping)):
            cause = Cause.AFTER_HOLD if group.hold > Held.SOURCE_PAUSED else Cause.AFTER_PAUSE
            held.let_go(group.lane, group.mapping, group.hold, cause=cause)


def probe(account: Account) -> None:
    """See now, and not when the next probe is due, whether an account's credentials are good again."""
    lanes = account.destinations.values("pk")
    Hold.objects.filter(lane__in=lanes, kind=Held.CREDENTIALS).update(until=Now())


def _held_back(hold: Held, terms: Terms | None) -> bool:
    """Whether the mapping, unless it was deleted, still asks for what holds its deliveries."""
    if terms is None or hold <= Held.OFF:
        return False
    if hold in (Held.MAPPING_PAUSED, Held.SOURCE_PAUSED):
        return terms.paused is not None
    asked = {Held.FIRST_RUN: terms.first_run, Held.ONCE: terms.once, Held.OVER_LIMIT: terms.hourly}
    return asked[hold] is not None


@transaction.atomic
def let_go(lane: int, mapping: int, hold: Held, *, newest_first: bool = False) -> Done:
    """Send what waits, by the mapping version it was decided with, though what held it still stands."""
    by_lane = hold <= Held.OFF
    total = _set_aside(lane, mapping, hold)
    for here in _lanes(lane, hold):
        held.let_go(
            here,
            mapping,
            hold,
            cause=Cause.AFTER_PAUSE if by_lane else Cause.AFTER_HOLD,
            to=-here if by_lane else here,
            newest_first=newest_first,
        )
    return _done(lane, hold, total, total)


def discard(lane: int, mapping: int, hold: Held, reason: str) -> Done:
    """End what waits, with a reason; it stays in the books and in the log."""
    total = _set_aside(lane, mapping, hold)
    applied = 0
    for rows in _chunks(lane, mapping, hold):
        applied += held.end([row.id for row in rows], Status.DISCARDED, f"Discarded: {reason}")
    return _done(lane, hold, total, applied)


def decide_again(lane: int, mapping: int, hold: Held) -> Done:
    """Decide what waits as if it had just come in, by its mapping as it is today; what no longer matches ends."""
    total = _set_aside(lane, mapping, hold)
    applied, no_body, no_mapping = 0, 0, 0
    for rows in _chunks(lane, mapping, hold):
        found = delivery.stored_events(row.event for row in rows)
        today = {m.pk: m for m in Mapping.objects.filter(pk__in={row.mapping for row in rows})}
        rules = {source: book.rule_set(source) for source in {m.source_id for m in today.values()}}
        again: list[tuple[int, int, int]] = []
        no_more: list[int] = []
        for row in rows:
            now, event = today.get(row.mapping), found.get(row.event)
            if now is None:
                no_mapping += 1
            elif event is None:
                no_body += 1
            elif _matches(rules[now.source_id], now, event):
                again.append((row.id, now.version_id or 0, now.destination_id))
            else:
                no_more.append(row.id)
        if again:
            chosen, versions, lanes = zip(*again, strict=True)
            applied += held.send_as(chosen, versions, lanes, Cause.DECIDED_AGAIN)
        if no_more:
            why = "Decided again: its mapping as it is today does not match it."
            applied += held.end(no_more, Status.CANCELLED, why)
    return _done(lane, hold, total, applied, {NO_BODY: no_body, NO_MAPPING: no_mapping})


@transaction.atomic
def _set_aside(lane: int, mapping: int, hold: Held) -> int:
    """Set aside what waits because its whole lane is held, so that a verb can act on it; how many there are to act on.

    However many: a verb must not fail because much has waited.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
    if hold <= Held.OFF:
        for here in _lanes(lane, hold):
            held.gather(here, hold)
    waiting = Waiting.objects.filter(lane__in=_lanes(lane, hold), hold=hold)
    return (waiting.filter(mapping=mapping) if mapping else waiting).count()


def _chunks(lane: int, mapping: int, hold: Held) -> Iterator[list[held.Row]]:
    """What is set aside, some at a time, for as long as a person may be kept waiting."""
    ends = time.monotonic() + PATIENCE
    for here in _lanes(lane, hold):
        after = -(2**63)
        while time.monotonic() < ends and (rows := held.some(here, mapping, hold, after, CHUNK)):
            after = rows[-1].id
            yield rows


def _matches(rules: RuleSet, mapping: Mapping, event: dict[str, Any]) -> bool:
    rule = next(rule for rule in rules.rules if rule.mapping == mapping.pk)
    return rules.source_on and routing.verdict_of(event, rule) is Verdict.MATCHED


def _done(lane: int, hold: Held, total: int, applied: int, counts: dict[str, int] | None = None) -> Done:
    """Of `total`, what the verb came to; what is in neither count it had no time for."""
    counts = counts or {}
    counts[NO_TIME] = total - applied - sum(counts.values())
    return Done(applied, tuple((why, n) for why, n in counts.items() if n > 0) + _in_hand(lane, hold))


def _in_hand(lane: int, hold: Held) -> Exceptions:
    if hold > Held.OFF:
        return ()
    count = Queue.objects.filter(lane__in=_lanes(lane, hold), lease__isnull=False).count()
    return ((IN_HAND, count),) if count else ()


def exceptions(notice: Notice, verb: str) -> Exceptions:
    """What a verb could not be applied to now."""
    found = dict(_in_hand(notice.lane, notice.hold))
    if verb == "decide_again":
        there = set(
            Mapping.objects.filter(pk__in={group.mapping for group in notice.groups}).values_list("pk", flat=True)
        )
        found[NO_MAPPING] = sum(group.count for group in notice.groups if group.mapping not in there)
        lanes = _lanes(notice.lane, notice.hold)
        found[NO_BODY] = held.bodiless(lanes, list(there), sorted({group.hold for group in notice.groups}))
    return tuple((why, n) for why, n in found.items() if n)


def drain(notice: Notice) -> str:
    """How long what waits would take to be sent, in words: as fast as the lane went last, or as its account may."""
    speed = _speed(notice)
    if not speed:
        return "unknown: nothing was delivered there lately"
    minutes = math.ceil(notice.count / speed)
    if minutes < 120:
        return "less than a minute" if minutes == 1 else f"about {minutes} minutes"
    return f"about {round(minutes / 60):,} hours"


def _speed(notice: Notice) -> float | None:
    """Deliveries a minute: those of the best minute of the last hour, or of the hour before the oldest came."""
    for end in filter(None, (datetime.now(UTC), notice.oldest)):
        best = (
            Delivery.objects.filter(
                brand=notice.brand,
                lane=notice.lane,
                status=Status.DELIVERED,
                id__gte=ids.first_at(end - timedelta(hours=1)),
                id__lt=ids.first_at(end),
            )
            .values(minute=F("id").bitrightshift(ids.TIME_SHIFT) / 60_000)
            .annotate(n=Count("id"))
            .order_by("-n")
            .first()
        )
        if best:
            return float(best["n"])
    account = Destination.objects.select_related("account").get(pk=notice.lane).account
    allowed = [account.limits.get(limit.slug, limit.per_minute) for limit in account.definition.limits]
    return min(allowed, default=None)
