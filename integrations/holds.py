"""What waits for a person, in words, and the three verbs for it: let go, decide again, discard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.urls import reverse

from connectors import delivery, routing
from integrations.book import book
from integrations.models import Destination, Mapping
from logs import ids
from logs.models import Hold, Label, held
from logs.verdict import Cause, Held, Status, Verdict

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Remedy:
    """The one thing that ends a hold: a button's label and the page or button it leads to."""

    label: str
    address: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One hold as people see it: a sentence, what waits behind it, since when, and its remedy.

    `mapping` is 0 where a whole lane is held; `too_late` is when the first that waits becomes too old.
    """

    lane: int
    mapping: int
    hold: Held
    brand: int
    sentence: str
    count: int
    oldest: datetime | None
    too_late: datetime | None
    remedy: Remedy | None

    @property
    def verbs(self) -> tuple[str, ...]:
        """Which of the verbs fit: what a vendor holds can't be let go before it works again."""
        if self.hold is Held.STOPPED or not self.count:
            return ()
        if self.hold in (Held.CREDENTIALS, Held.GONE, Held.BREAKER):
            return ("decide_again", "discard")
        return ("let_go", "decide_again", "discard")


@dataclass(frozen=True, slots=True)
class Done:
    """What a verb came to: to how many it applied, and why not to the others."""

    applied: int
    not_applied: tuple[tuple[str, int], ...] = ()


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
    """Everything that is held in these brands, the longest held first."""
    brands = list(brands)
    found = []
    destinations = {d.pk: d for d in Destination.objects.filter(brand__in=brands).select_related("account")}
    for hold in Hold.objects.filter(brand__in=brands).order_by("since"):
        lanes = [d for d in destinations if destinations[d].brand_id == hold.brand]
        lanes = lanes if hold.kind == Held.STOPPED else [hold.lane]
        waiting = [group for lane in lanes if (group := held.behind(lane))]
        found.append(_of_lane(hold.lane, Held(hold.kind), hold.brand, hold.reason, waiting, destinations, hold.who))
    for off in (d for d in destinations.values() if not d.enabled):
        if group := held.behind(off.pk):
            found.append(_of_lane(off.pk, Held.OFF, off.brand_id, "", [group], destinations))
    groups = held.aside(brands)
    names = Label.objects.names(group.mapping for group in groups)
    mappings = {m.pk: m for m in Mapping.objects.filter(pk__in={group.mapping for group in groups})}
    for group in groups:
        destination = destinations.get(abs(group.lane))
        if destination is not None:
            found.append(_of_mapping(group, destination, names, mappings.get(group.mapping)))
    return found


def _of_lane(
    lane: int,
    kind: Held,
    brand: int,
    reason: str,
    groups: list[held.Group],
    destinations: dict[int, Destination],
    who: str = "",
) -> Notice:
    count = sum(group.count for group in groups)
    oldest = min((group.oldest for group in groups), default=None)
    destination = destinations.get(lane)
    name = destination.name if destination else "everything"
    by = f", by {who}" if who else ""
    sentence = f"{count:,} wait for {name}: {WHY[kind]}{by}. {reason}".strip()
    longest = timedelta(days=destination.retry_days) if destination else timedelta(days=14)
    return Notice(
        lane=lane,
        mapping=0,
        hold=kind,
        brand=brand,
        sentence=sentence,
        count=count,
        oldest=ids.moment(oldest) if oldest else None,
        too_late=ids.moment(oldest) + longest if oldest else None,
        remedy=_remedy(kind, lane, destination),
    )


def _of_mapping(group: held.Group, destination: Destination, names: dict[int, str], mapping: Mapping | None) -> Notice:
    kind = Held(group.hold)
    oldest = ids.moment(group.oldest)
    longest = (mapping and mapping.max_age) or timedelta(days=destination.retry_days)
    return Notice(
        lane=group.lane,
        mapping=group.mapping,
        hold=kind,
        brand=destination.brand_id,
        sentence=f"{group.count:,} wait of {names.get(group.mapping, 'a mapping')}: {WHY[kind]}.",
        count=group.count,
        oldest=oldest,
        too_late=oldest + longest,
        remedy=Remedy("Open the mapping", reverse("admin:integrations_mapping_change", args=[group.mapping])),
    )


