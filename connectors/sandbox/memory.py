"""What the sandbox remembers of one vendor: what arrived and what became of it, and how it shall misbehave next."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import Any

JSON = dict[str, Any]

KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, its body unpacked."""

    method: str
    host: str
    path: str
    query: str
    headers: Any
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the vendor answers; `body` is sent as JSON, or as it is if it is text, of this `kind`."""

    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that arrived: `key` is what the vendor knows duplicates by, `reason` why it was not taken in."""

    n: int
    key: str
    host: str
    at: float
    body: Any
    reason: str


class Memory:
    """Everything that arrived, counted; the newest `KEPT` items in full."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self._items: deque[Item] = deque(maxlen=KEPT)
            self._keys: set[int] = set()
            self._next = 1
            self._requests = 0
            self._reasons: Counter[str] = Counter()

    def keep(self, host: str, arrived: Iterable[tuple[str, Any, str]]) -> None:
        """Take in the (key, body, reason) of one request; what is not discarded is a duplicate if its key is known."""
        now = time.time()
        with self._lock:
            self._requests += 1
            for key, body, discarded in arrived:
                reason = discarded
                if key and not reason:
                    known = hash(key)
                    reason = "duplicate" if known in self._keys else ""
                    self._keys.add(known)
                self._reasons[reason] += 1
                self._items.append(Item(self._next, key, host, now, body, reason))
                self._next += 1

    def received(self, since: int = 0, limit: int | None = None) -> list[Item]:
        """The items numbered above `since`, oldest first."""
        with self._lock:
            first = self._items[0].n if self._items else 1
            start = max(0, since + 1 - first)
            return list(islice(self._items, start, None if limit is None else start + limit))

    def newest(self, limit: int, before: int | None = None) -> list[Item]:
        """The items numbered below `before`, newest first."""
        with self._lock:
            older = (item for item in reversed(self._items) if before is None or item.n < before)
            return list(islice(older, limit))

    def counts(self) -> JSON:
        with self._lock:
            discarded = {r: n for r, n in self._reasons.items() if r not in ("", "duplicate")}
            return {
                "requests": self._requests,
                "received": sum(self._reasons.values()),
                "accepted": self._reasons[""],
                "distinct": len(self._keys),
                "duplicates": self._reasons["duplicate"],
                "discarded": discarded,
            }


@dataclass(slots=True)
class Switches:
    """How a vendor misbehaves.

    `latency_ms` delays every answer. `status`, `reset` and `hang` hold for the next `count` requests (None: until
    switched off); `rate_429` is the share of all requests to answer 429, evenly spread. `retry_after` goes with any
    status of theirs. `after` takes in what the request brought before failing it, as a vendor does that dies while
    answering. Of vendors that do so, `lag` reads of what was just made do not find it yet, and `limits` is the share of
    the published rate limits that holds (0: none).
    """

    latency_ms: float = 0
    status: int = 0
    reset: bool = False
    hang: bool = False
    count: int | None = None
    rate_429: float = 0
    retry_after: float | None = None
    after: bool = False
    lag: int = 0
    limits: float = 0

    @classmethod
    def of(cls, values: JSON) -> Switches:
        """Switches from JSON; ValueError for one that does not exist or makes no sense."""
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f"no such switch: {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
        switches = cls(**values)
        if not 0 <= switches.rate_429 <= 1 or switches.latency_ms < 0 or switches.status not in range(600):
            raise ValueError("rate_429 is between 0 and 1, latency_ms not negative, status below 600")
        return switches

    def as_json(self) -> JSON:
        return asdict(self)


class Faults:
    """Decides, request by request, what the switches ask for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set(Switches())

    def set(self, switches: Switches) -> None:
        with self._lock:
            self.switches = switches
            self._left = switches.count
            self._share = 0.0

    def next(self) -> str | int:
        """What happens to this request: "" (nothing), "reset", "hang" or a status."""
        with self._lock:
            s = self.switches
            wanted = "reset" if s.reset else "hang" if s.hang else s.status
            if wanted and self._left != 0:
                if self._left is not None:
                    self._left -= 1
                return wanted
            self._share += s.rate_429
            if self._share >= 1:
                self._share -= 1
                return 429
            return ""
