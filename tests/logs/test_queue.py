"""Claims, leases and outcomes: a row is at one worker at a time, and leaves when its outcome is recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from logs.models import BookHour, Delivery, Exchange, Queue, Waiting
from logs.models.queue import Outcome
from logs.verdict import Cause, Rank, Status
from tests.logs.conftest import BRAND, LANE, MAPPING

pytestmark = pytest.mark.django_db

ONE, TWO = 1, 2
EXCHANGE = ("POST", "https://acme.example/", "{}", b"sent", 200, "{}", b"got", False, 12.5, "req-1", "")


@pytest.fixture
def queued(arrival, record):
    """queued(n) → n rows ready in the lane."""

    def make(n: int) -> None:
        record(*[arrival(f"m-{number}") for number in range(n)])

    return make


def claim(n: int = 100, token: int = ONE):
    return Queue.objects.claim(LANE, n, token, 30)


def test_a_row_is_claimed_once(queued):
    queued(3)

    first, second = claim(2), claim(2, TWO)

    assert (len(first), len(second)) == (2, 1)
    assert not {row.id for row in first} & {row.id for row in second}
    assert claim(2) == []


def test_first_tries_leave_a_share_to_retries_and_replays(queued):
    queued(60)
    ids = list(Queue.objects.order_by("id").values_list("id", flat=True))
    Queue.objects.filter(id__in=ids[20:40]).update(rank=Rank.RETRY)
    Queue.objects.filter(id__in=ids[40:]).update(rank=Rank.REPLAY)

    ranks = [row.rank for row in claim(20)]

    assert [ranks.count(rank) for rank in Rank] == [20, 4, 2]


def test_without_first_tries_the_others_get_everything(queued):
    queued(30)
    Queue.objects.update(rank=Rank.REPLAY)

    assert len(claim(20)) == 20


def test_an_outcome_takes_the_row_and_leaves_an_attempt(queued):
    queued(1)
    [row] = claim()

    outcome = Outcome(row, Status.DELIVERED, code=200, ms=12.5, exchange=0, exchanges=1)
    assert Queue.objects.record(LANE, [outcome], ONE, [EXCHANGE]) == 1

    assert not Queue.objects.exists()
    attempt = Delivery.objects.get()
    assert (attempt.event, attempt.mapping, attempt.attempt, attempt.code) == (row.event, MAPPING, 1, 200)
    assert (attempt.cause, attempt.status) == (Cause.FIRST, Status.DELIVERED)
    exchange = Exchange.objects.get(id=attempt.exchange)
    assert (exchange.url, exchange.status, exchange.request_id) == ("https://acme.example/", 200, "req-1")
    assert BookHour.objects.balance(BRAND).books["delivery"]["delivered"] == 1


def test_an_owner_whose_lease_was_taken_over_changes_nothing(queued):
    queued(1)
    [row] = claim(token=ONE)
    Queue.objects.update(lease=datetime(2020, 1, 1, tzinfo=UTC))
    Queue.objects.expire()
    claim(token=TWO)

    assert Queue.objects.record(LANE, [Outcome(row, Status.DELIVERED)], ONE, [EXCHANGE]) == 0

    assert Queue.objects.get().token == TWO
    assert not Delivery.objects.exists()
    assert BookHour.objects.balance(BRAND).unaccounted == 0


def test_what_is_tried_again_waits_for_its_due_time(queued):
    queued(1)
    [row] = claim()

    Queue.objects.record(LANE, [Outcome(row, Status.AGAIN, wait=60, memo={"contact": "C1"})], ONE, [])

    assert Waiting.objects.release() == set()
    waiting = Waiting.objects.get()
    assert (waiting.attempts, waiting.memo, waiting.rank) == (1, {"contact": "C1"}, Rank.RETRY)
    assert timedelta(seconds=50) < waiting.due - datetime.now(UTC) < timedelta(seconds=70)

    Waiting.objects.update(due=F("due") - timedelta(seconds=61))
    assert Waiting.objects.release() == {LANE}
    [again] = claim()
    assert (again.attempts, again.cause, again.memo) == (1, Cause.RETRY, {"contact": "C1"})
    assert BookHour.objects.balance(BRAND).unaccounted == 0


def test_what_never_left_is_no_attempt(queued):
    queued(1)
    [row] = claim()

    Queue.objects.record(LANE, [Outcome(row, Status.FAILED, sent=False, fault="PayloadError")], ONE, [])

    assert Delivery.objects.get().attempt == 0


def test_a_lease_is_renewed_by_its_owner_only(queued):
    queued(2)
    rows = claim(token=ONE)

    assert Queue.objects.renew(LANE, rows, ONE, 60) == {row.id for row in rows}
    assert Queue.objects.renew(LANE, rows, TWO, 60) == set()


def test_what_is_given_back_was_never_claimed(queued):
    queued(2)

    Queue.objects.give_back(LANE, claim(), ONE)

    assert [row.claims for row in claim()] == [1, 1]


def test_a_row_that_kills_its_worker_is_soon_alone(queued):
    queued(40)

    sizes = []
    for _ in range(3):
        sizes.append(len(claim()))
        Queue.objects.update(lease=None)

    assert sizes == [40, 10, 1]


def test_lanes_with_work_are_found(queued):
    queued(2)

    assert Queue.objects.lanes() == [LANE]
    claim()
    assert Queue.objects.lanes() == []


def test_recording_is_one_statement_however_many_rows(queued, django_assert_num_queries):
    queued(100)
    rows = claim()

    with django_assert_num_queries(1):
        Queue.objects.record(LANE, [Outcome(row, Status.DELIVERED) for row in rows], ONE, [EXCHANGE])


def test_folded_books_say_the_same(queued):
    queued(5)
    Queue.objects.record(LANE, [Outcome(row, Status.DELIVERED) for row in claim(3)], ONE, [])
    before = BookHour.objects.balance(BRAND).books

    assert BookHour.objects.fold() > 0
    Queue.objects.record(LANE, [Outcome(row, Status.FAILED) for row in claim()], ONE, [])
    assert BookHour.objects.fold() > 0

    after = BookHour.objects.balance(BRAND)
    assert before["delivery"]["delivered"] == 3
    assert (after.books["delivery"]["delivered"], after.books["delivery"]["failed"]) == (3, 2)
    assert after.books["delivery"]["pending"] == 0
    assert after.unaccounted == 0


def test_a_gap_in_the_books_is_seen(queued):
    queued(5)

    Queue.objects.filter(id=claim(1)[0].id).delete()

    assert BookHour.objects.balance(BRAND).unaccounted == 1
