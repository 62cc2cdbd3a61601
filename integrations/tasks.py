"""The doors through which work reaches a worker: the bell, the tasks it rings, and the sweep that needs no bell.

A task is told where to look, never what to do. Any of them may run twice, or never: the rows know.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import redis
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from connectors import delivery, lanes
from integrations import holds
from integrations.book import book
from integrations.celery import app
from logs import partitions
from logs.models import BookHour, Heartbeat, Queue, Waiting

SWEEP_EVERY = 1.0
EXPIRE_EVERY = 2.0
HOUSEKEEPING_EVERY = 3600.0
RUNG = 5
"""Seconds one bell stands for all that come after it, unless a worker answers it first."""

stopping = threading.Event()
pace = lanes.Pace(settings.WORKER_THREADS)
log = logging.getLogger(__name__)


@app.task(name="deliver", ignore_result=True, expires=60)
def deliver(lane: int) -> None:
    """Drain a lane for a few seconds, then ring again if it has more."""
    _unring(lane)
    if delivery.drain(lane, book, pace, stopping.is_set) and not stopping.is_set():
        bell([lane])


@app.task(name="sweep", ignore_result=True, expires=10)
def sweep() -> None:
    """Find what no bell tells of: due rows, leases that ran out, lanes with work; fold the books. Beat asks for it."""
    Heartbeat.objects.note(Heartbeat.Kind.BEAT)
    Waiting.objects.release()
    Queue.objects.expire()
    holds.resume()
    bell(Queue.objects.lanes())
    BookHour.objects.fold()


@app.task(name="housekeeping", ignore_result=True)
def housekeeping() -> None:
    """Make the log's next days."""
    partitions.ensure()


def bell(ready: Iterable[int]) -> None:
    """Say that these lanes have work. Returns at once, never fails: what it can't say, the sweep finds."""
    _bell.ring(ready)


class _Bell:
    """Rings from a thread of its own; bells for one lane run together while the broker is slow."""

    def __init__(self) -> None:
        self._lanes: set[int] = set()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def ring(self, ready: Iterable[int]) -> None:
        with self._wake:
            self._lanes.update(ready)
            if self._lanes:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                    self._thread.start()
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._lanes:
                    self._wake.wait()
                ready, self._lanes = self._lanes, set()
            for lane in ready:
                try:
                    publish(lane)
                except Exception as error:  # noqa: BLE001 (no fault of the broker may stop the bell)
                    log.warning("The bell for lane %s did not ring: %s. The sweep will find its work.", lane, error)
                    break


_bell = _Bell()


def publish(lane: int) -> None:
    """Ask some worker to drain the lane, unless that has been asked and not yet answered. Raises without a broker."""
    if _redis().set(f"switchyard:bell:{lane}", 1, nx=True, ex=RUNG):
        try:
            deliver.apply_async((lane,), retry=False)
        except Exception:
            _unring(lane)
            raise


def _unring(lane: int) -> None:
    with contextlib.suppress(redis.RedisError):
        _redis().delete(f"switchyard:bell:{lane}")


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5)


def start_sweeping() -> None:
    """Sweep in this worker until it stops."""
    threading.Thread(target=_sweep_on, name="sweep", daemon=True).start()


def _sweep_on() -> None:
    """What beat would ask for, without beat; and with the broker away, the work itself, by a few hands of its own."""
    hands = ThreadPoolExecutor(4, thread_name_prefix="sweep-hand")
    busy: set[int] = set()
    process = f"{socket.gethostname()}:{os.getpid()}"
    next_expiry = next_housekeeping = 0.0
    while not stopping.is_set():
        now = time.monotonic()
        try:
            Heartbeat.objects.note(Heartbeat.Kind.WORKER, process)
            if now >= next_housekeeping:
                housekeeping()
                next_housekeeping = now + HOUSEKEEPING_EVERY
            if now >= next_expiry:
                Queue.objects.expire()
                holds.resume()
                BookHour.objects.fold()
                next_expiry = now + EXPIRE_EVERY
            Waiting.objects.release()
            ready = Queue.objects.lanes()
            for lane in _unrung(ready):
                if lane not in busy:
                    busy.add(lane)
                    hands.submit(_drain_here, lane, busy)
        except (OperationalError, InterfaceError) as error:
            log.warning("The sweep could not reach the database: %s", error)
            connection.close()
        except Exception:  # noqa: BLE001 (the sweep is what finds all that was lost: it must go on)
            log.exception("The sweep failed; it goes on")
            close_old_connections()
        stopping.wait(SWEEP_EVERY)
    hands.shutdown(wait=True)


def _unrung(ready: list[int]) -> list[int]:
    """Ring for these lanes; returns those that could not be rung for. A broker that failed once is not asked again."""
    for place, lane in enumerate(ready):
        try:
            publish(lane)
        except Exception:  # noqa: BLE001 (whatever the broker's trouble is, the lanes are drained from here)
            return ready[place:]
    return []


def _drain_here(lane: int, busy: set[int]) -> None:
    try:
        delivery.drain(lane, book, pace, stopping.is_set)
    except Exception:  # noqa: BLE001 (logged; the next sweep tries again)
        log.exception("Draining lane %s failed", lane)
    finally:
        busy.discard(lane)
        close_old_connections()
