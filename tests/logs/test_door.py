"""What one request leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from logs import door, ids, partitions
from logs.models import BookHour, Event, Queue, Request, RequestBody, Seen
from logs.verdict import Rank
from tests.logs.conftest import BRAND, LANE, MAPPING, SOURCE, VERSION

pytestmark = pytest.mark.django_db


def test_a_request_is_kept_with_its_events_and_its_work(arrival, record):
    record(arrival("m-1"), arrival("m-2", customer="u2"), refusals=[(3, "event_not_string", "No.")])

    request = Request.objects.get()
    assert (request.accepted, request.duplicates, request.refused, request.status) == (2, 0, 1, 200)
    assert request.refusals == [[3, "event_not_string", "No."]]
    assert RequestBody.objects.get(id=request.id).raw == b"{}"
    assert list(Event.objects.order_by("id").values_list("id", "message_id")) == [
        (request.id + 1, "m-1"),
        (request.id + 2, "m-2"),
    ]
    assert list(Queue.objects.order_by("id").values_list("lane", "rank", "event", "mapping", "version")) == [
        (LANE, Rank.FIRST, request.id + 1, MAPPING, VERSION),
        (LANE, Rank.FIRST, request.id + 2, MAPPING, VERSION),
    ]


def test_the_same_message_twice_is_kept_once(arrival, record):
    assert record(arrival("m-1")) == 1

    assert record(arrival("m-1"), arrival("m-2")) == 1

    assert sorted(Event.objects.values_list("message_id", flat=True)) == ["m-1", "m-2"]
    assert Queue.objects.count() == 2
    assert Request.objects.order_by("-id").first().duplicates == 1


def test_the_same_message_twice_in_one_request_is_kept_once(arrival, record):
    assert record(arrival("m-1"), arrival("m-1")) == 1

    assert Request.objects.get().duplicates == 1


@pytest.mark.parametrize(("days", "new"), [(1, 0), (6, 0), (9, 1)])
def test_a_message_is_remembered_for_seven_days(arrival, record, days, new):
    record(arrival("m-1"))
    seen = Seen.objects.get()
    earlier = ids.first_at(ids.moment(seen.id)) - (days * 24 * 3600 * 1000 << ids.TIME_SHIFT)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE logs_seen_old PARTITION OF logs_seen DEFAULT")
        cursor.execute("UPDATE logs_seen SET id = %s", [earlier])

    assert record(arrival("m-1")) == new


def test_the_same_message_at_another_source_is_another_message(arrival, record, monkeypatch):
    record(arrival("m-1"))
    Seen.objects.update(source=SOURCE + 1)

    assert record(arrival("m-1")) == 1


def test_the_books_close(arrival, record):
    record(arrival("m-1"), arrival("m-2", rule_set=None, verdicts=b"", work=[]), refusals=[(3, "no_user_anon_id", "")])
    record(arrival("m-1"))

    balance = BookHour.objects.balance(BRAND)

    assert balance.books == {
        "door": {"presented": 4, "accepted": 2, "duplicate": 1, "refused": 1},
        "routing": {"accepted": 2, "decided": 1, "no_mapping": 1, "undecided": 0},
        "delivery": {
            "matched": 1,
            "delivered": 0,
            "failed": 0,
            "quarantined": 0,
            "cancelled": 0,
            "expired": 0,
            "superseded": 0,
            "discarded": 0,
            "pending": 1,
            "held": 0,
        },
    }
    assert balance.unaccounted == 0


def test_an_undecided_event_asks_to_be_decided(arrival, record):
    record(arrival("m-1", rule_set=None, verdicts=b"", work=[], undecided=True))

    assert Queue.objects.values_list("lane", "mapping").get() == (door.DECIDE_LANE, 0)
    assert BookHour.objects.balance(BRAND).books["routing"]["undecided"] == 1


def test_a_request_is_one_statement_however_many_events(arrival, record, django_assert_num_queries):
    ids.maker.base()

    with django_assert_num_queries(1):
        record(*[arrival(f"m-{n}") for n in range(200)])


def test_a_refused_request_leaves_its_reason_and_its_first_bytes():
    request = door.Arrived(ids.maker.base(), BRAND, SOURCE, "batch", 0.4, 3, b"x" * 5000, {})

    door.refuse(request, status=400, code="bad_request", message="No JSON.", logged=True)

    kept = Request.objects.get()
    assert (kept.status, kept.code, kept.message, kept.refused) == (400, "bad_request", "No JSON.", 3)
    assert RequestBody.objects.get().raw == b"x" * 2048
    assert RequestBody.objects.get().size == 5000
    assert BookHour.objects.balance(BRAND).books["door"]["refused"] == 3


def test_a_refusal_beyond_the_cap_is_counted_only():
    request = door.Arrived(ids.maker.base(), BRAND, SOURCE, "batch", 0.4, 1, b"", {})

    door.refuse(request, status=400, code="bad_request", message="No JSON.", logged=False)

    assert not Request.objects.exists()
    assert BookHour.objects.balance(BRAND).books["door"] == {
        "presented": 1,
        "accepted": 0,
        "duplicate": 0,
        "refused": 1,
    }


@pytest.mark.django_db(transaction=True)
def test_a_day_without_partitions_gets_them_at_the_door(arrival, record):
    with connection.cursor() as cursor:
        for table in partitions.TABLES:
            cursor.execute(f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{table}'::regclass")
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP TABLE {name}")

    assert record(arrival("m-1")) == 1

    assert Event.objects.get().message_id == "m-1"


def test_partitions_are_made_once():
    partitions.ensure()

    assert partitions.ensure() == []


def test_a_day_is_made_while_doors_write():
    another = connection.copy()
    another.set_autocommit(False)

    try:
        with another.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {', '.join(partitions.TABLES)} IN ROW EXCLUSIVE MODE")  # as an INSERT does
        made = partitions.ensure(partitions.AHEAD + 1)
    finally:
        another.close()

    day = f"{datetime.now(UTC) + timedelta(days=partitions.AHEAD + 1):%Y%m%d}"
    assert made == [f"{table}_{day}" for table in partitions.TABLES]
