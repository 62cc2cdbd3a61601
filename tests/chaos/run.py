"""One scenario under way: what it may do to the yard, what it measured, and how it ends."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from logs import ids
from tests.chaos.load import Ledger, Load
from tests.chaos.reconcile import Pair, Report, gather, reconcile
from tests.chaos.yard import Servers, Yard

KILLED = 35
"""Seconds in which what a killed worker held is made good."""

PATIENCE = 240
"""Seconds after which what is still pending will not be done any more."""


class Run:
    """`chance` decides what is left to chance; `figures` is what the scenario measured, `broken` what it found."""

    def __init__(self, yard: Yard, chance: random.Random, *, quick: bool):
        self.yard = yard
        self.chance = chance
        self.quick = quick
        self.faults = 0
        self.figures: dict[str, Any] = {}
        self.broken: list[str] = []
        self.recoveries: list[float] = []
        self.ledger = Ledger(yard.folder / "ledger.jsonl")

    def either(self, whole: int, quick: int) -> int:
        """A number of the whole run, or of the quick one."""
        return quick if self.quick else whole

    @property
    def servers(self) -> Servers:
        assert self.yard.servers, "this scenario kills servers, and these are not ours"
        return self.yard.servers

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.broken.append(otherwise)

    @contextmanager
    def sending(self, count: int, rate: float, most: int = 40, first: int = 0) -> Iterator[Load]:
        """Events being sent while the context lasts, and until the last is acknowledged."""
        door, keys = self.yard.door, self.yard.keys
        with Load(door, keys, self.ledger, self.chance, first=first, count=count, rate=rate, most=most) as load:
            yield load
        answers = {str(status or "none"): n for status, n in sorted(load.statuses().items())}
        self.figures["answers"] = {s: self.figures.get("answers", {}).get(s, 0) + n for s, n in answers.items()}

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Whether it was done in time."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def kill_workers(self, load: Load, meanwhile: Callable[[int], None] = lambda n: None) -> None:
        """A random one every 250 ms, mostly of those at work. `meanwhile` is told how many events are acknowledged."""
        while load.busy:
            meanwhile(load.acknowledged)
            time.sleep(0.25)
            there = self.yard.busy_workers() if self.chance.random() < 0.8 else sorted(self.yard.workers.alive)
            if there:
                self.yard.workers.kill(self.chance.choice(there))
                self.faults += 1

    def slow_down_vendors(self) -> None:
        """Let them take 50 ms for an answer, so that there is always something on its way."""
        for vendor in ("segment", "webhook"):
            self.yard.switch(vendor, latency_ms=50)

    def freeze_a_busy_worker(self) -> str:
        """Freeze one that holds a claim, and go on only when it still held it."""
        while True:
            for name in self.yard.busy_workers():
                self.yard.workers.freeze(name)
                if name in self.yard.busy_workers():
                    self.faults += 1
                    return name
                self.yard.workers.thaw(name)
            time.sleep(0.02)

    def restart_postgres(self) -> None:
        """Shut it down at once, and start it again a moment later."""
        self.servers.stop_postgres()
        self.faults += 1
        time.sleep(self.chance.uniform(0.5, 2))
        self.servers.revive()

    def oldest_pending(self) -> float:
        """Seconds since the receipt of the oldest event that still is to be delivered."""
        rows = self.yard.read("SELECT min(event) FROM logs_queue")
        return time.time() - ids.moment(rows[0][0]).timestamp() if rows[0][0] else 0.0

    def delays(self, since: float, until: float) -> dict[str, float]:
        """Seconds from receipt to delivery of what was received in that time."""
        low, high = (ids.first_at(datetime.fromtimestamp(t, UTC)) for t in (since, until))
        rows = self.yard.read(
            "SELECT event, max(id) FROM logs_delivery WHERE event BETWEEN %s AND %s GROUP BY 1", low, high
        )
        took = sorted((ids.moment(id) - ids.moment(event)).total_seconds() for event, id in rows)
        return {"p50": took[len(took) // 2], "max": took[-1]} if took else {}

    def pending(self) -> int:
        """Deliveries and decisions still to be made."""
        rows = self.yard.read("SELECT (SELECT count(*) FROM logs_queue) + (SELECT count(*) FROM logs_waiting)")
        return int(rows[0][0])

    def pending_for(self, connector: str) -> int:
        """Deliveries that are ready for this vendor."""
        rows = self.yard.read(
            """SELECT count(*) FROM logs_queue JOIN integrations_destination d ON d.id = lane
               JOIN integrations_account a ON a.id = d.account_id WHERE a.connector = %s""",
            connector,
        )
        return int(rows[0][0])

    def drain(self, *, hasten: bool = False) -> float:
        """Wait until nothing is pending; returns the seconds it took. `hasten` makes due at once what waits for later,
        and the probes of held lanes, for the schedule is not what is tried here."""
        began = time.monotonic()
        while self.pending() and time.monotonic() - began < PATIENCE:
            if hasten:
                self.yard.sql("UPDATE logs_waiting SET due = now() WHERE due > now()")
                self.yard.sql("UPDATE logs_hold SET until = now() WHERE until > now()")
            time.sleep(0.25)
        return time.monotonic() - began

    def back_in_service(self, seconds: float, within: float | None = None) -> None:
        """Note that service was whole again `seconds` after the fault ended."""
        self.recoveries.append(seconds)
        if within is not None:
            self.expect(seconds <= within, f"it took {seconds:.1f} s to drain after the fault, {within:.0f} allowed")

    def recovered(self, *, in_hand: bool) -> None:
        """Measure, for every claim that was lost with its worker, how soon its rows were free for others, and how soon
        somebody had the first of them. Only the first is held to the limit unless `in_hand`: in a storm heirs die too.
        """
        lost = list(_lost_claims(self.yard))
        free, taken = ([getattr(claim, name) for claim in lost] for name in ("free", "taken"))
        self.recoveries += taken
        self.figures["orphaned"] = {"claims": len(lost), "rows": sum(claim.rows for claim in lost)}
        self.figures["free_again_s"] = round(max(free, default=0), 1)
        self.figures["birth_to_claim_s"] = _births(self.yard)
        slowest = max(taken if in_hand else free, default=0)
        self.expect(bool(lost), "no claim was lost: the workers had nothing to do when they were killed")
        self.expect(slowest <= KILLED, f"a lost claim waited {slowest:.1f} s for another worker, {KILLED} allowed")

    def finish(self) -> dict[str, Any]:
        """The scenario's entry in build/chaos.json."""
        facts = gather(self.yard, self.ledger)
        report: Report = reconcile(facts)
        if self.yard.workers.died:
            self.broken.append(f"{len(self.yard.workers.died)} workers ended by themselves")
        took = self.recoveries
        return {
            "acknowledged": report.acknowledged,
            "lost": report.lost,
            "duplicates": report.duplicates,
            "faults": self.faults,
            "recovery_s": {"p50": round(median(took), 1), "max": round(max(took), 1)} if took else None,
            "states": {name: n for name, n in report.states.items() if n},
            **self.figures,
            "broken": report.broken + self.broken,
        }


