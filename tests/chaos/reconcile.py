"""Holds what was acknowledged against every row and every arrival: each event must stand in exactly one place."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from connectors import registry
from logs.verdict import Status, Verdict
from tests.chaos.load import Ledger
from tests.chaos.yard import Yard

MAX_CLAIMS = 3
"""Claims that may be lost before a delivery is set aside for a person, since it might be what kills the workers."""

Pair = tuple[int, int]
"""(event, mapping): a delivery."""


@dataclass
class Facts:
    """What the ledger, the rows and the vendors say."""

    acknowledged: dict[str, int]
    """messageId → brand"""
    events: list[tuple[int, str, dict[int, int] | None]]
    """(event, messageId, mapping → verdict); None: not decided"""
    attempts: list[tuple[int, int, int, bool]]
    """(event, mapping, status, whether anything was sent)"""
    open: list[Pair]
    arrivals: list[tuple[str, str, str]]
    """(idempotency key, messageId it was sent for, why the vendor dropped it)"""
    freed: list[tuple[int, int, int]] = field(default_factory=list)
    """(token, event, mapping) of rows whose claim had no outcome"""
    together: dict[int, int] = field(default_factory=dict)
    """mapping → how many of its events one request carries at most; 1 where it isn't named"""
    books: dict[str, Any] = field(default_factory=dict)


@dataclass
class Report:
    """What they come to. `broken` are the promises that were not kept, a sentence each."""

    acknowledged: int
    lost: int
    duplicates: int
    states: Counter[str]
    broken: list[str]


def gather(yard: Yard, ledger: Ledger) -> Facts:
    sets = dict(yard.read("SELECT id, mappings FROM logs_ruleset"))
    decided = """SELECT e.id, message_id, coalesce(d.rule_set, e.rule_set), coalesce(d.verdicts, e.verdicts)
                 FROM logs_event e LEFT JOIN logs_decision d USING (id)"""
    events = [
        (id, message, dict(zip(sets[rule_set], verdicts, strict=True)) if rule_set else None)
        for id, message, rule_set, verdicts in yard.read(decided)
    ]
    connectors = yard.read(
        """SELECT m.id, m.action, a.connector FROM integrations_mapping m
           JOIN integrations_destination d ON d.id = m.destination_id
           JOIN integrations_account a ON a.id = d.account_id"""
    )
    batches = {id: registry.get_destination(connector).action(action).batch for id, action, connector in connectors}
    return Facts(
        acknowledged=ledger.read(),
        events=events,
        attempts=yard.read("SELECT event, mapping, status, exchange IS NOT NULL FROM logs_delivery ORDER BY id"),
        open=yard.read("SELECT event, mapping FROM logs_queue UNION ALL SELECT event, mapping FROM logs_waiting"),
        arrivals=list(_arrivals(yard)),
        freed=yard.read("SELECT token, event, mapping FROM chaos_freed"),
        together={id: batch.items for id, batch in batches.items() if batch and not batch.size},
        books=yard.books(),
    )


def _arrivals(yard: Yard) -> Iterator[tuple[str, str, str]]:
    for item in yard.received():
        about = item["body"].get("properties") or item["body"].get("body") or item["body"].get("traits") or {}
        reason = "" if item["reason"] == "duplicate" else item["reason"]
        yield item["key"], about.get("tag", ""), reason


