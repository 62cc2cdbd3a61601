"""Requests and events without a door: what `logs` is given, as plain values."""

from __future__ import annotations

import pytest

from logs import door, ids
from logs.models import RuleSet
from logs.verdict import Verdict

BRAND, SOURCE, LANE, MAPPING, VERSION = 11, 22, 33, 44, 55


@pytest.fixture
def rule_set(db):
    return RuleSet.objects.create(id=7, source=SOURCE, mappings=[MAPPING], versions=[VERSION])


@pytest.fixture
def arrival(rule_set):
    """arrival("m-1") → an event that matched the one mapping; more by name."""

    def make(message_id: str, index: int = 1, **more) -> door.Arrival:
        given = {
            "start": 0,
            "size": 2,
            "type": "track",
            "name": "Order Completed",
            "customer": "u1",
            "anonymous": False,
            "rule_set": rule_set.id,
            "verdicts": bytes([Verdict.MATCHED]),
            "work": [door.Work(LANE, MAPPING, VERSION)],
        }
        return door.Arrival(index, message_id=message_id, **{**given, **more})

    return make


@pytest.fixture
def record():
    """record(arrivals…) → how many were new."""

    def take(*arrivals: door.Arrival, refusals=(), id: int | None = None) -> int:
        request = door.Arrived(
            id=id or ids.maker.base(),
            brand=BRAND,
            source=SOURCE,
            kind="batch",
            ms=1.5,
            presented=len(arrivals) + len(refusals),
            body=b"{}",
            headers={"user-agent": "tests"},
            refusals=refusals,
        )
        for number, each in enumerate(arrivals, 1):
            each.index = number
        return door.record(request, arrivals)

    return take
