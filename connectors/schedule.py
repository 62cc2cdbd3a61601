"""When to try again: the waits between one attempt and the next, and when it is over."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import timedelta

JITTER = 0.2
"""Share by which every wait is lengthened or shortened, so that what failed together doesn't come back together."""

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
LONGEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to try again: `waits` seconds after each attempt, then `every` so many, for `longest` after receipt."""

    waits: tuple[float, ...] = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
    every: float = 43200
    longest: timedelta = timedelta(days=14)

    def wait(self, attempts: int, retry_after: float | None = None) -> float:
        """Seconds until the attempt after the `attempts`-th, never sooner than the vendor asked for."""
        scheduled = self.waits[attempts - 1] if 0 < attempts <= len(self.waits) else self.every
        return max(scheduled * random.uniform(1 - JITTER, 1 + JITTER), retry_after or 0.0)


def parse_waits(text: str) -> tuple[float, ...]:
    """Seconds from "5 s, 30 s, 2 min, 1 h"; ValueError says what cannot be."""
    waits = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)", part)
        if match is None:
            raise ValueError(f"“{part}” is no time: write a number and s, min, h or d, such as 30 s or 2 h.")
        seconds = float(match[1]) * UNITS[match[2]]
        if not 1 <= seconds <= LONGEST.total_seconds():
            raise ValueError(f"“{part}” is out of bounds: waits are from 1 s to {LONGEST.days} d.")
        waits.append(seconds)
    if not waits:
        raise ValueError("Give at least one time, such as 30 s.")
    return tuple(waits)