def reconcile(facts: Facts) -> Report:
    """Count what is lost, what came twice, and whether rows, books and vendors tell the same story."""
    pairs = {
        (event, mapping): message
        for event, message, verdicts in facts.events
        for mapping, verdict in (verdicts or {}).items()
        if verdict == Verdict.MATCHED
    }
    ends: dict[Pair, list[Status]] = defaultdict(list)
    sent: Counter[Pair] = Counter()
    for event, mapping, status, left in facts.attempts:
        sent[event, mapping] += left
        if status != Status.AGAIN:
            ends[event, mapping].append(Status(status))
    still = Counter(pair for pair in facts.open if pair[1])
    undecided = sum(verdicts is None for *_, verdicts in facts.events)
    stored = Counter(message for _, message, _ in facts.events)
    arrived = Counter(key for key, _, dropped in facts.arrivals if not dropped)
    keys = {_key(*pair): pair for pair in pairs}

    unstored = facts.acknowledged.keys() - stored.keys()
    nowhere = [pair for pair in pairs if not ends[pair] and not still[pair]]
    unseen = [p for p in pairs if Status.DELIVERED in ends[p] and not arrived[_key(*p)]]
    unlogged = {pair: n for key, pair in keys.items() if (n := arrived[key] - sent[pair]) > 0}
    states = Counter(end.name.lower() for pair in pairs for end in ends[pair])
    states["pending"] = sum(still.values())
    losses = Counter((event, mapping) for _, event, mapping in facts.freed)
    poison = [p for p in pairs if Status.QUARANTINED in ends[p] and losses[p] >= MAX_CLAIMS]
    foreign = (ends.keys() | still.keys()) - pairs.keys()
    twice = [pair for pair in pairs if len(ends[pair]) + still[pair] > 1]
    mixed_up = [key for key, message, _ in facts.arrivals if key in keys and pairs[keys[key]] != message]
    checks = {
        "acknowledged, but not stored": len(unstored),
        "stored more than once": sum(n - 1 for n in stored.values()),
        "not decided": undecided,
        "matched, but neither pending nor ended": len(nowhere),
        "matched, and in two states": len(twice),
        "deliveries of what did not match": len(foreign),
        "said to be delivered, but never arrived": len(unseen),
        "arrived without a matched delivery": len(arrived.keys() - keys.keys()),
        "arrived with another event's content": len(mixed_up),
        "dropped by the vendor": sum(bool(dropped) for *_, dropped in facts.arrivals),
        "still pending": states["pending"],
        "ended otherwise than delivered": sum(states.values())
        - states["delivered"]
        - states["superseded"]
        - states["pending"]
        - len(poison),
        "in no line of the books, or in two": facts.books.get("unaccounted", 0),
    }
    return Report(
        acknowledged=len(facts.acknowledged),
        lost=len(unstored) + len(nowhere) + len(unseen),
        duplicates=sum(n - 1 for n in arrived.values()),
        states=states,
        broken=[
            *(f"{n} {what}" for what, n in checks.items() if n),
            *_beyond_the_bound(facts, unlogged),
            *_books_beside_rows(facts, pairs, states),
        ],
    )


def _key(event: int, mapping: int) -> str:
    """The idempotency key vendors know the delivery by."""
    return f"{event}-{mapping}"


def _beyond_the_bound(facts: Facts, unlogged: dict[Pair, int]) -> Iterable[str]:
    """A claim without an outcome may have sent once more than is logged: one request, with what travels together."""
    lost_claims = {token: mapping for token, _, mapping in facts.freed}
    for size in {facts.together.get(mapping, 1) for mapping in lost_claims.values()} | {1}:
        bound = size * sum(facts.together.get(mapping, 1) == size for mapping in lost_claims.values())
        extra = sum(n for (_, mapping), n in unlogged.items() if facts.together.get(mapping, 1) == size)
        if extra > bound:
            yield f"{extra} sent without a log, and the claims lost by workers account for {bound} at most"
    stray = unlogged.keys() - {(event, mapping) for _, event, mapping in facts.freed}
    if stray:
        yield f"{len(stray)} sent without a log, though no claim of theirs was lost"


def _books_beside_rows(facts: Facts, pairs: dict[Pair, str], states: Counter[str]) -> Iterable[str]:
    if not facts.books:
        return
    rows = {"accepted": len(facts.events), "matched": len(pairs), **states}
    told = {**facts.books["routing"], **facts.books["delivery"]}
    for line, n in rows.items():
        if told.get(line, 0) != n:
            yield f"the books say {told.get(line, 0)} {line}, the rows {n}"
