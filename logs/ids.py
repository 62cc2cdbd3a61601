"""Time-ordered ids for everything that is logged, made by us, without a round trip.

63 bits: 41 of milliseconds since EPOCH, 8 of writer, 2 of counter, 12 of index. A request takes one base (index 0) and
its events the indexes after it, so an event's request is its id with the low bits cleared, and an id tells its moment.
A process leases its writer number from the database and counts time from the database's clock, so that two processes
never make the same id and a wrong local clock does no harm.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.db import connection

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
INDEX_BITS = 12
COUNTER_BITS = 2
WRITER_BITS = 8
TIME_SHIFT = INDEX_BITS + COUNTER_BITS + WRITER_BITS
INDEXES = 1 << INDEX_BITS
WRITERS = 1 << WRITER_BITS
LEASE = 30.0
"""Seconds a writer number is held; short, because a killed process can't give its number back."""


def moment(id: int) -> datetime:
    """When the id was made, to the millisecond."""
    return EPOCH + timedelta(milliseconds=id >> TIME_SHIFT)


def first_at(at: datetime) -> int:
    """The smallest id of that millisecond: bounds for "since" and "until", and for partitions."""
    return (at - EPOCH) // timedelta(milliseconds=1) << TIME_SHIFT


def request_of(event: int) -> int:
    return event & -INDEXES


def hour_of(id: int) -> datetime:
    return moment(id).replace(minute=0, second=0, microsecond=0)


def lease_writer() -> tuple[int, float]:
    """Lease the number that has been free longest; returns it with the database's time in ms since EPOCH."""
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE logs_writer SET until = now() + make_interval(secs => %s)
               WHERE number = (SELECT number FROM logs_writer WHERE until < now()
                               ORDER BY until LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING number, extract(epoch FROM clock_timestamp() - %s) * 1000""",
            [LEASE, EPOCH],
        )
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError(f"All {WRITERS} writer numbers are leased: are that many processes running?")
    return row[0], float(row[1])


class Maker:
    """Makes the ids of one process; safe to share between its threads."""

    def __init__(
        self,
        lease: Callable[[], tuple[int, float]] = lease_writer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease = lease
        self._clock = clock
        self._lock = threading.Lock()
        self._until = 0.0
        self._pid = 0
        self._last = 0

    def base(self) -> int:
        """An id with index 0, for a request; the 4,095 after it belong to the caller too."""
        with self._lock:
            now = self._clock()
            if now >= self._until or self._pid != os.getpid():
                self._renew()
                now = self._clock()
            tick = int(self._started + (now - self._since) * 1000) << COUNTER_BITS
            self._last = tick = max(tick, self._last + 1)
            ms, counter = tick >> COUNTER_BITS, tick & ((1 << COUNTER_BITS) - 1)
            return ms << TIME_SHIFT | self._writer << (COUNTER_BITS + INDEX_BITS) | counter << INDEX_BITS

    def many(self, n: int) -> list[int]:
        """n ids in order, for rows that are no requests."""
        ids: list[int] = []
        while len(ids) < n:
            base = self.base()
            ids.extend(range(base, base + min(INDEXES, n - len(ids))))
        return ids

    def _renew(self) -> None:
        """A new number each time: the old one may have run out unseen. Two seconds spare for ids that run ahead."""
        asked = self._clock()
        self._writer, self._started = self._lease()
        self._since = self._clock()
        self._until = asked + LEASE - 2
        self._pid = os.getpid()
        self._last = 0


maker = Maker()