def _births(yard: Yard) -> float:
    """Median seconds until a worker had its first claim."""
    first = dict(yard.read("SELECT worker, extract(epoch FROM min(at))::float FROM chaos_claim GROUP BY worker"))
    return round(median([at - yard.workers.born[name] for name, at in first.items()] or [0]), 2)


@dataclass(frozen=True)
class LostClaim:
    """Seconds from the kill until its rows were free again, and until somebody had the first of them."""

    rows: int
    free: float
    taken: float


def _lost_claims(yard: Yard) -> Iterator[LostClaim]:
    claims = yard.read("SELECT token, worker, extract(epoch FROM at)::float FROM chaos_claim")
    workers = {token: worker for token, worker, _ in claims}
    claimed = {token: at for token, _, at in claims}
    outcomes: dict[Pair, list[float]] = defaultdict(list)
    for id, event, mapping in yard.read("SELECT id, event, mapping FROM logs_delivery ORDER BY id"):
        outcomes[event, mapping].append(ids.moment(id).timestamp())
    losses: dict[Pair, list[tuple[float, int]]] = defaultdict(list)
    lost = yard.read("SELECT event, mapping, extract(epoch FROM at)::float, token FROM chaos_freed ORDER BY at")
    for event, mapping, at, token in lost:
        losses[event, mapping].append((at, token))
    taken: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for pair, times in losses.items():
        heirs = [claimed[token] for _, token in times[1:]]
        for n, (at, token) in enumerate(times):
            again = heirs[n : n + 1] or [outcome for outcome in outcomes[pair] if outcome > at]
            if again:
                taken[token].append((at, again[0]))
    for token, times in taken.items():
        if killed := yard.workers.killed.get(workers[token]):
            yield LostClaim(len(times), max(at for at, _ in times) - killed, min(at for _, at in times) - killed)
