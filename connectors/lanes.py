"""How hard a lane may be pushed: how many workers at once, when its breaker opens, and who must make way."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

SLOW = 1.0
"""Seconds a request takes on average in a lane that may hold no more than half of a worker's threads."""

WINDOW = 60.0
ENOUGH = 10
FAILING = 0.5
"""The breaker opens when, of at least ENOUGH sends in the last WINDOW seconds, this share found the vendor failing."""

OPEN_FIRST, OPEN_MOST = 30.0, 600.0
"""Seconds an open breaker waits before the next probe: doubled each time, up to the most."""

PROBE_FIRST, PROBE_MOST = 60.0, 600.0
"""The same for refused credentials."""

_SLOTS = 64


@contextmanager
def slot(lane: int, concurrency: int) -> Iterator[bool]:
    """One of the lane's places, over all workers; False when all are taken.

    A place is a lock of this thread's database session: it is free the moment its worker dies.
    """
    first = abs(lane) * _SLOTS
    taken = None
    with connection.cursor() as cursor:
        for number in range(first, first + min(concurrency, _SLOTS)):
            cursor.execute("SELECT pg_try_advisory_lock(%s::bigint)", [number])
            if cursor.fetchone()[0]:
                taken = number
                break
    try:
        yield taken is not None
    finally:
        if taken is not None and connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s::bigint)", [taken])


class Pace:
    """What this process has learnt of its lanes lately, and whom its threads work for; nothing here must be true.

    Slow lanes share half of the threads, and one brand holds at most three quarters of them.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._slow = 0
        self._brands: Counter[int] = Counter()
        self._average: dict[int, float] = {}
        self._sends: dict[int, deque[tuple[float, bool]]] = {}

    def note(self, lane: int, seconds: float, well: bool) -> None:
        """A send took so long, and found the vendor well or not."""
        with self._lock:
            self._average[lane] = 0.7 * self._average.get(lane, 0.0) + 0.3 * seconds
            self._sends.setdefault(lane, deque(maxlen=200)).append((time.monotonic(), well))

    def failing(self, lane: int) -> bool:
        """Whether the breaker is to open; what led to it is forgotten with the answer."""
        with self._lock:
            since = time.monotonic() - WINDOW
            recent = [well for at, well in self._sends.get(lane, ()) if at > since]
            failing = len(recent) >= ENOUGH and recent.count(False) >= FAILING * len(recent)
            if failing:
                self._sends.pop(lane, None)
            return failing

    @property
    def full(self) -> bool:
        """Whether every thread is busy: then each makes room for others soon."""
        return self._brands.total() >= self._threads

    @contextmanager
    def room(self, lane: int, brand: int) -> Iterator[bool]:
        """Whether there is a thread for this lane of this brand now."""
        slow = self._average.get(lane, 0.0) >= SLOW
        with self._lock:
            room = self._brands[brand] < max(1, self._threads * 3 // 4) and (
                not slow or self._slow < max(1, self._threads // 2)
            )
            self._brands[brand] += room
            self._slow += room and slow
        try:
            yield room
        finally:
            with self._lock:
                self._brands[brand] -= room
                self._slow -= room and slow
