"""How hard a lane may be pushed: when to try again, how many workers at once, and who must make way for others."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection

SCHEDULE = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0)
"""Seconds between one attempt and the next; after the last it goes on every `EVERY`."""

EVERY = 12 * 3600.0
JITTER = 0.2
"""Share by which every wait is lengthened or shortened, so that what failed together doesn't come back together."""

MAX_AGE = timedelta(days=14)
"""How long after its receipt an event is still tried."""

SLOW = 1.0
"""Seconds a request takes on average in a lane that may hold no more than half of a worker's threads."""

_SLOTS = 64


def wait(attempts: int, retry_after: float | None = None) -> float:
    """Seconds until the attempt after the `attempts`-th, never sooner than the vendor asked for."""
    scheduled = SCHEDULE[attempts - 1] if 0 < attempts <= len(SCHEDULE) else EVERY
    return max(scheduled * random.uniform(1 - JITTER, 1 + JITTER), retry_after or 0.0)


@contextmanager
def slot(lane: int, concurrency: int) -> Iterator[bool]:
    """One of the lane's places, over all workers; False when all are taken.

    A place is a lock of this thread's database session: it is free the moment its worker dies.
    """
    first = lane * _SLOTS
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
    """How long requests of each lane take lately, in this process: slow lanes share half of its threads."""

    def __init__(self, threads: int) -> None:
        self._slow_places = threading.Semaphore(max(1, threads // 2))
        self._average: dict[int, float] = {}

    def note(self, lane: int, seconds: float) -> None:
        self._average[lane] = 0.7 * self._average.get(lane, 0.0) + 0.3 * seconds

    @contextmanager
    def room(self, lane: int) -> Iterator[bool]:
        """Whether there is a thread for the lane; a fast lane always finds one."""
        if self._average.get(lane, 0.0) < SLOW:
            yield True
        elif self._slow_places.acquire(blocking=False):
            try:
                yield True
            finally:
                self._slow_places.release()
        else:
            yield False
