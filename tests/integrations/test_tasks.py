"""The bell and the sweep: nothing depends on the broker but speed."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.conf import settings

from integrations import celery, health, tasks
from logs import door, ids
from logs.models import BookDelta, BookHour, Queue, Waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def rung(monkeypatch):
    """What the bell was rung for."""
    lanes: list[int] = []
    monkeypatch.setattr(tasks, "bell", lanes.extend)
    return lanes


@pytest.fixture
def work():
    """An event waiting for lane 5."""
    arrival = door.Arrival(1, 0, 2, "track", "x", "u", False, "m", None, b"", [door.Work(5, 6, 7)])
    door.record(door.Arrived(ids.maker.base(), 1, 2, "track", 1.0, 1, b"{}", {}), [arrival])
    return Queue.objects.get()


def test_the_sweep_rings_for_lanes_nobody_rang_for(rung, work):
    tasks.sweep()

    assert rung == [5]


def test_the_sweep_frees_what_a_dead_worker_held(rung, work):
    Queue.objects.update(lease=datetime.now(UTC) - timedelta(hours=1), token=9, claims=1)

    tasks.sweep()

    row = Queue.objects.get()
    assert (row.lease, row.token, row.claims) == (None, None, 1)
    assert rung == [5]


def test_the_sweep_leaves_a_living_worker_alone(rung, work):
    Queue.objects.update(lease=datetime.now(UTC) + timedelta(hours=1), token=9, claims=1)

    tasks.sweep()

    assert Queue.objects.get().token == 9
    assert rung == []


def test_the_sweep_moves_what_is_due(rung, work):
    fields = ("lane", "rank", "event", "mapping", "version", "brand", "customer", "replay", "run", "step", "cause")
    row = {name: getattr(work, name) for name in fields}
    Waiting.objects.create(id=work.id, due=datetime.now(UTC) - timedelta(seconds=1), attempts=2, **row)
    Waiting.objects.create(id=work.id + 1, due=datetime.now(UTC) + timedelta(hours=1), attempts=3, **row)
    Queue.objects.all().delete()

    tasks.sweep()

    assert Queue.objects.get().attempts == 2
    assert Waiting.objects.get().attempts == 3


def test_the_sweep_folds_the_books(rung, work):
    tasks.sweep()

    assert not BookDelta.objects.exists()
    assert BookHour.objects.count() == 3


def test_a_bell_goes_to_our_own_broker_from_any_process():
    """A task of Celery's default app would be sent elsewhere from a process that never loads ours."""
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import django; django.setup(); from integrations import tasks; "
            "print(tasks.deliver.app.main, tasks.deliver.app.conf.broker_url)",
        ],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "integrations.settings"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert found.stdout.split() == ["integrations", settings.CELERY_BROKER_URL]


def test_a_bell_that_could_not_be_sent_is_not_taken_for_rung(monkeypatch):
    ours = redis.Redis.from_url(settings.REDIS_URL)
    ours.delete("switchyard:bell:77")

    def broken(*args, **options):
        raise ConnectionError("no broker")

    monkeypatch.setattr(tasks.deliver, "apply_async", broken)
    with pytest.raises(ConnectionError):
        tasks.publish(77)

    assert ours.get("switchyard:bell:77") is None


def test_ringing_without_a_broker_neither_waits_nor_fails(monkeypatch):
    monkeypatch.setattr(tasks, "_redis", lambda: (_ for _ in ()).throw(ConnectionError("no broker")))

    started = datetime.now(UTC)
    tasks.bell([1, 2, 3])

    assert datetime.now(UTC) - started < timedelta(seconds=0.5)
    with pytest.raises(ConnectionError):
        tasks.publish(1)


def test_a_broker_that_failed_once_is_not_asked_again_in_the_same_sweep(monkeypatch):
    asked = []

    def broken(lane: int) -> None:
        asked.append(lane)
        if lane == 2:
            raise ConnectionError("frozen")

    monkeypatch.setattr(tasks, "publish", broken)

    assert tasks._unrung([1, 2, 3, 4]) == [2, 3, 4]
    assert asked == [1, 2]


def test_a_worker_does_not_start_on_a_database_that_is_not_migrated(monkeypatch):
    monkeypatch.setattr(health, "unapplied", lambda: {("logs", "0099_later")})

    with pytest.raises(SystemExit, match="The database lacks these migrations: logs.0099_later"):
        celery._fit()


def test_a_worker_starts_on_a_migrated_database():
    celery._fit()

    assert health.unapplied() == set()
