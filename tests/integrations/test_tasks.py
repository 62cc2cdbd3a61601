"""The bell and the sweep: nothing depends on the broker but speed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from integrations import tasks
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


def test_ringing_without_a_broker_neither_waits_nor_fails(settings, monkeypatch):
    monkeypatch.setattr(tasks, "_redis", lambda: (_ for _ in ()).throw(ConnectionError("no broker")))

    started = datetime.now(UTC)
    tasks.bell([1, 2, 3])

    assert datetime.now(UTC) - started < timedelta(seconds=0.5)
    with pytest.raises(ConnectionError):
        tasks.publish(1)
