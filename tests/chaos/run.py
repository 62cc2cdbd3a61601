"""One scenario under way: what it may do to the yard, what it measured, and how it ends."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from logs import ids
from tests.chaos.load import Ledger, Load
from tests.chaos.reconcile import Report, gather, reconcile
from tests.chaos.yard import Servers, Yard

PATIENCE = 150
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
        """A random one every 250 ms while the load is busy; `meanwhile` is called with the number of each kill."""
        while load.busy:
            time.sleep(0.25)
            if self.yard.workers.kill_one(self.chance):
                self.faults += 1
                meanwhile(self.faults)

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
        for the schedule is not what is tried here."""
        began = time.monotonic()
        while self.pending() and time.monotonic() - began < PATIENCE:
            if hasten:
                self.yard.sql("UPDATE logs_waiting SET due = now() WHERE due > now()")
            time.sleep(0.25)
        return time.monotonic() - began

    def back_in_service(self, seconds: float, within: float | None = None) -> None:
        """Note that service was whole again `seconds` after the fault ended."""
        self.recoveries.append(seconds)
        if within is not None:
            self.expect(seconds <= within, f"it took {seconds:.1f} s to drain after the fault, {within:.0f} allowed")

    def recovered(self, within: float) -> None:
        """Measure, for every row whose worker was killed or frozen, how soon after that somebody had it again."""
        took = list(_recoveries(self.yard))
        self.recoveries += took
        self.figures["orphaned"] = len(took)
        self.expect(max(took, default=0) <= within, f"a row waited {max(took, default=0):.1f} s for another worker")

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


def _recoveries(yard: Yard) -> Iterator[float]:
    workers = dict(yard.read("SELECT token, worker FROM chaos_claim"))
    claimed = {token: at.timestamp() for token, at in yard.read("SELECT token, at FROM chaos_claim")}
    outcomes: dict[tuple[int, int], list[float]] = {}
    for id, *pair in yard.read("SELECT id, event, mapping FROM logs_delivery ORDER BY id"):
        outcomes.setdefault(tuple(pair), []).append(ids.moment(id).timestamp())
    lost: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for token, at, *pair in yard.read("SELECT token, at, event, mapping FROM chaos_freed ORDER BY at"):
        lost.setdefault(tuple(pair), []).append((at.timestamp(), token))
    for pair, losses in lost.items():
        for n, (at, token) in enumerate(losses):
            killed = yard.workers.killed.get(workers.get(token, ""))
            again = (
                [claimed[losses[n + 1][1]]] if n + 1 < len(losses) else [t for t in outcomes.get(pair, ()) if t > at]
            )
            if killed and again:
                yield again[0] - killed