def _remedy(kind: Held, lane: int, destination: Destination | None) -> Remedy | None:
    if kind is Held.STOPPED:
        return Remedy("Start again", reverse("admin:integrations_brand_change", args=[lane]))
    if destination is None:
        return None
    if kind is Held.CREDENTIALS:
        address = reverse("admin:integrations_account_change", args=[destination.account_id])
        return Remedy("Replace the credentials", address)
    label = {Held.PAUSED: "Resume", Held.OFF: "Switch on", Held.GONE: "Check the address, then resume"}.get(kind)
    return Remedy(label, reverse("admin:integrations_destination_change", args=[lane])) if label else None


def resume() -> None:
    """Let go by itself what nothing holds any more: pauses ended, first runs said to go on, limits taken away."""
    groups = held.aside()
    terms = book.terms(group.mapping for group in groups)
    paused = set(Hold.objects.filter(kind=Held.PAUSED).values_list("lane", flat=True))
    off = set(Destination.objects.filter(enabled=False).values_list("pk", flat=True))
    for group in groups:
        now = terms.get(group.mapping)
        holds = {
            Held.PAUSED: group.lane in paused,
            Held.OFF: group.lane in off,
            Held.MAPPING_PAUSED: now is not None and now.paused is not None,
            Held.SOURCE_PAUSED: now is not None and now.paused is not None,
            Held.FIRST_RUN: now is not None and now.first_run is not None,
            Held.ONCE: now is not None and now.once is not None,
            Held.OVER_LIMIT: now is not None and now.hourly is not None,
        }[Held(group.hold)]
        if not holds:
            cause = Cause.AFTER_HOLD if group.hold > Held.SOURCE_PAUSED else Cause.AFTER_PAUSE
            held.let_go(group.lane, group.mapping, group.hold, cause=cause)


@transaction.atomic
def let_go(lane: int, mapping: int, hold: Held, *, newest_first: bool = False) -> Done:
    """Send what waits, by the mapping version it was decided with, though what held it still stands."""
    if hold in (Held.PAUSED, Held.OFF):
        held.gather(lane, hold)
        return Done(held.let_go(lane, 0, hold, cause=Cause.AFTER_PAUSE, to=-abs(lane), newest_first=newest_first))
    return Done(held.let_go(lane, mapping, hold, cause=Cause.AFTER_HOLD, newest_first=newest_first))


@transaction.atomic
def discard(lane: int, mapping: int, hold: Held, reason: str) -> Done:
    """End what waits, with a reason; it stays in the books and in the log."""
    if hold <= Held.OFF:
        held.gather(lane, hold)
    return Done(held.discard(lane, mapping, hold, f"Discarded: {reason}"))


@transaction.atomic
def decide_again(lane: int, mapping: int, hold: Held) -> Done:
    """Decide what waits as if it had just come in, by its mapping as it is today; what no longer matches ends."""
    if hold <= Held.OFF:
        held.gather(lane, hold)
    applied, counts = 0, {"its body is no longer stored": 0, "its mapping was deleted": 0}
    after = -(2**63)
    while rows := held.some(lane, mapping, hold, after, CHUNK):
        after = rows[-1].id
        found = delivery.stored_events(row.event for row in rows)
        today = {m.pk: m for m in Mapping.objects.filter(pk__in={row.mapping for row in rows})}
        again: list[tuple[int, int, int]] = []
        no_more: list[int] = []
        for row in rows:
            now, event = today.get(row.mapping), found.get(row.event)
            if now is None:
                counts["its mapping was deleted"] += 1
            elif event is None:
                counts["its body is no longer stored"] += 1
            elif _matches(now, event):
                again.append((row.id, now.version_id or 0, now.destination_id))
            else:
                no_more.append(row.id)
        if again:
            chosen, versions, lanes = zip(*again, strict=True)
            applied += held.send_as(chosen, versions, lanes, Cause.DECIDED_AGAIN)
        if no_more:
            why = "Decided again: its mapping as it is today does not match it."
            applied += held.end(no_more, Status.CANCELLED, why)
    return Done(applied, tuple((why, n) for why, n in counts.items() if n))


def _matches(mapping: Mapping, event: dict[str, Any]) -> bool:
    rules = book.rule_set(mapping.source_id)
    rule = next(rule for rule in rules.rules if rule.mapping == mapping.pk)
    return rules.source_on and routing.verdict_of(event, rule) is Verdict.MATCHED
