"""What an acknowledged event may count on while processes die and people rename things."""

import time

import pytest

from tests.e2e.world import Arrivals, Senders

pytestmark = pytest.mark.e2e


def test_no_acknowledged_event_is_lost_while_workers_die_and_the_broker_forgets(world):
    arrivals = Arrivals(world, "kills")
    kills = 0

    with Senders(world, "kills", 5_000, pause=0.3) as senders:
        while senders.busy or kills < 6:
            here = arrivals.look()
            deadline = time.monotonic() + 6
            while arrivals.look() == here and senders.busy and time.monotonic() < deadline:
                time.sleep(0.05)  # until the worker works
            time.sleep(0.5)
            world.kill("worker")
            world.flush_broker()
            world.start("worker")
            kills += 1
    arrivals.wait_for(5_000)

    assert senders.acknowledged == 5_000
    assert sorted(arrivals.by_n) == list(range(5_000))
    assert {len(set(ids)) for ids in arrivals.by_n.values()} == {1}


def test_renaming_everything_while_events_flow_changes_nothing_but_labels(world):
    arrivals = Arrivals(world, "names")
    tables = [f"integrations_{name}" for name in ("brand", "account", "source", "destination", "mapping")]

    with Senders(world, "names", 2_000, threads=2, pause=0.05) as senders:
        renamed = 0
        while senders.busy:
            renamed += sum(world.sql(f"UPDATE {table} SET name = %s || id", f"Name {renamed} ") for table in tables)
    arrivals.wait_for(2_000)

    assert renamed > 100
    assert sorted(arrivals.by_n) == list(range(2_000))
    assert {len(ids) for ids in arrivals.by_n.values()} == {1}
    assert {body["event"] for body in arrivals.bodies} == {"Product Viewed"}
    assert world.sql("SELECT 1 FROM logs_label WHERE label NOT LIKE 'Name %%'") == 0


def test_the_books_close_on_all_that_came_through(world):
    deadline = time.monotonic() + 50
    while (left := world.unaccounted()) != {"nowhere": 0, "failed": 0, "waiting": 0} and time.monotonic() < deadline:
        time.sleep(1)

    assert left == {"nowhere": 0, "failed": 0, "waiting": 0}
