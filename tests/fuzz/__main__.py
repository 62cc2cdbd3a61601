"""`make fuzz`: random triggers and mappings on random events; fails on any error but our own, and on slow events."""

import argparse
import contextlib
import gc
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from connectors import fields, mapping, trigger
from connectors.context import Context
from connectors.errors import MappingError, PayloadError, TriggerError
from tests.fuzz import cases

CASES, QUICK = 100_000, 10_000
LIMIT = 0.1  # processor seconds for one event, or for compiling
EVENTS = 2  # for each trigger and mapping
SHOWN = 20  # failures printed


class Fuzz:
    """Counts what came out, keeps the slowest and what should not have happened. Every case can be run by itself."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.slowest = (0.0, 0, "")
        self.failures: list[str] = []

    def run(self, number: int) -> None:
        chance = Random(f"{self.seed}/{number}")
        kind, work = ("trigger", self._trigger) if number % 2 else ("mapping", self._mapping)
        try:
            self.counts[f"{kind} {work(number, chance)}"] += 1
        except Exception:  # noqa: BLE001 (whatever escapes is what is looked for)
            self.failures.append(f"case {number}: {traceback.format_exc()}")

    def _trigger(self, number: int, chance: Random) -> str:
        text = cases.trigger(chance)
        try:
            parsed = self._timed(number, "parsing", lambda: trigger.parse(text))
        except TriggerError:
            return "refused"
        for _ in range(EVENTS):
            event = cases.event(chance)
            verdict = self._timed(number, "matching", lambda event=event: parsed.matches(event))
            found = parsed.explain(event)
            if verdict and found and not any(part.verdict for part in found):
                raise AssertionError(f"{text!r} matches, but no condition of it explains why")
        return "matched or not"

    def _mapping(self, number: int, chance: Random) -> str:
        made = cases.fields(chance)
        try:
            compiled = self._timed(number, "compiling", lambda: mapping.compile(made))
        except MappingError:
            return "refused"
        came_out = "not resolved"
        for _ in range(EVENTS):
            event, context = cases.event(chance), Context(seed=b"s", identity=b"i", answers={"T": {"a": [{"b": 1}]}})
            with contextlib.suppress(MappingError):
                resolved = self._timed(
                    number, "resolving", lambda event=event, context=context: compiled.resolve(event, context)
                )
                came_out = "resolved"
                if isinstance(resolved, dict):
                    declared = cases.declaration(chance, list(resolved))
                    with contextlib.suppress(PayloadError):
                        self._timed(number, "cleaning", lambda made=resolved, asked=declared: fields.clean(asked, made))
        return came_out

    def _timed(self, number: int, doing: str, work: Callable[[], Any]) -> Any:
        """The least of up to three tries, for the first may find cold caches; the garbage is collected elsewhere."""
        spent = []
        gc.disable()
        try:
            for _ in range(3):
                began = time.thread_time()
                try:
                    made = work()
                finally:
                    spent.append(time.thread_time() - began)
                if spent[-1] < LIMIT:
                    break
            return made
        finally:
            gc.enable()
            self.slowest = max(self.slowest, (min(spent), number, doing))
            if min(spent) >= LIMIT:
                self.failures.append(f"case {number}: {doing} took {min(spent) * 1000:.0f} ms")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} cases instead of {CASES:,}")
    parser.add_argument("--seed", type=int, default=1, help="another seed makes other cases")
    parser.add_argument("--case", type=int, help="only this case, as a failure names it")
    options = parser.parse_args()
    mapping.compile({"": {"@liquid": ""}})  # loads the library, which no event should be charged with
    fuzz = Fuzz(options.seed)
    began = time.monotonic()
    for number in [options.case] if options.case is not None else range(QUICK if options.quick else CASES):
        fuzz.run(number)
    for failure in fuzz.failures[:SHOWN]:
        print(failure)
    for name, count in sorted(fuzz.counts.items()):
        print(f"{name}: {count:,}")
    spent, number, doing = fuzz.slowest
    print(f"slowest: {spent * 1000:.1f} ms of the processor, {doing} case {number}")
    print(f"{len(fuzz.failures)} failures, seed {options.seed}, {time.monotonic() - began:.0f} s")
    return 1 if fuzz.failures else 0


if __name__ == "__main__":
    sys.exit(main())
