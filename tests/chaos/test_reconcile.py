"""The reconciler sees what it is there to see: each kind of loss, repetition and contradiction."""

from collections import Counter

import pytest

from logs.verdict import Status, Verdict
from tests.chaos.load import Ledger
from tests.chaos.reconcile import Facts, reconcile

MATCHED, OTHERWISE = Verdict.MATCHED, Verdict.NOT_MATCHED


@pytest.fixture
def facts():
    """Two events: both wanted by mapping 7, the first by mapping 8 too, and all is well."""
    return Facts(
        acknowledged={"a": 0, "b": 1},
        events=[(1, "a", {7: MATCHED, 8: MATCHED}), (2, "b", {7: MATCHED, 8: OTHERWISE})],
        attempts=[(1, 7, Status.DELIVERED, True), (1, 8, Status.DELIVERED, True), (2, 7, Status.DELIVERED, True)],
        open=[],
        arrivals=[("1-7", "a", ""), ("1-8", "a", ""), ("2-7", "b", "")],
        books={"unaccounted": 0, "routing": {"accepted": 2}, "delivery": {"matched": 3, "delivered": 3}},
    )


def test_what_is_whole_breaks_no_promise(facts):
    report = reconcile(facts)

    assert (report.acknowledged, report.lost, report.duplicates, report.broken) == (2, 0, 0, [])
    assert +report.states == Counter(delivered=3)


def test_an_acknowledged_event_that_is_not_stored_is_lost(facts):
    facts.acknowledged["c"] = 0

    report = reconcile(facts)

    assert report.lost == 1
    assert report.broken == ["1 acknowledged, but not stored"]


def test_a_matched_delivery_that_is_nowhere_is_lost(facts):
    del facts.attempts[2], facts.arrivals[2]
    facts.books["delivery"]["delivered"] = 2

    report = reconcile(facts)

    assert report.lost == 1
    assert report.broken == ["1 matched, but neither pending nor ended"]


def test_a_delivery_the_vendor_never_saw_is_lost(facts):
    del facts.arrivals[2]

    report = reconcile(facts)

    assert report.lost == 1
    assert report.broken == ["1 said to be delivered, but never arrived"]


def test_two_ends_of_one_delivery_are_a_contradiction(facts):
    facts.attempts.append((2, 7, Status.FAILED, True))

    report = reconcile(facts)

    assert report.lost == 0
    assert report.broken == [
        "1 matched, and in two states",
        "1 ended otherwise than delivered",
        "the books say 0 failed, the rows 1",
    ]


def test_what_waits_is_not_lost_but_told(facts):
    facts.attempts[2] = (2, 7, Status.AGAIN, True)
    facts.open.append((2, 7))
    facts.books["delivery"] |= {"delivered": 2, "pending": 1}

    report = reconcile(facts)

    assert report.lost == 0
    assert report.broken == ["1 still pending"]


def test_a_killed_worker_may_repeat_one_send(facts):
    facts.freed = [(99, 1, 8), (99, 3, 8)]
    facts.arrivals.append(("1-8", "a", ""))

    report = reconcile(facts)

    assert report.duplicates == 1
    assert report.broken == []


def test_more_than_one_send_a_lost_claim_is_too_much(facts):
    facts.freed = [(99, 1, 8), (99, 2, 7)]
    facts.arrivals += [("1-8", "a", ""), ("2-7", "b", "")]

    report = reconcile(facts)

    assert report.duplicates == 2
    assert report.broken == ["2 sent without a log, and the claims lost by workers account for 1 at most"]


@pytest.mark.parametrize(("losses", "broken"), [(3, []), (2, ["1 ended otherwise than delivered"])])
def test_a_delivery_is_set_aside_only_after_three_lost_claims(facts, losses, broken):
    facts.attempts[2] = (2, 7, Status.QUARANTINED, False)
    facts.freed = [(token, 2, 7) for token in range(losses)]
    facts.books["delivery"] |= {"delivered": 2, "quarantined": 1}

    report = reconcile(facts)

    assert report.lost == 0
    assert report.broken == broken


def test_a_repetition_without_a_lost_claim_is_a_fault(facts):
    facts.freed = [(99, 1, 7)]
    facts.arrivals.append(("1-8", "a", ""))

    report = reconcile(facts)

    assert report.broken == ["1 sent without a log, though no claim of theirs was lost"]


def test_another_events_content_under_a_key_is_seen(facts):
    facts.arrivals[2] = ("2-7", "a", "")

    report = reconcile(facts)

    assert report.broken == ["1 arrived with another event's content"]


def test_books_that_tell_another_story_are_seen(facts):
    facts.books["delivery"]["delivered"] = 4

    report = reconcile(facts)

    assert report.broken == ["the books say 4 delivered, the rows 3"]


def test_the_ledger_keeps_what_was_written(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")

    ledger.write(0, ["a", "b"])
    ledger.write(1, ["c"])

    assert ledger.read() == {"a": 0, "b": 0, "c": 1}
